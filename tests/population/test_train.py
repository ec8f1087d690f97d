"""A member of a population against the same config run alone."""

from functools import partial

import pytest
import torch

from glassbox.population import module, train
from glassbox.population.order import Orders
from glassbox.population.schedule import Schedule

SMALL = ("data=moons", "data.samples=60", "batch_size=10", "max_epochs=5")
DOUBLE = "trainer.precision=64-true"


@pytest.fixture(scope="module")
def pair(lab):
    """Two jobs that differ in all that may differ, with their runs alone."""
    common = (*SMALL, DOUBLE, "scheduler=step", "scheduler.step_size=2", "trainer.gradient_clip_val=0.3")
    jobs = [
        lab.job(*common, "lr=0.1", "seed=0", "init=normal"),
        lab.job(
            *common, "lr=0.03", "seed=1", "scheduler.gamma=0.5", "trainer.gradient_clip_val=1", "optimizer.eps=1e-3"
        ),
    ]
    return jobs, [lab.alone(job) for job in jobs]


def differences(lab, pair, trained):
    return [lab.difference(job, alone, one) for job, alone, one in zip(*pair, trained, strict=True)]


def test_is_the_run_alone(lab, pair):
    assert max(differences(lab, pair, lab.together(pair[0]))) < 1e-12


def swapped(monkeypatch):
    own = train.Program._snapshots

    def snapshots(self, kept):
        found = own(self, kept)
        return [found[1], found[0], *found[2:]]

    monkeypatch.setattr(train.Program, "_snapshots", snapshots)


def shared_seed(monkeypatch):
    monkeypatch.setattr(train, "Orders", lambda n, seeds, device: Orders(n, [seeds[0]] * len(seeds), device))


def wrong_lr(monkeypatch):
    own = Schedule.epoch
    monkeypatch.setattr(Schedule, "epoch", lambda self: [torch.roll(rate, 1) for rate in own(self)])


def wrong_lr_once(monkeypatch):
    own = module._on
    monkeypatch.setattr(module, "_on", lambda device, rates: [*own(device, rates)[:-1], rates[0][0]])


@pytest.mark.parametrize("plant", [swapped, shared_seed, wrong_lr, wrong_lr_once])
def test_a_planted_fault_is_seen(lab, pair, monkeypatch, plant):
    plant(monkeypatch)
    trained = lab.together(pair[0])
    with pytest.raises(AssertionError):
        assert max(differences(lab, pair, trained)) < 1e-9


DECIDED = {
    "early stopping and plateau": (
        *("data=moons", "data.samples=60", "batch_size=10", "max_epochs=25"),
        *(
            "scheduler=plateau",
            "scheduler.patience=1",
            "callbacks=early_stopping",
            "callbacks.early_stopping.patience=4",
        ),
    ),
    "the best area under the curve, of which many are equal": (
        *SMALL,
        "monitor=val/auroc",
        "mode=max",
        "optimizer=nesterov",
    ),
    "stopping at a threshold": (
        *(*SMALL, "callbacks=early_stopping", "+callbacks.early_stopping.stopping_threshold=0.65"),
        "callbacks.early_stopping.min_delta=0.01",
    ),
    "no checkpoint, clipping by value": (
        *(*SMALL, "callbacks=none", "optimizer=momentum", "trainer.gradient_clip_val=0.01"),
        "trainer.gradient_clip_algorithm=value",
    ),
    "classes": ("data=digits", "max_epochs=2", "batch_size=200", "scheduler=one_cycle"),
    "a number": (
        "data=diabetes",
        "max_epochs=4",
        "optimizer=rmsprop",
        "scheduler=warmup_cosine",
        "scheduler.warmup_epochs=2",
    ),
    "divergence": ("data=diabetes", "max_epochs=4", "optimizer=sgd"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DECIDED)
def test_decides_as_alone(lab, name):
    rates = (0.05, 5.0, 1e6) if name == "divergence" else (0.05, 0.3, 0.01)
    jobs = [lab.job(*DECIDED[name], DOUBLE, f"lr={lr}", f"seed={seed}") for seed, lr in enumerate(rates)]
    alone = [lab.alone(job) for job in jobs]
    trained = lab.together(jobs)
    assert max(differences(lab, (jobs, alone), trained)) < 1e-9
    if name == "divergence":
        assert [one.status for one in trained] == ["finished", "diverged", "diverged"]
    if name == "early stopping and plateau":
        assert len({len(one.rows) for one in trained}) > 1


@pytest.mark.slow
def test_any_number_of_programs_is_compiled(lab, monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # the same, but for C++
    for size in range(5, 15):
        (trained,) = lab.together([lab.job(*SMALL, f"batch_size={size}", "max_epochs=2")], compiled=True)
        assert trained.status == "finished"
