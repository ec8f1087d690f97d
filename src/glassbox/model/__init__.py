"""Nets: the lesson's TinyNet, and a plain multilayer perceptron for when TinyNet is too small."""

from glassbox.model.mlp import MLP
from glassbox.model.tinynet import TinyNet

__all__ = ["MLP", "TinyNet"]
