"""What a step shows, in words: each sentence in a sick step and not in its healthy twin, which differs in one thing."""

import copy
import math
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from glassbox.config.compose import composed, task_values
from glassbox.config.job import prepare
from glassbox.config.place import CONF
from glassbox.explain.guess import is_guess
from glassbox.explain.initialisation import equal_rows
from glassbox.explain.observation import observations
from glassbox.explain.wiring import not_finite
from glassbox.explain.zero_gradient import all_zero
from glassbox.model import TinyNet
from glassbox.replay.audit import audit
from glassbox.replay.rng import capture
from glassbox.replay.step import Step
from glassbox.replay.trace import trace
from glassbox.training.recorder import Recorder

# The functions of tensors, each with a sick and a healthy twin.


def test_not_finite():
    assert not_finite(torch.tensor([1.0, torch.nan, -torch.inf])) == 2
    assert not_finite(torch.tensor([1.0, 2.0, 3.0])) == 0


def test_all_zero():
    assert all_zero(torch.zeros(2, 2))
    assert not all_zero(torch.tensor([[0.0, 0.0], [0.0, 1e-30]]))
    assert not all_zero(torch.zeros(0))


def test_equal_rows():
    row = torch.randn(1, 3)
    assert equal_rows(row.repeat(4, 1))
    assert equal_rows(torch.zeros(4, 3))
    assert not equal_rows(torch.cat([row, row, row + 1e-6]))
    assert not equal_rows(row)
    assert not equal_rows(torch.ones(4))


@pytest.mark.parametrize("classes", [2, 10])
def test_is_guess(classes):
    y = torch.arange(classes)
    loss = float(functional.cross_entropy(torch.zeros(classes, classes), y))
    assert is_guess(loss, classes)
    assert is_guess(loss * 1.04, classes)
    assert not is_guess(loss * 1.06, classes)
    assert not is_guess(float(functional.cross_entropy(torch.eye(classes), y)), classes)
    assert not is_guess(0.0, 1)


# Whole sentences: a raw training step is recorded by hand, once sick and once healthy.


class Module(nn.Module):
    def __init__(self, net, loss=None):
        super().__init__()
        self.net = net
        self.loss = loss or nn.BCEWithLogitsLoss()

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self.net(x), y)


def data(count=32, features=2):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, features, generator=generator)
    return x, (x[:, :1] * x[:, 1:2] > 0).float()


def tinynet(seed=3):
    torch.manual_seed(seed)
    return TinyNet()


def filled(value, *names, net=None):
    net = net or tinynet()
    with torch.no_grad():
        for name in names:
            net.get_parameter(name).fill_(value)
    return net


def one(sentences, *words):
    """Return whether exactly one sentence has all these words."""
    return sum(all(word in sentence for word in words) for sentence in sentences) == 1


def none(sentences, *words):
    """Return whether no sentence has all these words."""
    return not any(all(word in sentence for word in words) for sentence in sentences)


def said(net, batch=None, *, loss=None, optimizer=torch.optim.SGD, lr=1e-3, held=None, clip=None, number=0, state=()):
    """Record one step of the raw loop and return its sentences."""
    module = net if isinstance(net, Module) else Module(net, loss)
    batch = batch or data()
    names = {p: name for name, p in module.named_parameters()}
    made = optimizer([p for p, name in names.items() if p.requires_grad and (held is None or name in held)], lr=lr)
    groups = [{**group, "params": [names[p] for p in group["params"]]} for group in made.param_groups]
    start = copy.deepcopy(module)
    step = Step(number, number, start, batch, capture(), nullcontext, optimizer, groups, dict(state), {}, clip=clip)
    step.stepped = True
    loss_value = module.training_step(batch, number)
    loss_value.backward()

    def now():
        return {name: p.detach().clone() for p, name in names.items()}

    def gradients():
        return {name: p.grad.clone() for p, name in names.items() if p.grad is not None}

    step.loss, step.before_update, step.gradients = loss_value.detach(), now(), gradients()
    if clip is not None:
        {"norm": nn.utils.clip_grad_norm_, "value": nn.utils.clip_grad_value_}[clip[0]](module.parameters(), clip[1])
    step.clipped = gradients()
    made.step()
    step.after = now()
    return observations(SimpleNamespace(step=step, calls=trace(step).calls))


