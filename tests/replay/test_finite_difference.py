"""Finite differences agree with autograd on what has no hand rule, and find a gradient that is no derivative."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glassbox.replay.check import Grade
from glassbox.replay.finite_difference import Twin
from glassbox.replay.rng import capture, preserved
from glassbox.replay.step import Step


def step_of(module, batch, dtype=torch.float64):
    torch.manual_seed(0)
    return Step(0, 0, module.to(dtype), batch, capture(), nullcontext, torch.optim.SGD, [], {}, {})


def checks(step):
    with preserved():
        twin = Twin(step)
        return {name: twin.check(name) for name, p in step.module.named_parameters() if p.requires_grad}


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.GELU()
        )
        self.head = nn.Linear(24, 3)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.cross_entropy(self.head(F.dropout(self.body(x).flatten(1), 0.2, self.training)), y)


class LSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 5)
        self.lstm = nn.LSTM(5, 7, num_layers=2, batch_first=True, dropout=0.1)
        self.head = nn.Linear(7, 11)

    def training_step(self, batch, batch_idx):
        output, _ = self.lstm(self.embed(batch[:, :-1]))
        return F.cross_entropy(self.head(output).flatten(0, 1), batch[:, 1:].flatten())


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight

    def training_step(self, batch, batch_idx):
        mask = nn.Transformer.generate_square_subsequent_mask(batch.shape[1] - 1, dtype=self.head.weight.dtype)
        output = self.head(self.encoder(self.embed(batch[:, :-1]), mask=mask))
        return F.cross_entropy(output.flatten(0, 1), batch[:, 1:].flatten())


def images():
    return torch.randn(6, 1, 8, 8), torch.arange(6) % 3


def words():
    return torch.arange(5 * 7).reshape(5, 7) * 5 % 11


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("make", "data"), [(CNN, images), (LSTM, words), (Transformer, words)])
def test_it_agrees_with_autograd_on_foreign_architectures(make, data, dtype):
    torch.manual_seed(1)
    batch = data()
    batch = tuple(t.to(dtype) if t.is_floating_point() else t for t in batch) if isinstance(batch, tuple) else batch
    found = checks(step_of(make(), batch, dtype))
    assert len(found) >= 7
    assert {check.grade for check in found.values()} == {Grade.FD}
    assert max(check.error for check in found.values()) <= 1e-6


class Double(torch.autograd.Function):
    """x ↦ 2 x, whose backward forgets the 2."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        return grad


class Rounds(torch.autograd.Function):
    """Rounding with the gradient of the identity: straight through."""

    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        return grad


class Net(nn.Module):
    """Two layers with something between them that a test puts there."""

    def __init__(self, between=lambda h: h):
        super().__init__()
        self.one, self.two, self.between = nn.Linear(3, 4), nn.Linear(4, 1), between

    def training_step(self, batch, batch_idx):
        return self.two(self.between(self.one(batch)).tanh()).square().mean()


def no_grad(h):
    with torch.no_grad():
        return h * 1


@pytest.mark.parametrize(
    ("between", "cause"),
    [
        (lambda h: h, None),
        (lambda h: 2 * h, None),
        (torch.Tensor.detach, "detached graph: the loss changes by"),
        (no_grad, "detached graph: the loss changes by"),
        (lambda h: h.data, "detached graph: the loss changes by"),
        (Double.apply, "wrong gradient: the loss changes by"),
        (Rounds.apply, "wrong gradient: the loss changes by 0.00e+00"),
    ],
)
def test_a_gradient_that_is_no_derivative_is_found(between, cause):
    torch.manual_seed(2)
    found = checks(step_of(Net(between), torch.randn(5, 3, dtype=torch.float64)))
    assert {found["two.weight"].grade, found["two.bias"].grade} == {Grade.FD}
    for name in ("one.weight", "one.bias"):
        if cause is None:
            assert found[name].grade is Grade.FD
        else:
            assert found[name].grade is Grade.DISAGREES
            assert found[name].reason.startswith(cause)
            assert found[name].error > 1e-2
    if cause and "detached" in cause:
        assert found["one.weight"].reason.endswith("between one and the loss")


