"""What stands in the other places of a population changes no bit of a member."""

import dataclasses

import pytest
import torch

from glassbox.population.setting import Setting, has_compiler
from glassbox.population.train import Program

WIDTH = 64
PLACES = (5, WIDTH - 1)


@pytest.fixture(params=["32-true", pytest.param("64-true", marks=pytest.mark.slow)])
def chunk(lab, request):
    """A cohort made ready, the member that is looked at, and others, each unlike the next."""
    common = ("data=moons", "data.samples=60", "batch_size=10", "max_epochs=3", f"trainer.precision={request.param}")
    job = lab.job(*common, "model=mlp", "model.hidden=5", "model.activation=tanh", "scheduler=plateau", "init=normal")
    member = lab.member(job)
    others = [
        dataclasses.replace(
            member,
            seed=n % 3,
            weights={name: (1 + n / 7) * weight for name, weight in member.weights.items()},
            optimizer={**member.optimizer, "lr": 0.01 * n},
        )
        for n in range(1, WIDTH)
    ]
    cohort = lab.cohort(job)
    return Program(cohort, job.datamodule, Setting(WIDTH, varied=("lr",))), member, others


def same(one, other):
    assert one.rows == other.rows
    assert one.test == other.test
    for kept, again in ((one.best, other.best), (one.last, other.last)):
        assert (kept.epoch, kept.lr) == (again.epoch, again.lr)
        assert all(
            torch.equal(kept.state[key][name], again.state[key][name]) for key in kept.state for name in kept.weights
        )
    assert torch.equal(one.logits, other.logits)


def test_neither_their_number_nor_their_numbers_do(chunk):
    program, member, others = chunk
    alone = program.train([member])[0]  # its other places repeat it
    same(program.train([*others[:17], member])[17], alone)
    for place in PLACES:
        same(program.train([*others[:place], member, *others[place:]])[place], alone)
    broken = [
        dataclasses.replace(one, weights={name: weight * torch.nan for name, weight in one.weights.items()})
        for one in others
    ]
    trained = program.train([*broken[:9], member, *broken[9:]])
    same(trained[9], alone)
    assert [one.status for one in trained].count("diverged") == WIDTH - 1


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="there is no C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch 2.13's own, when it compiles
def test_compiled_it_is_as_well(chunk):
    program, member, others = chunk
    program = Program(program.cohort, program.datamodule, dataclasses.replace(program.setting, compiled=True))
    alone = program.train([member])[0]
    same(program.train([*others[:5], member, *others[5:]])[5], alone)
    same(program.train([*others, member])[-1], alone)
