"""Schedules by hand: what the learning rate is at a step, from the step and from what it was before.

The step is the same for all models. Every other number, lengths too, may be a tensor with one number per model, in
double precision; what counts steps may be whole. They broadcast, and each model goes as it would alone.
"""
