"""The record of a run, its metric keys, and those who follow it, such as W&B."""
