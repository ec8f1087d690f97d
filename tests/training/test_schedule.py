"""Schedules against their closed forms."""

import math

import pytest
import torch

from glassbox.training.schedule import warmup_cosine


@pytest.mark.parametrize(("warmup", "epochs", "factor"), [(1, 5, 0.1), (5, 60, 0.1), (3, 4, 0.5)])
def test_warmup_cosine(warmup, epochs, factor):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))], lr=0.3)
    schedule = warmup_cosine(optimizer, warmup_epochs=warmup, max_epochs=epochs, start_factor=factor)
    seen = []
    for _ in range(epochs):
        seen.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    expected = [
        0.3 * (factor + (1 - factor) * t / warmup)
        if t < warmup
        else 0.3 * (1 + math.cos(math.pi * (t - warmup) / (epochs - warmup))) / 2
        for t in range(epochs)
    ]
    assert seen == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("warmup", [0, 5, 6])
def test_a_warmup_that_does_not_fit_is_refused(warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    with pytest.raises(ValueError, match="must be from 1 to max_epochs - 1 = 4"):
        warmup_cosine(optimizer, warmup_epochs=warmup, max_epochs=5)
