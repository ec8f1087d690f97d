"""The verdict on every key of the config: does it belong to a run's identity?"""

import copy

import pytest
from omegaconf import OmegaConf

from glassbox.config.compose import composed, task_values
from glassbox.config.place import CONF
from glassbox.tracking.identity import DEFAULTS, determining, identity

IN = {
    "lr": 0.5,
    "seed": 7,
    "max_epochs": 3,
    "batch_size": 8,
    "monitor": "train/loss",
    "mode": "max",
    "data._target_": "glassbox.data.moons",
    "data.features": "all",
    "data.seed": 1,
    "data.split": [0.5, 0.25, 0.25],
    "model._target_": "glassbox.model.MLP",
    "model.hidden": 9,
    "init._target_": "glassbox.init.zeros",
    "loss._target_": "torch.nn.MSELoss",
    "loss.task": "regression",
    "optimizer._target_": "torch.optim.SGD",
    "optimizer.lr": 0.5,
    "optimizer.betas": [0.8, 0.9],
    "optimizer.eps": 1e-3,
    "optimizer.weight_decay": 0.1,
    "optimizer.amsgrad": True,
    "scheduler._target_": "torch.optim.lr_scheduler.StepLR",
    "trainer.precision": "64-true",
    "trainer.gradient_clip_val": 1.0,
    "trainer.gradient_clip_algorithm": "value",
    "trainer.accumulate_grad_batches": 2,
    "trainer.check_val_every_n_epoch": 2,
    "trainer.limit_train_batches": 1,
    "trainer.limit_val_batches": 0.5,
    "trainer.limit_test_batches": 0.5,
    "trainer.overfit_batches": 1,
}
OUT = {
    "study": "another",
    "rerun": "outputs/runs/x",
    "fail_fast": True,
    "force": True,
    "retry_diverged": True,
    "pictures": False,
    "report": False,
    "launcher.executor": "joblib",
    "launcher.name": "x",
    "launcher.max_members": 64,
    "launcher.shards": 2,
    "launcher.timeout_min": 5,
    "launcher.cpus_per_task": 1,
    "launcher.mem_gb": 4,
    "tags": ["a"],
    "notes": "b",
    "logger._target_": None,
    "logger.project": "x",
    "logger.entity": "x",
    "logger.mode": "online",
    "logger.writer": "direct",
    "trainer._target_": "x",
    "trainer.accelerator": "gpu",
    "trainer.devices": 2,
    "trainer.strategy": "ddp_spawn",
    "trainer.max_epochs": 9,  # the dial counts
    "trainer.deterministic": False,
    "trainer.num_sanity_val_steps": 2,
    "trainer.detect_anomaly": True,
    "trainer.profiler": "simple",
    "callbacks.checkpoint._target_": "lightning.pytorch.callbacks.ModelCheckpoint",
    "callbacks.checkpoint.filename": "x",
    "callbacks.checkpoint.monitor": "x",
    "callbacks.checkpoint.mode": "x",
    "callbacks.checkpoint.save_top_k": 3,
    "callbacks.checkpoint.save_on_train_epoch_end": False,
    "callbacks.checkpoint.auto_insert_metric_name": True,
    "callbacks.checkpoint.enable_version_counter": True,
    "callbacks.last._target_": "lightning.pytorch.callbacks.ModelCheckpoint",
    "callbacks.last.filename": "x",
    "callbacks.last.save_on_train_epoch_end": False,
    "callbacks.last.auto_insert_metric_name": True,
    "callbacks.last.enable_version_counter": True,
}


@pytest.fixture(scope="module")
def config():
    return task_values(composed(CONF, "train", []))


def changed(config, key, value):
    """Return the config with one dotted key set."""
    cfg = OmegaConf.create(copy.deepcopy(config))
    OmegaConf.update(cfg, key, value, force_add=True)
    return OmegaConf.to_container(cfg)


def leaves(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        elif value != {}:
            yield f"{prefix}{key}"


def test_every_key_has_a_verdict(config):
    assert set(leaves(config)) == set(IN) | set(OUT)


@pytest.mark.parametrize("key", IN)
def test_key_belongs_to_the_identity(config, key):
    assert identity(changed(config, key, IN[key])) != identity(config)


@pytest.mark.parametrize("key", OUT)
def test_key_does_not_belong_to_the_identity(config, key):
    assert identity(changed(config, key, OUT[key])) == identity(config)


@pytest.mark.parametrize("key", DEFAULTS)
def test_a_recorded_default_is_left_out(config, key):
    assert key not in determining(config)
    assert identity(changed(config, key, DEFAULTS[key])) == identity(config)


def test_a_callback_that_may_change_training_counts(config):
    stopped = changed(
        config, "callbacks.stop", {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "patience": 3}
    )
    assert identity(stopped) != identity(config)


def test_a_file_counts_by_its_content(config):
    here, there = (changed(config, "data.path", path) for path in ("a.csv", "b/c.csv"))
    assert identity(here, "digest") == identity(there, "digest")
    assert identity(here, "digest") != identity(here, "other digest")


def test_numbers_count_by_their_value(config):
    assert identity(config | {"lr": 1}) == identity(config | {"lr": 1.0})
    assert identity(config | {"seed": 0}) != identity(config | {"seed": False})
    assert identity(config | {"seed": 2**60}) != identity(config | {"seed": 2**60 + 1})
