"""A trace sees every call of a layer as it was, and computes by hand only what a hand rule covers."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from glassbox.replay.check import Grade
from glassbox.replay.rng import capture, preserved
from glassbox.replay.step import Step
from glassbox.replay.trace import trace, watched


def calls_of(module, *inputs):
    calls = []
    with watched(module, calls):
        module(*inputs)
    return calls


def random(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


CLASSES = torch.tensor([0, 2, 1, 1])
RULED = [
    (nn.Linear(3, 5), (random(4, 3),)),
    (nn.Linear(3, 5, bias=False), (random(4, 3),)),
    (nn.Linear(3, 5), (random(2, 6, 3),)),
    (nn.Linear(3, 5), (random(3),)),
    (nn.ReLU(), (random(4, 3, 2),)),
    (nn.ReLU(inplace=True), (random(4, 3),)),
    (nn.Tanh(), (random(4, 3),)),
    (nn.Sigmoid(), (random(4, 3),)),
    (nn.BCEWithLogitsLoss(), (random(4, 1), (random(4, 1) > 0).double())),
    (nn.MSELoss(), (random(4, 1), random(4, 1) + 1)),
    (nn.CrossEntropyLoss(), (random(4, 3), CLASSES)),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("layer", "inputs"), RULED)
def test_a_hand_rule_is_exact(layer, inputs, dtype):
    given = [t.to(dtype) if t.is_floating_point() else t for t in inputs]
    (call,) = calls_of(layer.to(dtype), *given)
    assert str(call.check) == "EXACT"
    assert call.ruled
    assert call.formula


UNRULED = [
    (nn.GELU(), (random(4, 3),), "no hand rule for GELU"),
    (nn.MSELoss(reduction="sum"), (random(4), random(4)), "no hand rule for MSELoss with reduction=sum"),
    (
        nn.BCEWithLogitsLoss(pos_weight=torch.ones(1)),
        (random(4, 1), random(4, 1)),
        "no hand rule for BCEWithLogitsLoss with pos_weight=a tensor",
    ),
    (
        nn.CrossEntropyLoss(label_smoothing=0.1),
        (random(4, 3), CLASSES),
        "no hand rule for CrossEntropyLoss with label_smoothing=0.1",
    ),
    (
        nn.CrossEntropyLoss(weight=torch.ones(3).double()),
        (random(4, 3), CLASSES),
        "no hand rule for CrossEntropyLoss with weight=a tensor",
    ),
    (
        nn.CrossEntropyLoss(),
        (random(4, 3), torch.tensor([0, -100, 1, 2])),
        "no hand rule for CrossEntropyLoss with ignored rows",
    ),
    (
        nn.CrossEntropyLoss(),
        (random(4, 3), random(4, 3).softmax(1)),
        "no hand rule for CrossEntropyLoss of [4, 3] and [4, 3] float64",
    ),
    (
        nn.MSELoss(),
        (random(4, 1), random(4, 1).float()),
        "no hand rule for MSELoss of [4, 1] float64 and [4, 1] float32",
    ),
]


@pytest.mark.parametrize(("layer", "inputs", "reason"), UNRULED)
def test_an_unusual_option_or_input_is_not_checked(layer, inputs, reason):
    (call,) = calls_of(layer, *inputs)
    assert str(call.check) == f"NOT CHECKED: {reason}"
    assert not call.ruled


def test_a_subclass_and_a_hook_may_do_anything_and_are_not_checked():
    class Twice(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    (call,) = calls_of(Twice(3, 2), random(4, 3, dtype=torch.float32))
    assert str(call.check) == "NOT CHECKED: no hand rule for Twice"
    net = nn.Sequential(nn.Linear(3, 2))
    net[0].register_forward_hook(lambda module, args, output: 2 * output)
    (call,) = calls_of(net, random(4, 3, dtype=torch.float32))
    assert str(call.check) == "NOT CHECKED: 0 has a forward hook, which may change what it returns"
    assert not call.ruled


def test_autocast_is_not_checked():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (call,) = calls_of(nn.Linear(3, 2), random(4, 3, dtype=torch.float32))
    assert str(call.check) == "NOT CHECKED: autocast computes Linear in bfloat16"


def test_a_layer_that_computes_something_else_disagrees():
    layer = nn.Linear(3, 2)
    layer.forward = lambda x: x @ layer.weight.T  # forgets its bias
    (call,) = calls_of(layer, random(4, 3, dtype=torch.float32))
    assert call.check.grade is Grade.DISAGREES
    assert call.check.reason == "Linear is not a = x W' + b"


def test_a_call_tells_what_went_in_and_out():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.LSTM(4, 2))
    one, two, three = calls_of(net, random(5, 3, dtype=torch.float32))
    assert (one.name, one.sources, one.requires_grad, one.grad_fn, one.device) == (
        "0",
        (None,),
        True,
        "AddmmBackward0",
        "cpu",
    )
    assert (two.sources, two.grad_fn) == ((0,), "ReluBackward0")
    assert bool((two.inputs[0] < 0).any()), "an input is what it was before the call, also for a layer in place"
    assert torch.equal(two.output, two.inputs[0].relu())
    assert not two.output.requires_grad
    assert (three.output, three.sources, three.requires_grad) == (None, (1,), True)
    assert str(three.check) == "NOT CHECKED: no hand rule for LSTM"


class Noisy(nn.Module):
    """Draws, counts and changes its batch: everything that a second run must find as the first one did."""

    def __init__(self):
        super().__init__()
        self.fc, self.count, self.calls = nn.Linear(2, 1), nn.BatchNorm1d(2), 0

    def training_step(self, batch, batch_idx):
        self.calls += 1
        batch += torch.randn(2)
        return self.fc(self.count(batch)).square().mean() * self.calls


def test_a_trace_can_be_repeated_and_changes_nothing():
    module, batch = Noisy(), torch.ones(3, 2)
    step = Step(0, 0, module, batch, capture(), nullcontext, torch.optim.SGD, [], {}, {})
    before = capture()
    with preserved():
        first, second = trace(step), trace(step)
    assert torch.equal(first.loss, second.loss)
    assert all(torch.equal(first.gradients[name], second.gradients[name]) for name in first.gradients)
    assert (module.calls, module.fc.weight.grad, int(module.count.num_batches_tracked)) == (0, None, 0)
    assert torch.equal(batch, torch.ones(3, 2))
    assert torch.equal(before["torch"], torch.get_rng_state())
    assert not module.fc._forward_hooks
