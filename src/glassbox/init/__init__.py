"""Initialisers: each fills one weight in place from a generator of its own; biases become 0 (`glassbox.init.apply`)."""

from glassbox.init.kaiming import kaiming
from glassbox.init.normal import normal
from glassbox.init.orthogonal import orthogonal
from glassbox.init.xavier import xavier
from glassbox.init.zeros import zeros

__all__ = ["kaiming", "normal", "orthogonal", "xavier", "zeros"]
