"""The proof: one config trained by hand, by the lesson's raw loop and by Lightning gives the same bits at every step.

By hand nothing but `glassbox.mechanics` is used: no module, no autograd, no torch.optim. All three get the same config,
from which each takes the start, the batches and the hyper-parameters; the loss and all 33 numbers are compared at
every step with tolerance 0.
"""

from typing import NamedTuple

import lightning.pytorch as pl
import pytest
import torch

from glassbox.config.compose import composed, task_values
from glassbox.config.job import prepare
from glassbox.config.place import CONF
from glassbox.mechanics.layer import linear, relu
from glassbox.mechanics.loss import bce_with_logits
from glassbox.mechanics.network import Chain
from glassbox.mechanics.optimizer import adam, adamw, rmsprop, sgd
from glassbox.mechanics.schedule import constant, cosine, one_cycle, plateau, warmup_cosine
from glassbox.mechanics.schedule import step as staircase
from glassbox.model import TinyNet
from glassbox.training.trainer import place

TINYNET = Chain([("fc1", linear), ("relu", relu), ("fc2", linear)])
BY_HAND = {"SGD": sgd, "RMSprop": rmsprop, "Adam": adam, "AdamW": adamw}
SCHEDULES = {
    "StepLR": staircase,
    "CosineAnnealingLR": cosine,
    "warmup_cosine": warmup_cosine,
    "ReduceLROnPlateau": plateau,
    "OneCycleLR": one_cycle,
}
BARE = ("logger=none", "callbacks=none", "trainer=cpu", "trainer.limit_val_batches=0", "monitor=train/loss")
SETTINGS = {
    "sgd": ("optimizer=sgd", "lr=0.1"),
    "momentum": ("optimizer=momentum", "lr=0.05"),
    "nesterov": ("optimizer=nesterov", "optimizer.weight_decay=0.01", "lr=0.05"),
    "rmsprop": ("optimizer=rmsprop",),
    "adam": ("optimizer=adam",),
    "adamw": ("optimizer=adamw",),
}
BATCHES = {"breast_cancer": 11, "moons": 19}  # batches in an epoch


class Course(NamedTuple):
    """What one way of training went through: T losses, and the parameters after each of T steps."""

    losses: torch.Tensor
    parameters: torch.Tensor


def course(losses, parameters):
    flat = [torch.cat([p.detach().flatten() for p in each]) for each in parameters]
    return Course(torch.stack([loss.detach() for loss in losses]), torch.stack(flat))


class Witness(pl.Callback):
    """Notes loss, parameters and hyper-parameters at every step of a real Trainer."""

    def __init__(self):
        self.losses, self.parameters, self.hyper = [], [], []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.hyper.append(dict(optimizer.param_groups[0]))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].clone())
        self.parameters.append([p.detach().clone() for p in pl_module.net.parameters()])


class Config:
    """A config, and what the other two ways take from it before Lightning trains."""

    def __init__(self, *overrides):
        values = task_values(composed(CONF, "train", [*BARE, *overrides]))
        self.job = prepare(values, values)
        data = self.job.datamodule
        x, y = data.train_dataloader().tensors
        self.epochs = [
            [(x[rows], y[rows]) for rows in data._sampler.order(epoch).split(data.batch_size)]
            for epoch in range(values["max_epochs"])
        ]
        self.dtype = x.dtype
        self.start = {name: p.detach().to(x.dtype, copy=True) for name, p in self.job.module.net.named_parameters()}
        self.optimizer, self.hyper = target(values["optimizer"])
        self.scheduler, self.plan = target(values["scheduler"])


def target(node):
    """Return the class that a part of the config names, and its arguments."""
    name = (node["_target_"] or "").rpartition(".")[2]
    return name, {key: value for key, value in node.items() if key not in ("_target_", "interval")}


def by_hand(config, hyper):
    """Train with mechanics alone; `hyper(epoch, step)` are the hyper-parameters of a step."""
    optimizer, parameters = BY_HAND[config.optimizer], config.start
    state = {name: optimizer.initial(p) for name, p in parameters.items()}
    losses, seen = [], []
    for epoch, batches in enumerate(config.epochs):
        for x, y in batches:
            tape = TINYNET.forward(parameters, x)
            losses.append(bce_with_logits.forward(tape[-1], y))
            gradients = TINYNET.backward(parameters, tape, bce_with_logits.backward(tape[-1], y))
            options = hyper(epoch, len(seen))
            updated = {n: optimizer.update(p, gradients[n], state[n], **options) for n, p in parameters.items()}
            parameters = {name: p for name, (p, _) in updated.items()}
            state = {name: s for name, (_, s) in updated.items()}
            seen.append(parameters.values())
    return course(losses, seen)


