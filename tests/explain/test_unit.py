"""Units that pass no gradient on, each count with a sick and a healthy twin."""

import torch

from glassbox.explain.unit import dead_units, saturated_units


def test_dead_units():
    output = torch.tensor([[0.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
    assert dead_units(output) == 1
    output[0, 0] = 1e-9
    assert dead_units(output) == 0


def test_dead_units_of_a_convolution_are_its_channels():
    output = torch.ones(2, 3, 4, 4)
    output[:, 1] = 0.0
    assert dead_units(output, axis=1) == 1
    assert dead_units(output) == 0


def test_saturated_units():
    before = torch.tensor([[3.0, -3.0, 0.1], [-3.0, -4.0, 3.0]])
    assert saturated_units(torch.tanh(before), -1.0, 1.0) == 2
    assert saturated_units(torch.tanh(before / 2), -1.0, 1.0) == 0
    assert saturated_units(torch.sigmoid(2 * before), 0.0, 1.0) == 2
