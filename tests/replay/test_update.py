"""The update of every optimizer with a hand rule is exact, and one wrong hyper-parameter is named by its value."""

from contextlib import nullcontext
from itertools import pairwise

import pytest
import torch
from torch import nn, optim

from glassbox.replay.check import Grade
from glassbox.replay.step import Step
from glassbox.replay.update import formula_of, updates

SHAPES = {"one": (4, 3), "two": (4,), "idle": (2,)}


def copied(values):
    return {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in values.items()}


def steps(make, count=3, dtype=torch.float64, seed=0, claims=None):
    """Train three parameters with random gradients and record it; `idle` never has a gradient."""
    generator = torch.Generator().manual_seed(seed)
    named = {key: nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for key, shape in SHAPES.items()}
    optimizer = make(list(named.values()))
    made = []
    for number in range(count):
        values = {name: p.detach().clone() for name, p in named.items()}
        group = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
        step = Step(number, number, nn.Identity(), None, {}, nullcontext, type(optimizer), [], {}, {}, stepped=True)
        step.groups = [{"params": list(named), **group, **(claims or {})}]
        step.state = {name: copied(optimizer.state.get(p, {})) for name, p in named.items()}
        for name in ("one", "two"):
            named[name].grad = torch.randn(SHAPES[name], generator=generator, dtype=dtype)
            step.clipped[name] = named[name].grad.clone()
        optimizer.step()
        step.before_update, step.after = values, {name: p.detach().clone() for name, p in named.items()}
        step.state_after = {name: copied(optimizer.state.get(p, {})) for name, p in named.items()}
        made.append(step)
    return made


