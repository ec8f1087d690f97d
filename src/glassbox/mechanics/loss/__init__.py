"""Losses by hand: each file has the mean loss of a batch and its gradient."""
