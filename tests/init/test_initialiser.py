"""Every initialiser against its twin in torch.nn.init, bit for bit, from generators of one seed."""

import pytest
import torch
from torch import nn

from glassbox import init
from glassbox.errors import BadInput
from glassbox.init.kaiming import GAINS

TWINS = [
    ("zeros", {}, lambda w, g: nn.init.zeros_(w)),
    ("normal", {}, lambda w, g: nn.init.normal_(w, 0.0, 0.1, generator=g)),
    ("normal", {"mean": 2.0, "std": 3.0}, lambda w, g: nn.init.normal_(w, 2.0, 3.0, generator=g)),
    ("xavier", {}, lambda w, g: nn.init.xavier_uniform_(w, generator=g)),
    ("xavier", {"gain": 1.7}, lambda w, g: nn.init.xavier_uniform_(w, 1.7, generator=g)),
    ("xavier", {"distribution": "normal"}, lambda w, g: nn.init.xavier_normal_(w, generator=g)),
    ("kaiming", {}, lambda w, g: nn.init.kaiming_uniform_(w, nonlinearity="relu", generator=g)),
    (
        "kaiming",
        {"mode": "fan_out", "distribution": "normal"},
        lambda w, g: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu", generator=g),
    ),
    (
        "kaiming",
        {"nonlinearity": "leaky_relu", "a": 0.2},
        lambda w, g: nn.init.kaiming_uniform_(w, a=0.2, generator=g),
    ),
    ("orthogonal", {}, lambda w, g: nn.init.orthogonal_(w, generator=g)),
    ("orthogonal", {"gain": 1.7}, lambda w, g: nn.init.orthogonal_(w, 1.7, generator=g)),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(8, 2), (1, 8), (5, 5), (4, 3, 2, 2)], ids=str)
@pytest.mark.parametrize(("name", "hyper", "twin"), TWINS, ids=[f"{n}-{h}" for n, h, _ in TWINS])
def test_is_torchs_initialiser(name, hyper, twin, shape, dtype):
    ours = nn.Parameter(torch.full(shape, 9.0, dtype=dtype))
    torchs = nn.Parameter(torch.full(shape, 9.0, dtype=dtype))
    returned = getattr(init, name)(ours, generator=torch.Generator().manual_seed(3), **hyper)
    twin(torchs, torch.Generator().manual_seed(3))
    assert returned is ours
    assert torch.equal(ours, torchs)
    assert ours.requires_grad
    assert ours.is_leaf


def test_every_initialiser_has_a_twin():
    assert {name for name, _, _ in TWINS} == set(init.__all__)


@pytest.mark.parametrize("name", GAINS)
def test_gains_are_torchs(name):
    assert GAINS[name] == nn.init.calculate_gain(name)


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("xavier", {"distribution": "cauchy"}, "init.distribution=cauchy: must be uniform or normal"),
        ("kaiming", {"mode": "fan"}, "init.mode=fan: must be fan_in or fan_out"),
        (
            "kaiming",
            {"nonlinearity": "gelu"},
            "init.nonlinearity=gelu: must be one of linear, sigmoid, tanh, relu, selu, leaky_relu",
        ),
    ],
)
def test_says_which_argument_is_wrong(name, hyper, message):
    with pytest.raises(BadInput) as error:
        getattr(init, name)(torch.empty(2, 2), generator=torch.Generator(), **hyper)
    assert str(error.value) == message