def by_raw_torch(config, foreach):
    """Train with the loop of the lesson."""
    model = TinyNet(2).to(config.dtype)
    model.load_state_dict(config.start)
    criterion = torch.nn.BCEWithLogitsLoss()
    optimizer = getattr(torch.optim, config.optimizer)(model.parameters(), foreach=foreach, **config.hyper)
    losses, seen = [], []
    for batches in config.epochs:
        for x, y in batches:
            optimizer.zero_grad()
            output = model(x)
            loss = criterion(output, y)
            loss.backward()
            optimizer.step()
            losses.append(loss)
            seen.append([p.detach().clone() for p in model.parameters()])
    return course(losses, seen)


def by_lightning(config, folder):
    """Train with the Trainer that the config builds; returns what it went through, and who saw it."""
    witness = Witness()
    config.job.trainer.callbacks.append(witness)
    place(config.job.trainer, folder)
    config.job.trainer.fit(config.job.module, datamodule=config.job.datamodule)
    return course(witness.losses, witness.parameters), witness


def demand_equal(one, other):
    assert torch.equal(one.losses, other.losses)
    assert torch.equal(one.parameters, other.parameters)


@pytest.mark.parametrize("data", BATCHES)
@pytest.mark.parametrize("precision", ["32-true", "64-true"])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("steps", [50, pytest.param(500, marks=pytest.mark.slow)])
def test_three_ways_are_one(steps, setting, precision, data, tmp_path):
    epochs = -(-steps // BATCHES[data])
    config = Config(*SETTINGS[setting], f"data={data}", f"trainer.precision={precision}", f"max_epochs={epochs}")
    hand = by_hand(config, lambda epoch, step: config.hyper)
    assert hand.parameters.shape == (epochs * BATCHES[data], 33)
    assert hand.parameters.dtype == (torch.float32 if precision == "32-true" else torch.float64)
    assert hand.losses[-1] < hand.losses[0]
    for foreach in (False, True):
        demand_equal(hand, by_raw_torch(config, foreach))
    lightning, _ = by_lightning(config, tmp_path)
    demand_equal(hand, lightning)


def rates_of(config, metrics):
    """Return the learning rate of every epoch by hand."""
    lr, rates, base = config.hyper["lr"], [], config.hyper["lr"]
    plan = {key: value for key, value in config.plan.items() if key != "monitor"}
    schedule = SCHEDULES.get(config.scheduler, constant)
    if schedule is plateau:
        state = plateau.initial(base, plan["mode"])
        for metric in metrics:
            rates.append(state.lr)
            state = plateau.update(metric, state, **plan)
        return rates
    for epoch in range(len(config.epochs)):
        lr = schedule.update(epoch, lr, base_lr=base, **plan)
        rates.append(lr)
    return rates


@pytest.mark.parametrize("name", ["none", "step", "cosine", "warmup_cosine", "plateau"])
def test_rates_by_hand_are_those_of_a_real_run(name, tmp_path):
    more = {
        "step": ("scheduler.step_size=3",),
        "warmup_cosine": ("scheduler.warmup_epochs=2",),
        "plateau": ("scheduler.patience=0", "+scheduler.threshold=0.2"),
    }
    config = Config(f"scheduler={name}", *more.get(name, ()), "max_epochs=7")
    lightning, witness = by_lightning(config, tmp_path)
    rows = config.job.curves.rows
    rates = rates_of(config, [rows[epoch]["train/loss"] for epoch in sorted(rows)])
    assert [group["lr"] for group in witness.hyper] == [rate for rate in rates for _ in range(11)]
    assert (len(set(rates)) > 1) == (name != "none")
    demand_equal(by_hand(config, lambda epoch, step: config.hyper | {"lr": rates[epoch]}), lightning)


def test_one_cycle_by_hand_moves_rate_and_beta1_of_a_real_run(tmp_path):
    config = Config("scheduler=one_cycle", "scheduler.cycle_momentum=true", "max_epochs=5")
    plan = {key: value for key, value in config.plan.items() if key not in ("cycle_momentum", "total_steps")}

    def hyper(epoch, step):
        lr, beta1 = one_cycle.values(step, total_steps=5 * 11, **plan)
        return config.hyper | {"lr": lr, "betas": (beta1, config.hyper["betas"][1])}

    lightning, witness = by_lightning(config, tmp_path)
    for step, group in enumerate(witness.hyper):
        assert {key: group[key] for key in ("lr", "betas")} == {key: hyper(0, step)[key] for key in ("lr", "betas")}
    demand_equal(by_hand(config, hyper), lightning)
