"""The MLP against nets that are typed out layer by layer, and against torch's functions."""

import pytest
import torch
from torch import nn

from glassbox.errors import BadInput
from glassbox.model import MLP
from glassbox.model.mlp import ACTIVATIONS

BY_HAND = {
    "linear model": ({"depth": 0}, lambda: [nn.Linear(4, 3)]),
    "one layer": ({"depth": 1, "hidden": 5}, lambda: [nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)]),
    "two layers": (
        {"depth": 2, "hidden": 5, "activation": "tanh"},
        lambda: [nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3)],
    ),
    "norm and dropout": (
        {"depth": 1, "hidden": 5, "dropout": 0.3, "batch_norm": True},
        lambda: [nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 3)],
    ),
}


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return make()


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("arguments", "layers"), BY_HAND.values(), ids=BY_HAND)
def test_is_the_stack_typed_out_by_hand(arguments, layers, mode):
    ours = seeded(lambda: MLP(4, 3, **arguments)).train(mode)
    by_hand = seeded(lambda: nn.Sequential(*layers())).train(mode)
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seeded(lambda: ours(x)), seeded(lambda: by_hand(x)))
    assert [p.shape for p in ours.parameters()] == [p.shape for p in by_hand.parameters()]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_torchs_function_of_that_name(name):
    net = seeded(lambda: MLP(4, 3, hidden=5, depth=1, activation=name))
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    w1, b1, w2, b2 = net.parameters()
    function = getattr(torch.nn.functional, name)
    torch.testing.assert_close(net(x), function(x @ w1.T + b1) @ w2.T + b2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": 0}, "model.hidden=0: must be a whole number ≥ 1"),
        ({"depth": -1}, "model.depth=-1: must be a whole number ≥ 0"),
        ({"depth": 1.0}, "model.depth=1.0: must be a whole number ≥ 0"),
        (
            {"activation": "rleu"},
            "model.activation=rleu: must be one of relu, leaky_relu, elu, gelu, silu, tanh, sigmoid, softplus",
        ),
        ({"dropout": 1.0}, "model.dropout=1.0: must be a probability p with 0 ≤ p < 1"),
        ({"dropout": -0.1}, "model.dropout=-0.1: must be a probability p with 0 ≤ p < 1"),
        ({"dropout": float("nan")}, "model.dropout=nan: must be a probability p with 0 ≤ p < 1"),
        ({"batch_norm": "yes"}, "model.batch_norm=yes: must be true or false"),
    ],
)
def test_says_which_argument_is_wrong(arguments, message):
    with pytest.raises(BadInput) as error:
        MLP(2, 1, **arguments)
    assert str(error.value) == message
