"""Generators are set back: the same numbers again, and no trace of having drawn."""

import random

import numpy as np
import torch

from glassbox.replay.rng import capture, preserved, restore


def draw():
    return torch.rand(3).tolist(), random.random(), np.random.rand()  # noqa: NPY002  the generator of user's code


def test_the_same_numbers_come_again():
    state = capture()
    first = draw()
    assert draw() != first
    restore(state)
    assert draw() == first


def test_what_is_drawn_inside_leaves_no_trace():
    state = capture()
    expected = draw()
    restore(state)
    with preserved():
        draw()
    assert draw() == expected


def test_it_is_set_back_after_an_error():
    state = capture()
    expected = draw()
    restore(state)
    try:
        with preserved():
            draw()
            raise ValueError
    except ValueError:
        assert draw() == expected