def recorded(*overrides):
    """Return what the first step of a job of the project shows, as the Trainer makes it."""
    values = task_values(composed(CONF, "train", ["logger=none", "trainer=cpu", "callbacks=none", *overrides]))
    job, found = prepare(values, values), []
    job.trainer.callbacks.append(Recorder(found.append, when=lambda trainer, _: trainer.global_step == 0))
    job.trainer.fit_loop.epoch_loop.max_steps = 1
    job.trainer.fit(job.module, datamodule=job.datamodule)
    return observations(audit(found[0]))


def healthy():
    return filled(0.5, "fc1.bias")  # every unit fires for some row


def test_a_healthy_step_says_nothing():
    assert said(healthy(), lr=1e-2) == []


@pytest.mark.parametrize("value", [0.3, -0.3])
def test_symmetry(value):
    net = filled(value, "fc1.weight", "fc2.weight", net=healthy())
    told = (
        "All 8 rows of net.fc1.weight receive the same gradient and were equal before: symmetry is not broken, and 8 "
        "units do the work of one."
    )
    assert told in said(net)
    net = filled(value, "fc1.weight", "fc2.weight", net=healthy())
    with torch.no_grad():
        net.fc2.weight[0, 0] += 0.1  # the gradient of one row differs
    assert none(said(net), "symmetry")
    net = filled(value, "fc2.weight", net=healthy())
    linear = nn.Sequential(net.fc1, net.fc2)  # without a ReLU the rows differ, their gradients do not
    assert none(said(linear), "symmetry")


def test_zero_weights_and_the_gradients_that_they_stop():
    found = said(filled(0.0, "fc2.weight", net=healthy()))
    assert "Every number of net.fc2.weight is 0." in found
    assert "No gradient reaches net.fc1.weight and net.fc1.bias (0 everywhere), because net.fc2.weight is 0." in found
    found = said(filled(1e-6, "fc2.weight", net=healthy()))
    assert none(found, "No gradient")
    assert none(found, "Every number")


def test_an_input_of_zeros_gives_its_weight_no_gradient():
    x, y = data()
    told = "No gradient reaches net.fc1.weight (0 everywhere), because the input of its layer is 0 for every row."
    assert told in said(healthy(), (torch.zeros_like(x), y))
    found = said(filled(0.0, "fc2.weight", net=healthy()), (torch.zeros_like(x), y))
    assert told in found
    assert "No gradient reaches net.fc1.bias (0 everywhere), because net.fc2.weight is 0." in found
    assert none(said(healthy(), (x, y)), "No gradient")


def test_a_dead_layer_stops_every_gradient():
    found = said(filled(-100.0, "fc1.bias"))
    assert one(
        found, "No gradient reaches net.fc1.weight and net.fc1.bias", "every unit of net.relu is 0 on this batch"
    )
    assert one(found, "8 of 8 units of net.relu are dead")
    net = healthy()
    with torch.no_grad():
        net.fc1.bias[1:] = -100.0
    assert none(said(net), "No gradient reaches net.fc1.weight")


def test_no_cause_is_made_up():
    class Cut(Module):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * 0.0

    names = "net.fc1.weight, net.fc1.bias, net.fc2.weight and net.fc2.bias"
    assert f"No gradient reaches {names} (0 everywhere)." in said(Cut(healthy()))


def test_a_way_around_a_zero_weight_is_no_cause():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.zero, self.open = nn.Linear(2, 2), nn.Linear(2, 1), nn.Linear(2, 1)
            self.zero.weight.data.zero_()

        def forward(self, x):
            h = self.first(x)
            return self.zero(h) + self.open(h)

    class Cut(Module):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * 0.0

    sentence = next(sentence for sentence in said(Cut(Two())) if sentence.startswith("No gradient"))
    assert "because" not in sentence


def test_dead_units_are_counted():
    net = healthy()
    with torch.no_grad():
        net.fc1.bias[:3] = -100.0
    told = (
        "3 of 8 units of net.relu are dead on this batch: 0 for every one of its 32 rows, so no gradient passes "
        "through them."
    )
    assert told in said(net)
    assert none(said(healthy()), "dead")
    net = healthy()
    with torch.no_grad():
        net.fc1.bias[0] = -100.0
    assert one(said(net), "1 of 8 units of net.relu is dead", "through it.")


def test_few_rows_prove_no_dead_unit():
    net = healthy()
    with torch.no_grad():
        net.fc1.bias[:3] = -100.0
    assert one(said(net, data(8)), "dead")
    assert none(said(net, data(7)), "dead")


