"""The rivals and the tables of scripts/bench.py: ratios within one run, never absolute times."""
