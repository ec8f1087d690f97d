"""Optimizers by hand: each file is one update, (param, grad, state, hyper-parameters) → (param, state)."""