def test_dead_channels_of_a_convolution():
    def net(bias):
        torch.manual_seed(0)
        made = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 1))
        with torch.no_grad():
            made[1].bias[1] = bias
        return made

    batch = torch.randn(8, 1, 5, 5, generator=torch.Generator().manual_seed(0)), torch.ones(8, 1)
    assert one(said(net(-100.0), batch), "1 of 3 units of net.2 is dead on this batch")
    assert none(said(net(0.0), batch), "dead")


@pytest.mark.parametrize(("kind", "limits"), [(nn.Tanh, "-1 or 1"), (nn.Sigmoid, "0 or 1")])
def test_saturated(kind, limits):
    def net(bias):
        made = nn.Sequential(nn.Linear(2, 8), kind(), nn.Linear(8, 1))
        with torch.no_grad():
            made[0].bias[:2] = bias
        return made

    found = said(net(100.0))
    assert one(
        found, f"2 of 8 units of net.1 are saturated on this batch: within 0.01 of {limits} for every one of its"
    )
    assert none(said(net(0.0)), "saturated")


def test_the_loss_of_a_guess():
    net = filled(0.0, "fc2.weight", "fc2.bias")
    assert "The loss, 0.6931, is about that of an untrained guess: ln 2 = 0.6931." in said(net)
    net = filled(0.0, "fc2.weight", "fc2.bias")
    assert "After 7 steps the loss of this batch, 0.6931, is still about that of a guess: ln 2 = 0.6931." in said(
        net, number=7
    )
    assert none(said(filled(0.0, "fc2.weight", net=filled(1.0, "fc2.bias"))), "guess")


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), functional.cross_entropy], ids=["layer", "function"])
def test_the_loss_of_a_guess_among_ten_classes(loss):
    class Functional(Module):
        def training_step(self, batch, batch_idx):
            return loss(self.net(batch[0]), batch[1])

    def batch():
        return data()[0], torch.arange(32) % 10

    net = filled(0.0, "fc2.weight", "fc2.bias", net=TinyNet(2, 8, 10))
    module = Module(net, loss) if isinstance(loss, nn.Module) else Functional(net)
    assert one(said(module, batch()), "The loss, 2.3026, is about that of an untrained guess: ln 10 = 2.3026.")
    assert none(said(Module(net, nn.CrossEntropyLoss(label_smoothing=0.1)), batch()), "guess")
    assert none(said(Module(net, nn.CrossEntropyLoss(reduction="sum")), batch()), "guess")


def test_a_sum_of_losses_is_no_guess():
    sure = filled(0.0, "fc2.weight", net=filled(-math.log(math.expm1(math.log(2) / 32)), "fc2.bias"))
    x, _ = data()
    assert none(said(sure, (x, torch.ones(32, 1)), loss=nn.BCEWithLogitsLoss(reduction="sum")), "guess")


def test_binary_cross_entropy_of_a_function():
    class Functional(Module):
        def training_step(self, batch, batch_idx):
            return functional.binary_cross_entropy_with_logits(self.net(batch[0]), batch[1])

    assert one(said(Functional(filled(0.0, "fc2.weight", "fc2.bias"))), "untrained guess: ln 2")


def test_no_guess_is_seen_in_a_squared_error():
    net = filled(0.0, "fc2.weight", "fc2.bias")
    x, _ = data()
    assert none(said(net, (x, torch.full((32, 1), 0.8326)), loss=nn.MSELoss()), "guess")  # 0.8326² = ln 2


def test_clipping_by_norm():
    found = said(healthy(), clip=("norm", 0.01))
    norm = float(next(s for s in found if "clipped" in s).split()[6])
    assert f"The gradient was clipped from norm {norm:.4g} to 0.01." in found
    assert norm > 0.01
    assert none(said(healthy(), clip=("norm", 10.0)), "clipped")


def test_clipping_by_value():
    assert one(said(healthy(), clip=("value", 1e-5)), "of 33 numbers of the gradient were clipped to ±1e-05.")
    assert none(said(healthy(), clip=("value", 10.0)), "clipped")


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW])
def test_the_first_step_of_adam(optimizer):
    found = said(healthy(), optimizer=optimizer)
    told = f"{optimizer.__name__}'s first step moves a number by about lr = 0.001, whatever its gradient: gradients of"
    assert one(found, told, "give updates of ", " lr.")
    assert none(said(healthy(), optimizer=torch.optim.RMSprop), "first step")
    state = {"net.fc1.bias": {"step": torch.tensor(1.0)}}
    assert none(said(healthy(), optimizer=optimizer, state=state), "first step")