RULES = {
    "sgd": lambda p, **o: optim.SGD(p, **{"lr": 0.1, **o}),
    "momentum": lambda p, **o: optim.SGD(
        p, **{"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01, **o}
    ),
    "nesterov": lambda p, **o: optim.SGD(p, **{"lr": 0.1, "momentum": 0.9, "nesterov": True, **o}),
    "rmsprop": lambda p, **o: optim.RMSprop(p, **{"lr": 0.01, **o}),
    "centred": lambda p, **o: optim.RMSprop(
        p, **{"lr": 0.01, "centered": True, "momentum": 0.9, "weight_decay": 0.1, **o}
    ),
    "adam": lambda p, **o: optim.Adam(p, **{"lr": 0.01, **o}),
    "amsgrad": lambda p, **o: optim.Adam(p, **{"lr": 0.01, "amsgrad": True, "weight_decay": 0.1, **o}),
    "adamw": lambda p, **o: optim.AdamW(p, **{"lr": 0.01, **o}),
    "adamw amsgrad": lambda p, **o: optim.AdamW(p, **{"lr": 0.01, "amsgrad": True, **o}),
    "adam, decoupled": lambda p, **o: optim.Adam(
        p, **{"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, **o}
    ),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_the_update_is_exact(name, foreach, dtype):
    for step in steps(lambda p: RULES[name](p, foreach=foreach), 6, dtype):
        found = updates(step)
        assert set(found) == set(SHAPES)
        allowed = {Grade.EXACT, Grade.NOT_CHECKED} if dtype is torch.bfloat16 else {Grade.EXACT}
        assert {check.grade for check in found.values()} <= allowed, found
        assert formula_of(step)


WRONG = [
    ("sgd", {"lr": 0.2}, "lr=0.1"),
    ("sgd", {"weight_decay": 0.02}, "weight_decay=0"),
    ("momentum", {"lr": 0.1234}, "lr=0.1"),
    ("momentum", {"momentum": 0.5}, "momentum=0.9"),
    ("momentum", {"dampening": 0.0}, "dampening=0.1"),
    ("momentum", {"weight_decay": 0.5}, "weight_decay=0.01"),
    ("nesterov", {"nesterov": False}, "nesterov=True"),
    ("nesterov", {"momentum": 0.95}, "momentum=0.9"),
    ("rmsprop", {"alpha": 0.9}, "alpha=0.99"),
    ("rmsprop", {"lr": 0.001}, "lr=0.01"),
    ("rmsprop", {"eps": 0.01}, "eps=1e-08"),
    ("rmsprop", {"weight_decay": 0.1}, "weight_decay=0"),
    ("centred", {"momentum": 0.8}, "momentum=0.9"),
    ("adam", {"betas": (0.8, 0.999)}, "beta1=0.9"),
    ("adam", {"betas": (0.9, 0.99)}, "beta2=0.999"),
    ("adam", {"betas": (0.9, 0.9)}, "beta2=0.999"),
    ("adam", {"betas": (0.9, 0.9999)}, "beta2=0.999"),
    ("adam", {"lr": 3e-4}, "lr=0.01"),
    ("adam", {"eps": 1e-3}, "eps=1e-08"),
    ("adam", {"weight_decay": 0.3}, "weight_decay=0"),
    ("amsgrad", {"betas": (0.9, 0.99)}, "beta2=0.999"),
    ("adamw", {"weight_decay": 0.1}, "weight_decay=0.01"),
    ("adamw", {"lr": 0.02}, "lr=0.01"),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("name", "truth", "says"), WRONG)
def test_one_wrong_hyper_parameter_is_named(name, truth, says, dtype):
    claims = {key: RULES[name]([nn.Parameter(torch.zeros(1))]).param_groups[0][key] for key in truth}
    ((key, value),) = truth.items()
    if key == "betas":
        position = next(i for i in (0, 1) if value[i] != claims[key][i])
        key, value = f"beta{position + 1}", value[position]
    value = value if isinstance(value, bool) else f"{value:g}"
    reason = f"wrong hyper-parameter: the update fits {key}={value}, the optimizer says {says.partition('=')[2]}"
    assert says.partition("=")[0] == key
    first, *later = steps(lambda p: RULES[name](p, **truth), 5, dtype, claims=claims)
    for step in later:
        found = updates(step)
        assert {found["one"].grade, found["two"].grade} == {Grade.DISAGREES}
        assert {found["one"].reason, found["two"].reason} == {reason}
        assert found["idle"].grade is Grade.EXACT
    assert Grade.EXACT not in {updates(first)[key].grade for key in ("one", "two")} or name in (
        "momentum",
        "nesterov",
        "centred",
    )


class Inherits(optim.Adam):
    """Adam by another name."""


class Same(optim.SGD):
    """A step of its own that is that of SGD."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data.add_(p.grad, alpha=-group["lr"])


class Signs(optim.SGD):
    """A step of its own that is another one."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data.add_(p.grad.sign(), alpha=-group["lr"])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: Inherits(p, lr=0.1), "EXACT"),
        (lambda p: Same(p, lr=0.1), "EXACT"),
        (lambda p: Signs(p, lr=0.1), "NOT CHECKED: Signs has a step of its own, which is not that of SGD"),
        (lambda p: optim.Adagrad(p), "NOT CHECKED: no hand rule for Adagrad"),
        (lambda p: optim.NAdam(p), "NOT CHECKED: no hand rule for NAdam"),
        (lambda p: optim.Adam(p, fused=True), "NOT CHECKED: no hand rule for Adam with fused=True"),
        (lambda p: optim.SGD(p, torch.tensor(0.1)), "NOT CHECKED: no hand rule for SGD with a tensor as lr"),
    ],
)
def test_another_optimizer_is_exact_or_not_checked(make, told):
    for step in steps(make):
        found = updates(step)
        assert {str(found["one"]), str(found["two"])} == {told}


@pytest.mark.parametrize("option", ["maximize", "differentiable", "capturable"])
def test_an_option_without_a_hand_rule_is_not_checked(option):
    for step in steps(RULES["adam"], claims={option: True}):
        assert str(updates(step)["one"]) == f"NOT CHECKED: no hand rule for Adam with {option}=True"


def test_numbers_that_are_odd_are_not_checked():
    (step,) = steps(RULES["sgd"], 1)
    step.clipped["one"] = step.clipped["one"].to_sparse()
    step.clipped["two"] = step.clipped["two"] * float("inf")
    found = updates(step)
    assert str(found["one"]) == "NOT CHECKED: no hand rule for a sparse gradient"
    assert str(found["two"]) == "NOT CHECKED: the gradient is not finite: nan or inf"
    step.scaler = True
    assert str(updates(step)["one"]) == "NOT CHECKED: gradients are scaled for float16"


def test_a_parameter_that_moves_without_a_gradient_disagrees():
    (step,) = steps(RULES["sgd"], 1)
    step.after["idle"] = step.after["idle"] + 0.5
    assert str(updates(step)["idle"]) == "DISAGREES 5e-01: idle moved without a gradient"


def test_an_update_that_nothing_explains_disagrees_and_says_so():
    step = steps(RULES["adam"], 3)[-1]
    step.after["one"] = step.after["one"] + torch.arange(12.0, dtype=torch.float64).reshape(4, 3) / 100
    found = updates(step)
    assert found["one"].grade is Grade.DISAGREES
    assert found["one"].reason == "the update is not that of Adam, and no single hyper-parameter explains it"
    assert found["two"].grade is Grade.EXACT


def test_rounding_is_no_mistake():
    step = steps(RULES["adam"], 3, torch.float32)[-1]
    step.after["one"] = torch.nextafter(step.after["one"], torch.tensor(torch.inf))
    found = updates(step)["one"]
    assert found.grade is Grade.NOT_CHECKED
    assert found.reason.startswith("equal up to rounding (")


def test_an_optimizer_that_did_nothing_disagrees():
    for one, two in pairwise(steps(RULES["sgd"], 3)):
        one.after = one.before_update
        assert updates(one)["one"].reason == "wrong hyper-parameter: the update fits lr=0, the optimizer says 0.1"
        assert updates(two)["one"].grade is Grade.EXACT
