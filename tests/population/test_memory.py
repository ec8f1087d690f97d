"""The memory of a member: the same at every size of a population, and what is counted is what lives."""

import torch

from glassbox.population.memory import Live, memory, peak


def test_each_member_takes_the_same(lab):
    job = lab.job("data=moons", "data.samples=100", "max_epochs=5")
    cohort, member = lab.cohort(job), lab.member(job)
    few, more, most = (peak(cohort, job.datamodule, member, width) for width in (32, 64, 256))
    assert abs((most - more) / 192 / ((more - few) / 32) - 1) < 0.02
    rows = len(job.datamodule.rows["train"])
    taken, free = memory(cohort, job.datamodule, member)
    assert taken > 4 * (3 * 33 + rows * (2 + 1 + 1))  # parameters, two moments; inputs, targets, outputs
    assert taken < free


def test_only_what_lives_at_once_is_counted():
    with Live() as live:
        kept = torch.zeros(1000)
        for _ in range(3):
            torch.ones(500)
        view = kept[:10]
    assert live.most == 4 * 1500
    assert view.sum() == 0
