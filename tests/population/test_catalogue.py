"""Every optimizer, scheduler and initialiser of conf/: a member of any population is the run alone."""

import copy
import dataclasses
import math
import random

import pytest
import torch

from glassbox.config.place import CONF
from glassbox.population.batchable import refusal

EPOCHS = 100
# Its classes are of unequal size: with equal ones a net of zeros would stay at zero but for rounding.
BASE = ("data=breast_cancer", "data.split=[0.1,0.1,0.8]", "batch_size=20", f"max_epochs={EPOCHS}")
RATES = (3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3)
KINDS = [
    (optimizer.stem, scheduler.stem)
    for optimizer in sorted((CONF / "optimizer").glob("*.yaml"))
    for scheduler in sorted((CONF / "scheduler").glob("*.yaml"))
]
INITS = [path.stem for path in sorted((CONF / "init").glob("*.yaml"))]


def jobs_of(lab, optimizer, scheduler, precision):
    """Return a job for every initialiser, which differ also in seed, lr and every other number that may differ."""
    plain = lab.job(*BASE, f"optimizer={optimizer}", f"scheduler={scheduler}").values
    for number, init in enumerate(INITS):
        lr = RATES[number % len(RATES)]
        overrides = [f"lr={lr}", f"seed={number // 2}", f"init={init}", f"trainer.precision={precision}"]
        overrides += [f"optimizer={optimizer}", f"scheduler={scheduler}", f"optimizer.weight_decay={number * 1e-3}"]
        for group in ("optimizer", "scheduler"):
            for key, value in plain[group].items():
                if key not in ("lr", "max_lr", "weight_decay") and type(value) in (int, float) and value:
                    other = value * (1 - 0.03 * number) if isinstance(value, float) else value + number
                    overrides.append(f"{group}.{key}={other}")
        yield lab.job(*BASE, *overrides)


def filled(lab, jobs):
    """Return the members of jobs and others, 64 in all, shuffled, and the places of those of the jobs."""
    members = [lab.member(job) for job in jobs]
    others = [
        dataclasses.replace(members[n % len(members)], seed=100 + n, weights=members[(n + 1) % len(members)].weights)
        for n in range(64 - len(members))
    ]
    population = [*members, *others]
    random.Random(0).shuffle(population)
    return population, [next(place for place, one in enumerate(population) if one is m) for m in members]


def moved(job):
    """Return a copy of a job whose weights are moved by one unit in the last place."""
    copied = dataclasses.replace(job, module=copy.deepcopy(job.module))
    for p in copied.module.net.parameters():
        p.data = torch.nextafter(p.data, torch.full_like(p.data, math.inf))
    return copied


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "scheduler"), KINDS)
def test_in_float64_it_is_the_run_alone_whoever_else_is_there(lab, optimizer, scheduler):
    jobs = list(jobs_of(lab, optimizer, scheduler, "64-true"))
    reason = refusal(lab.cohort(jobs[0]), lab.member(jobs[0]), jobs[0].datamodule)
    if reason is not None:
        pytest.skip(f"runs one by one: {reason}")
    alone = [lab.alone(job) for job in jobs]
    members, places = filled(lab, jobs)
    trained = lab.together(jobs, members)
    together = [trained[place] for place in places]
    few = [*lab.together(jobs[:1]), *lab.together(jobs[1:3])]
    pairs = zip([*jobs, *jobs[:3]], [*alone, *alone[:3]], [*together, *few], strict=True)
    for job, one, member in pairs:
        assert lab.difference(job, one, member) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "scheduler"), KINDS)
def test_in_float32_it_is_the_run_alone_as_far_as_that_is_itself(lab, optimizer, scheduler):
    jobs = list(jobs_of(lab, optimizer, scheduler, "32-true"))
    if refusal(lab.cohort(jobs[0]), lab.member(jobs[0]), jobs[0].datamodule) is not None:
        pytest.skip("runs one by one")
    members, places = filled(lab, jobs)
    trained = lab.together(jobs, members)
    # A Latin square: each optimizer and each scheduler meets every initialiser once; above it is all of them.
    row, column = divmod(KINDS.index((optimizer, scheduler)), len({scheduler for _, scheduler in KINDS}))
    chosen = (row + column) % len(jobs)
    job, member, alone = jobs[chosen], trained[places[chosen]], lab.alone(jobs[chosen])
    difference = lab.distance(alone, member)
    if difference > 1e-3:
        control = lab.distance(alone, lab.alone(moved(job)))
        assert control > difference / 2, f"{difference:.1e} alone, but {control:.1e} when moved by one ulp"
