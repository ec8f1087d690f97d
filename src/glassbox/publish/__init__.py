"""From the runs of a study to a W&B server: each once, and a workspace to look at them."""
