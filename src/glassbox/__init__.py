"""Glassbox: a research template for PyTorch in which every run is tracked, comparable and explainable."""

__version__ = "0.1.0"
