"""A population on a GPU: the same program, the same numbers, and no wait for the device within an epoch."""

import pytest
import torch

from glassbox.population.train import Program

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
WORDS = ("data=moons", "data.samples=200", "max_epochs=20", "trainer.precision=64-true")


def jobs(lab, accelerator: str) -> list:
    return [lab.job(*WORDS, f"trainer.accelerator={accelerator}", f"seed={seed}", "lr=0.03") for seed in range(8)]


def test_it_is_the_population_of_the_cpu(lab):
    here, there = lab.together(jobs(lab, "cpu")), lab.together(jobs(lab, "cuda"))
    for one, other in zip(here, there, strict=True):
        assert (one.status, one.best.epoch) == (other.status, other.best.epoch)
        for epoch, row in one.rows.items():
            assert other.rows[epoch] == pytest.approx(row, rel=1e-9)


def test_no_step_waits_for_the_device(lab, monkeypatch):
    steps = Program.__init__

    def watched(self, *args, **kwargs):
        steps(self, *args, **kwargs)
        made = self.steps

        def without_waiting(*args, **kwargs):
            torch.cuda.set_sync_debug_mode("error")
            try:
                return made(*args, **kwargs)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        self.steps = without_waiting

    monkeypatch.setattr(Program, "__init__", watched)
    assert all(one.status == "finished" for one in lab.together(jobs(lab, "cuda")))
