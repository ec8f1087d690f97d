"""Initialising a whole net: what is drawn, in which order, and from what."""

from functools import partial

import pytest
import torch
from torch import nn

from glassbox import init
from glassbox.errors import BadInput
from glassbox.init.apply import apply
from glassbox.model import TinyNet


class Mixed(nn.Module):
    """Layers of every kind that matters here."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(4, 3)
        self.convolve = nn.Conv1d(3, 2, 3)
        self.norm = nn.BatchNorm1d(2)
        self.head = nn.Sequential(nn.Linear(2, 5, bias=False), nn.ReLU(), nn.Linear(5, 1))


def test_draws_in_the_order_of_the_layers_from_one_generator():
    net = Mixed()
    apply(net, init.xavier, seed=5)
    generator = torch.Generator().manual_seed(5)
    for layer in (net.embed, net.convolve, net.head[0], net.head[2]):
        expected = nn.init.xavier_uniform_(torch.empty_like(layer.weight), generator=generator)
        assert torch.equal(layer.weight, expected)


def test_zeroes_the_biases_of_these_layers_and_leaves_norms_alone():
    net = Mixed()
    nn.init.constant_(net.norm.weight, 3.0)
    nn.init.constant_(net.norm.bias, 4.0)
    apply(net, init.normal, seed=0)
    assert not net.convolve.bias.any()
    assert not net.head[2].bias.any()
    assert (net.norm.weight == 3.0).all()
    assert (net.norm.bias == 4.0).all()


def test_depends_on_the_seed_alone_and_leaves_the_global_generator_alone():
    nets = [TinyNet() for _ in range(3)]
    before = torch.get_rng_state()
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        apply(net, init.kaiming, seed)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(nets[0].fc1.weight, nets[1].fc1.weight)
    assert not torch.equal(nets[0].fc1.weight, nets[2].fc1.weight)


@pytest.mark.parametrize(
    "initialise",
    [partial(nn.init.normal_, std=0.2), nn.init.trunc_normal_, partial(nn.init.constant_, val=0.3)],
    ids=["normal_", "trunc_normal_", "constant_"],
)
def test_takes_torchs_initialisers(initialise):
    nets = TinyNet(), TinyNet()
    for net in nets:
        apply(net, initialise, seed=0)
    assert all(map(torch.equal, nets[0].parameters(), nets[1].parameters()))
    assert nets[0].fc1.weight.any()


def test_takes_an_initialiser_that_forgot_no_grad():
    net = TinyNet()
    apply(net, lambda weight: weight.fill_(0.5), seed=0)
    assert (net.fc2.weight == 0.5).all()
    assert net.fc2.weight.requires_grad


def test_from_zeros_only_the_last_bias_learns():
    net = TinyNet()
    apply(net, init.zeros, seed=0)
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    nn.BCEWithLogitsLoss()(net(x), torch.ones(16, 1)).backward()
    assert not any(p.grad.any() for p in (net.fc1.weight, net.fc1.bias, net.fc2.weight))
    torch.testing.assert_close(net.fc2.bias.grad, torch.tensor([-0.5]))  # the mean of σ(0) - 1


@pytest.mark.parametrize(
    ("net", "initialise", "message"),
    [
        (nn.ReLU(), init.zeros, r"init: ReLU has no layer whose weight could be set; use init=default"),
        (nn.BatchNorm1d(2), init.zeros, r"init: BatchNorm1d has no layer whose weight .*"),
        (TinyNet(), partial(init.normal, std=-1.0), r"init: normal expects std >= 0.0, but found std -1.*"),
        (TinyNet(), partial(init.xavier, gain=-1.0), r"init: uniform_ expects to return .*"),
        (TinyNet(), partial(init.orthogonal, gain=float("inf")), r"init: gives weights that are not finite; .*"),
        (TinyNet(), partial(init.normal, mean=float("nan")), r"init: gives weights that are not finite; .*"),
    ],
)
def test_says_what_is_wrong(net, initialise, message):
    with pytest.raises(BadInput, match=f"^{message}$"):
        apply(net, initialise, seed=0)
