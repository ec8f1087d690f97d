"""What Hydra loads of Glassbox: its launcher and its sweepers, thin over `glassbox.config` and `glassbox.sweep`."""
