"""Runs alone and the population of the same members, and the comparison of the two."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from glassbox.config.compose import composed, task_values
from glassbox.config.job import execute, open_record, prepare
from glassbox.config.place import CONF, ROOT
from glassbox.population.checkpoint import optimizer_state
from glassbox.population.member import Cohort, Member, varied
from glassbox.population.setting import Setting
from glassbox.population.train import Program
from glassbox.training.boundary import grid
from glassbox.training.checkpoint import load

FLOOR = 1e-6  # a number below it is compared as if it were this large


@dataclass
class Alone:
    """A run alone: what it wrote, and what its module ends with."""

    rows: dict[int, dict[str, float]]
    outcome: Any
    best: dict[str, Any] | None
    module: Any
    logits: torch.Tensor | None


class Lab:
    """Make jobs, run them alone, and train them as a population."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0

    def job(self, *overrides):
        values = task_values(composed(CONF, "train", ["logger=none", "trainer=cpu", "pictures=false", *overrides]))
        return prepare(values, values)

    def member(self, job) -> Member:
        module = job.module
        weights = {name: p.detach().clone() for name, p in module.net.named_parameters()}
        scheduler = {} if module._scheduler is None else dict(module._scheduler.keywords)
        clip = job.values["trainer"]["gradient_clip_val"]
        return Member(job.values["seed"], weights, dict(module._optimizer.keywords), scheduler, clip)

    def cohort(self, job) -> Cohort:
        module, values = job.module, job.values
        callbacks = values["callbacks"] or {}
        stopping = {key: value for key, value in callbacks.get("early_stopping", {}).items() if key[0] != "_"}
        checkpoint = callbacks.get("checkpoint") or {"monitor": None, "mode": "min"}
        return Cohort(
            net=copy.deepcopy(module.net),
            loss=module.loss,
            task=values["loss"]["task"],
            optimizer=module._optimizer.func,
            max_epochs=values["max_epochs"],
            batch_size=values["batch_size"],
            scheduler=None if module._scheduler is None else module._scheduler.func,
            interval=module._interval,
            scheduler_monitor=module._monitor,
            monitor=checkpoint["monitor"],
            mode=checkpoint["mode"],
            stopping=stopping or None,
            clip_algorithm=values["trainer"]["gradient_clip_algorithm"],
            target_scale=job.datamodule.target_scale,
            trainer={key: values["trainer"][key] for key in ("accelerator", "precision", "deterministic")},
        )

    def alone(self, job) -> Alone:
        """Run a job as scripts/train.py does; the job itself stays as it is."""
        job = copy.deepcopy(job)
        self.count += 1
        folder = self.folder / str(self.count)
        record = open_record(
            job.values, job.values, job.identity, folder, root=ROOT, overrides=[], hydra={}, command=[]
        )
        outcome = execute(job, record)
        best = folder / "checkpoints" / "best.ckpt"
        data, logits = job.datamodule, None
        if data.in_features == 2:
            raw = data.standardize(grid(data.table.features))
            logits = job.module(raw.to(next(job.module.parameters()).dtype)).detach()
        return Alone(job.curves.rows, outcome, load(best) if best.exists() else None, job.module, logits)

    def together(self, jobs: Sequence[Any], members: Sequence[Member] = (), **setting: Any):
        """Train the members of jobs, or others of their cohort, as one population."""
        members = members or [self.member(job) for job in jobs]
        width = -(-len(members) // 32) * 32
        setting = {"width": width, "varied": varied(members), **setting}
        return Program(self.cohort(jobs[0]), jobs[0].datamodule, Setting(**setting)).train(members)

    def difference(self, job, alone: Alone, trained) -> float:
        """Return the largest relative difference of all numbers; what has been decided must be equal."""
        assert list(alone.rows) == list(trained.rows)
        assert (alone.outcome.status, alone.outcome.reason) == (trained.status, trained.reason)
        assert (None if alone.best is None else alone.best["epoch"]) == (trained.best and trained.best.epoch)
        assert list(alone.outcome.test) == list(trained.test)
        pairs = [(row[key], trained.rows[epoch][key]) for epoch, row in alone.rows.items() for key in row]
        assert all(list(row) == list(trained.rows[epoch]) for epoch, row in alone.rows.items())
        pairs += [(value, trained.test[key]) for key, value in alone.outcome.test.items()]
        tensors = []
        if alone.best is not None:
            tensors += [(_best(alone)[1][name], value) for name, value in trained.best.weights.items()]
            tensors += self._optimizers(job, alone.best["optimizer_states"][0], trained.best)
        else:
            tensors += [(p.detach(), trained.last.weights[name]) for name, p in alone.module.net.named_parameters()]
        if trained.logits is not None:
            tensors.append((alone.logits, trained.logits))
        pairs += [(float(x), float(y)) for a, b in tensors for x, y in _flat(a, b)]
        return max(_relative(x, y) for x, y in pairs)

    def distance(self, one: Any, other: Any) -> float:
        """Return the largest difference of metrics, and of the best weights where the best epoch is the same."""
        epochs = sorted(one.rows.keys() & other.rows.keys())
        keys = [key for key in one.rows[0] if key.partition("/")[2] not in ("grad_norm", "update_ratio")]
        pairs = [(one.rows[epoch][key], other.rows[epoch][key]) for epoch in epochs for key in keys]
        (epoch, weights), (epoch2, weights2) = _best(one), _best(other)
        if epoch == epoch2:
            pairs += [(float(x), float(y)) for name in weights for x, y in _flat(weights[name], weights2[name])]
        return max(abs(x - y) / max(1, abs(x)) for x, y in pairs)

    def _optimizers(self, job, torchs, best):
        """Return pairs of the optimizers' tensors; all else in their states must be equal."""
        made = optimizer_state(self.cohort(job), self.member(job), best)
        assert [sorted(group) for group in made["param_groups"]] == [sorted(g) for g in torchs["param_groups"]]
        for ours, theirs in zip(made["param_groups"], torchs["param_groups"], strict=True):
            for key in ours:
                assert ours[key] == pytest.approx(theirs[key], rel=1e-12) if key == "lr" else ours[key] == theirs[key]
        assert made["state"].keys() == torchs["state"].keys()
        for number, state in torchs["state"].items():
            assert made["state"][number].keys() == state.keys()
            yield from ((value, made["state"][number][key]) for key, value in state.items())


def _best(run):
    """Return epoch and weights of the best checkpoint of a run alone, or of a member."""
    if not isinstance(run, Alone):
        return run.best.epoch, run.best.weights
    return run.best["epoch"], {key.removeprefix("net."): value for key, value in run.best["state_dict"].items()}


def _flat(a, b):
    """Yield one pair for a tensor: where its entries differ most, against the largest of them."""
    assert a.shape == b.shape
    scale, worst = a.abs().max(), torch.where(a == b, 0, (a - b).abs()).max()
    yield scale, scale + worst


def _relative(x, y):
    if (math.isnan(x) and math.isnan(y)) or x == y:
        return 0.0
    difference = abs(x - y) / max(abs(x), FLOOR)
    return math.inf if math.isnan(difference) else difference


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Lab:
    torch.set_num_threads(1)  # a logarithm of a sigmoid takes all there are, however few its numbers
    return Lab(tmp_path_factory.mktemp("runs"))
