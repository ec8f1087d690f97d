"""Which jobs can train together, as far as their config tells."""

import pytest

from glassbox.config.cohort import numbers, reason_alone, shared
from glassbox.config.compose import composed, task_values
from glassbox.config.place import CONF


def values(*overrides: str) -> dict:
    return task_values(composed(CONF, "train", list(overrides)))


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ([], None),
        (["callbacks=none"], None),
        (["callbacks=early_stopping", "callbacks.early_stopping.patience=3"], None),
        (["trainer.precision=64-true", "trainer.gradient_clip_val=1", "trainer.gradient_clip_algorithm=value"], None),
        (["trainer=cpu", "scheduler=plateau", "init=zeros", "monitor=val/accuracy", "mode=max"], None),
        (["trainer.precision=bf16-mixed"], "trainer.precision=bf16-mixed"),
        (["trainer=ddp"], "trainer.devices=auto"),
        (["trainer.devices=true"], "trainer.devices=true"),  # as equal to 1 as it is
        (["trainer.limit_train_batches=1"], "trainer.limit_train_batches=1"),  # one batch; 1.0 is all
        (["+trainer.max_time=1:0"], "trainer.max_time=1:0"),
        (["callbacks.checkpoint.save_top_k=3"], "callbacks.checkpoint.save_top_k=3"),
        (["callbacks.checkpoint.monitor=null"], "callbacks.checkpoint is not one of the usual"),
        (
            ["callbacks=early_stopping", "+callbacks.early_stopping.log_rank_zero_only=true"],
            "callbacks.early_stopping.log_rank_zero_only=true",
        ),
        (["+callbacks.own._target_=mine.fault.Fault"], "callbacks.own needs one model"),
    ],
)
def test_a_config_tells_who_must_run_alone(overrides, reason):
    assert reason_alone(values(*overrides)) == reason


@pytest.mark.parametrize(
    ("overrides", "together"),
    [
        (["lr=0.5", "seed=3", "init=orthogonal", "notes=x", "tags=[a]"], True),
        (["optimizer.betas=[0.8,0.9]", "optimizer.eps=1e-6", "optimizer.weight_decay=0.1"], True),
        (["scheduler=step", "scheduler.gamma=0.5"], False),
        (["optimizer.amsgrad=true"], False),
        (["optimizer=adamw"], False),
        (["trainer.gradient_clip_val=1"], False),
        (["data.seed=1"], False),
        (["batch_size=16"], False),
        (["max_epochs=3"], False),
        (["model.hidden=9"], False),
        (["logger=csv"], False),
    ],
)
def test_jobs_that_differ_in_numbers_train_together(overrides, together):
    assert (shared(values()) == shared(values(*overrides))) == together


def test_numbers_of_two_schedules_and_clips_train_together():
    one, other = (["scheduler=step", f"scheduler.gamma={g}", f"trainer.gradient_clip_val={g}"] for g in (0.5, 0.25))
    assert shared(values(*one)) == shared(values(*other))
    found, same = numbers(values(*one)), numbers(values(*other))
    assert {key for key in found if found[key] != same[key]} == {"scheduler.gamma", "clip"}