def test_adams_first_step_is_not_told_where_decay_moves_more():
    class AdamW(torch.optim.AdamW):
        def __init__(self, params, lr):
            super().__init__(params, lr=lr, weight_decay=100.0)

    assert none(said(healthy(), optimizer=AdamW), "first step")


def test_large_and_small_updates():
    assert one(said(healthy(), lr=100.0), "optimizer.step() moves net.fc", "% of its norm (lr = 100); 0.1 % is usual.")
    fine = healthy().double(), tuple(part.double() for part in data())
    assert one(said(*fine, lr=1e-8), "No weight moves by more than 9e-07 % of its norm (net.fc2.weight, lr = 1e-08)")
    assert none(said(filled(1e-4, "fc2.bias", net=healthy()), lr=1e-2), "net.fc2.bias")  # a bias may begin at 0
    assert one(said(healthy(), lr=0.0), "optimizer.step() moves no weight, though there are gradients (lr = 0).")
    assert none(said(healthy(), lr=1e-2), "optimizer.step()")
    assert none(said(healthy(), lr=1e-2), "No weight moves")


def test_frozen():
    net = healthy()
    net.fc1.requires_grad_(False)
    told = "net.fc1.weight and net.fc1.bias are frozen: requires_grad is False, no gradient is made."
    found = said(net)
    assert told in found
    assert none(found, "in no optimizer")
    assert none(found, "received no gradient")
    assert none(said(healthy()), "frozen")


def test_in_no_optimizer():
    names = ["net.fc1.weight", "net.fc1.bias", "net.fc2.weight", "net.fc2.bias"]
    told = "net.fc2.bias is trainable but in no optimizer: step() never moves it."
    assert told in said(healthy(), held=names[:3])
    assert none(said(healthy(), held=names), "in no optimizer")


def test_no_gradient():
    class Unused(Module):
        def __init__(self, net, used):
            super().__init__(net)
            self.used, self.more = used, nn.Linear(2, 1)

        def training_step(self, batch, batch_idx):
            extra = self.more(batch[0]).mean() if self.used else 0.0
            return super().training_step(batch, batch_idx) + extra

    told = "more.weight and more.bias received no gradient: no recorded operation leads from the loss to them."
    assert told in said(Unused(healthy(), used=False))
    assert none(said(Unused(healthy(), used=True)), "received no gradient")


def test_layers_in_a_plain_list():
    class Listed(nn.Module):
        def __init__(self, container):
            super().__init__()
            self.hidden = container([nn.Linear(2, 2)])
            self.head = nn.Linear(2, 1)

        def forward(self, x):
            return self.head(self.hidden[0](x))

    told = "net.hidden is no nn.Module: parameters() misses the 6 numbers in it, and so does the optimizer."
    assert said(Listed(list))[0] == told
    assert none(said(Listed(nn.ModuleList)), "parameters()")


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("batch", "batch[0] is the first tensor on the way that is not finite: 1 of 64 numbers."),
        ("weight", "net.fc1.weight is the first tensor on the way that is not finite: 1 of 16 numbers."),
        ("output", "net.fc2's output is the first tensor on the way that is not finite: 32 of 32 numbers."),
    ],
)
def test_what_is_not_finite_is_named_where_it_begins(where, told):
    (x, y), net = data(), healthy()
    with torch.no_grad():
        if where == "batch":
            x[0, 0] = torch.nan
        elif where == "weight":
            net.fc1.weight[0, 0] = torch.inf
        else:
            net.fc2.weight.fill_(1e30)
            net.fc1.weight.fill_(1e20)
            x = x.abs() + 1.0
    assert said(net, (x, y))[0] == told
    assert none(said(healthy()), "not finite")


def test_many_names_are_cut_short():
    net = nn.Sequential(*[nn.Linear(2, 2) for _ in range(4)], nn.Linear(2, 1)).requires_grad_(False)
    net[4].requires_grad_(True)
    assert one(said(net), "net.0.weight, net.0.bias, net.1.weight, net.1.bias and 4 more are frozen")


def test_a_recorded_step_of_the_project_says_that_symmetry_is_not_broken():
    found = recorded("data=xor", "init=zeros")
    assert found[0] == (
        "All 8 rows of net.fc1.weight receive the same gradient (0 everywhere) and were equal before: symmetry is not "
        "broken, and 8 units do the work of one."
    )
    assert (
        "No gradient reaches net.fc1.weight and net.fc1.bias (0 everywhere), because every unit of net.relu is 0 on "
        "this batch and net.fc2.weight is 0." in found
    )
    assert none(recorded("data=xor", "init=kaiming"), "symmetry")
