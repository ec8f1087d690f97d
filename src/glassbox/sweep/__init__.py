"""What makes two runs the same run."""
