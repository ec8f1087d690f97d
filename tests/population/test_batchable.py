"""What cannot be in a population, and the words for it."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from glassbox.model import MLP, TinyNet
from glassbox.population.batchable import of_optimizer, of_scheduler, refusal
from glassbox.training.module import SupervisedModule


class Branching(nn.Linear):
    """A net that looks at its numbers."""

    def forward(self, x):
        return super().forward(x) if x.sum() > 0 and self.weight.sum() > 0 else super().forward(-x)


class Idle(nn.Linear):
    """A net with a parameter that does nothing."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.idle = nn.Parameter(torch.zeros(1))


class Random(nn.Linear):
    """A net that draws numbers."""

    def forward(self, x):
        return super().forward(x + torch.randn_like(x))


def frozen():
    net = TinyNet()
    net.fc1.bias.requires_grad = False
    return net


NETS = {
    "MLP has buffers, as BatchNorm has": lambda: MLP(2, 1, batch_norm=True),
    "MLP has dropout": lambda: MLP(2, 1, dropout=0.5),
    "TinyNet has parameters that are not trained": frozen,
    "Idle has parameters that its loss does not depend on": lambda: Idle(2, 1),
    "Branching cannot be batched: ": lambda: Branching(2, 1),
    "Random cannot be batched: ": lambda: Random(2, 1),
    "SupervisedModule is a LightningModule, which trains itself": lambda: SupervisedModule(
        TinyNet(), nn.BCEWithLogitsLoss(), torch.optim.SGD
    ),
}


@pytest.fixture(scope="module")
def job(lab):
    return lab.job("data=moons", "data.samples=60", "batch_size=10", "max_epochs=3")


def refused(lab, job, **other):
    return refusal(dataclasses.replace(lab.cohort(job), **other), lab.member(job), job.datamodule)


@pytest.mark.parametrize("words", NETS)
def test_a_net_that_cannot(lab, job, words):
    assert refused(lab, job, net=NETS[words]()).startswith(words)


@pytest.mark.parametrize(
    "net",
    [
        TinyNet(),
        MLP(2, 1, activation="gelu"),
        nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4), nn.Linear(4, 1)),
    ],
)
def test_a_net_that_can(lab, job, net):
    assert refused(lab, job, net=net) is None


def test_data_of_another_kind_cannot(lab, job):
    assert refusal(lab.cohort(job), lab.member(job), object()) == "its data have batches of their own"


def test_a_stopping_of_another_kind_cannot(lab, job):
    words = refused(lab, job, stopping={"monitor": "val/loss", "check_on_train_epoch_end": False})
    assert words == "there is no hand rule for EarlyStopping with check_on_train_epoch_end=False"


class Own(torch.optim.Adam):
    """An optimizer that may do anything."""


@pytest.mark.parametrize(
    ("optimizer", "arguments", "words"),
    [
        (torch.optim.Adam, {"lr": 0.1, "betas": [0.9, 0.99], "foreach": True, "maximize": False}, None),
        (torch.optim.Adam, {"decoupled_weight_decay": True}, "Adam with decoupled_weight_decay=True"),
        (torch.optim.Adam, {"fused": True}, "Adam with fused=True"),
        (Own, {}, "Own"),
    ],
)
def test_an_optimizer(optimizer, arguments, words):
    assert of_optimizer(optimizer, arguments) == (words and f"there is no hand rule for {words}")


@pytest.mark.parametrize(
    ("scheduler", "arguments", "interval", "words"),
    [
        (lr_scheduler.StepLR, {"step_size": 2}, "step", None),
        (lr_scheduler.StepLR, {"step_size": 2, "last_epoch": 3}, "epoch", "no hand rule for StepLR with last_epoch=3"),
        (lr_scheduler.CyclicLR, {}, "step", "no hand rule for CyclicLR"),
        (lr_scheduler.OneCycleLR, {"max_lr": 1}, "step", "OneCycleLR moves the momentum too; use cycle_momentum=false"),
        (lr_scheduler.ReduceLROnPlateau, {}, "step", "would look at a metric within an epoch"),
        (lr_scheduler.ReduceLROnPlateau, {"factor": 0.5}, "epoch", None),
    ],
)
def test_a_scheduler(scheduler, arguments, interval, words):
    found = of_scheduler(scheduler, arguments, interval)
    assert found is None if words is None else found.endswith(words)
