"""Layers by hand: each file has a `forward` and the `backward` that the chain rule gives."""
