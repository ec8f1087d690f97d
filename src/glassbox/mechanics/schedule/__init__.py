"""Schedules by hand: what the learning rate is at a step, from the step and from what it was before."""
