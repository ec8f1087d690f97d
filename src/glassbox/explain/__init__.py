"""The tables that scripts/explain.py prints: one training step, line by line, by hand beside torch."""
