"""Data: toy sets, real tables, the user's CSV; each a function that returns a `Table`."""

from glassbox.data.csv import csv
from glassbox.data.real import breast_cancer, diabetes, digits
from glassbox.data.toy import circles, moons, spiral, xor

__all__ = ["breast_cancer", "circles", "csv", "diabetes", "digits", "moons", "spiral", "xor"]
