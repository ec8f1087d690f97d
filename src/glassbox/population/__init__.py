"""Many configs as one batched program, each with the result that it has alone.

Shapes: K members, N samples, B batch, D inputs, C outputs, T steps of an epoch, P parameters.
"""
