"""A chain of layers by hand against the same net in torch."""

import pytest
import torch
from torch import nn

from glassbox.mechanics.layer import linear, relu, sigmoid, tanh
from glassbox.mechanics.loss import bce_with_logits
from glassbox.mechanics.network import Chain

NETS = {
    "tiny": (
        [("fc1", linear), ("relu", relu), ("fc2", linear)],
        {"fc1": nn.Linear(2, 8), "relu": nn.ReLU(), "fc2": nn.Linear(8, 1)},
    ),
    "deep": (
        [("one", linear), ("tanh", tanh), ("two", linear), ("sigmoid", sigmoid), ("three", linear)],
        {
            "one": nn.Linear(2, 5, bias=False),
            "tanh": nn.Tanh(),
            "two": nn.Linear(5, 5),
            "sigmoid": nn.Sigmoid(),
            "three": nn.Linear(5, 1, bias=False),
        },
    ),
    "shared": (
        [("in", linear), ("tanh", tanh), ("same", linear), ("tanh", tanh), ("same", linear), ("out", linear)],
        {"in": nn.Linear(2, 4), "tanh": nn.Tanh(), "same": nn.Linear(4, 4), "out": nn.Linear(4, 1)},
    ),
    "one": ([("fc", linear)], {"fc": nn.Linear(2, 1)}),
    "one name begins as another": (
        [("fc1", linear), ("fc10", linear)],
        {"fc1": nn.Linear(2, 3), "fc10": nn.Linear(3, 1)},
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", NETS)
def test_is_the_net_in_torch_bit_for_bit(name, dtype):
    layers, modules = NETS[name]
    net = nn.ModuleDict(modules).to(dtype)
    parameters = {key: p.detach() for key, p in net.named_parameters()}
    x, y = torch.randn(32, 2, dtype=dtype), torch.rand(32, 1, dtype=dtype).round()
    tape, z = [x], x
    for key, _ in layers:
        z = net[key](z)
        tape.append(z)
    net.zero_grad()
    nn.functional.binary_cross_entropy_with_logits(z, y).backward()

    chain = Chain(layers)
    ours = chain.forward(parameters, x)
    gradients = chain.backward(parameters, ours, bce_with_logits.backward(ours[-1], y))
    assert all(map(torch.equal, ours, tape))
    assert list(gradients) == list(parameters)
    assert all(torch.equal(gradients[key], p.grad) for key, p in net.named_parameters())


def test_names_with_dots_belong_to_the_innermost_layer():
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), nn.Linear(3, 1))
    chain = Chain([("0.0", linear), ("0.1", relu), ("1", linear)])
    parameters = {key: p.detach() for key, p in net.named_parameters()}
    x = torch.randn(4, 2)
    assert torch.equal(chain.forward(parameters, x)[-1], net(x))


def test_a_lone_layer_may_have_no_name():
    layer, x = nn.Linear(2, 1), torch.randn(4, 2)
    parameters = {key: p.detach() for key, p in layer.named_parameters()}
    chain = Chain([("", linear)])
    gradients = chain.backward(parameters, chain.forward(parameters, x), torch.ones(4, 1))
    layer(x).sum().backward()
    assert {key: grad.tolist() for key, grad in gradients.items()} == {
        key: p.grad.tolist() for key, p in layer.named_parameters()
    }


def test_many_models_at_once_under_vmap():
    chain = Chain(NETS["tiny"][0])
    models = [
        {key: p.detach().double() for key, p in nn.ModuleDict(NETS["tiny"][1]).named_parameters()} for _ in range(3)
    ]
    models = [{key: p + 0.1 * k for key, p in model.items()} for k, model in enumerate(models)]
    stacked = {key: torch.stack([model[key] for model in models]) for key in models[0]}
    x, y = torch.randn(16, 2).double(), torch.rand(16, 1).double().round()

    def gradients(parameters):
        tape = chain.forward(parameters, x)
        return chain.backward(parameters, tape, bce_with_logits.backward(tape[-1], y))

    together = torch.func.vmap(gradients)(stacked)
    for k, model in enumerate(models):
        for key, alone in gradients(model).items():
            torch.testing.assert_close(together[key][k], alone, rtol=1e-12, atol=1e-14)