@pytest.mark.parametrize(
    "between",
    [
        lambda h: h.detach() + h * 0.5,
        lambda h: h + (h.round() - h).detach(),  # straight through
        lambda h: h / h.data.norm(),
        lambda h: h * h.mean().item(),
        lambda h: h - 0.9 * no_grad(h),  # a target
        lambda h: h + 0.5 * no_grad(h).lerp_(torch.ones(4, dtype=h.dtype), 0.3),
    ],
)
def test_what_is_cut_off_in_part_is_held_constant(between):
    torch.manual_seed(2)
    found = checks(step_of(Net(between), torch.randn(5, 3, dtype=torch.float64)))
    told = {"FD", "with what is cut off by .detach() or no_grad held constant"}
    for name in ("one.weight", "one.bias"):
        assert {found[name].grade.value, found[name].reason} == told
        assert found[name].error <= 1e-6


class Forgets(Double):
    """2 x, whose backward says that nothing depends on x."""

    @staticmethod
    def backward(ctx, grad):
        return torch.zeros_like(grad)


class Right(Double):
    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


@pytest.mark.parametrize(
    ("custom", "grade"), [(Double, Grade.DISAGREES), (Forgets, Grade.DISAGREES), (Right, Grade.FD)]
)
def test_a_custom_backward_beside_a_detached_part_is_judged_by_itself(custom, grade):
    torch.manual_seed(2)
    net = Net(lambda h: custom.apply(h) - 0.9 * h.detach() + 0.1 * h)
    found = checks(step_of(net, torch.randn(5, 3, dtype=torch.float64)))
    assert {found["one.weight"].grade, found["one.bias"].grade} == {grade}


def test_a_parameter_that_the_loss_does_not_use_is_told():
    net = Net()
    net.spare = nn.Parameter(torch.ones(2))
    found = checks(step_of(net, torch.randn(5, 3, dtype=torch.float64)))
    assert str(found["spare"]) == "FD 0e+00: unused: the loss does not depend on it"


def test_tiny_and_vanished_gradients_are_no_false_alarm():
    torch.manual_seed(3)
    for scale in (1e-3, 1e-6, 1e-9, 0.0):
        found = checks(step_of(Net(lambda h, scale=scale: h * scale), torch.randn(5, 3, dtype=torch.float64)))
        assert {check.grade for check in found.values()} == {Grade.FD}, scale


def test_a_tiny_wrong_gradient_is_found():
    torch.manual_seed(3)
    found = checks(step_of(Net(lambda h: Double.apply(h) * 1e-5), torch.randn(5, 3, dtype=torch.float64)))
    assert found["one.weight"].grade is Grade.DISAGREES


def test_kinks_are_no_false_alarm():
    for seed in range(20):
        torch.manual_seed(seed)
        found = checks(step_of(Net(torch.relu), torch.randn(30, 3, dtype=torch.float64)))
        assert {check.grade for check in found.values()} == {Grade.FD}


def test_strong_curvature_is_no_false_alarm():
    torch.manual_seed(3)
    found = checks(step_of(Net(lambda h: (3000 * h).sin()), torch.randn(5, 3, dtype=torch.float64)))
    assert {check.grade for check in found.values()} == {Grade.FD}


class Casts(Net):
    def training_step(self, batch, batch_idx):
        return self.two(self.one(batch).float().tanh().to(batch.dtype)).square().mean()


class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def training_step(self, batch, batch_idx):
        return self.w.to(torch.float32) @ torch.ones(3, dtype=torch.float32)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Casts, "no hand rule, and a cast to float32 spoils finite differences"),
        (Halves, "no hand rule, and float64 fails: training_step returns torch.float32"),
    ],
)
def test_what_float64_cannot_do_is_not_checked(make, reason):
    torch.manual_seed(4)
    found = checks(step_of(make(), torch.randn(5, 3), torch.float32))
    assert {str(check) for check in found.values() if check.grade is not Grade.FD} == {f"NOT CHECKED: {reason}"}


def test_layers_in_a_plain_list_come_along():
    class Hides(Net):
        def __init__(self):
            super().__init__()
            self.hidden = [nn.Linear(4, 4)]
            self.scale = torch.tensor(3.0)

        def training_step(self, batch, batch_idx):
            return self.two(self.hidden[0](self.one(batch)).tanh() * self.scale).square().mean()

    found = checks(step_of(Hides(), torch.randn(5, 3), torch.float32))
    assert {check.grade for check in found.values()} == {Grade.FD}


def test_nothing_outside_changes():
    torch.manual_seed(5)
    step = step_of(CNN(), (torch.randn(6, 1, 8, 8), torch.arange(6) % 3), torch.float32)
    before, generators = copy.deepcopy(step.module.state_dict()), capture()
    checks(step)
    after = step.module.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(p.grad is None and p.dtype == torch.float32 for p in step.module.parameters())
    assert torch.equal(generators["torch"], torch.get_rng_state())
    assert torch.get_default_dtype() == torch.float32
