"""Every YAML in conf/ is built and trained by existing: a new file is tested by being there."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from glassbox.config.compose import composed, task_values
from glassbox.config.entry import Train
from glassbox.config.grid import Grid
from glassbox.config.job import execute, open_record, prepare
from glassbox.config.place import CONF, ROOT
from glassbox.errors import BadInput
from glassbox.sweep.study import Study
from glassbox.tracking.record import Record
from glassbox.training.trainer import place

FAST = ("logger=none", "trainer=cpu", "max_epochs=6")
# What an option needs beside itself, to be trained on data that fits it.
WITH = {
    "loss/cross_entropy": ("data=digits",),
    "loss/mse": ("data=diabetes",),
    "data/csv": ("data.path=my.csv", "data.target=label"),
    "optimizer/sgd": ("lr=0.1",),
    "callbacks/none": (),
}
# Options that lower no loss, and what they do instead.
NO_LOWER_LOSS = {"init/zeros": "every hidden unit stays at zero, so that no gradient reaches a weight"}


def options(*groups):
    return [f"{group}/{path.stem}" for group in groups for path in sorted((CONF / group).glob("*.yaml"))]


def built(name, *more):
    group, option = name.split("/")
    values = task_values(composed(CONF, "train", [*FAST, f"{group}={option}", *WITH.get(name, ()), *more]))
    return prepare(values, values)


def write_csv():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, 3)), columns=["a", "b", "c"])
    frame["label"] = np.where(frame.a > frame.b, "more", "less")
    frame.to_csv("my.csv", index=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", options("data", "model", "init", "loss", "optimizer", "scheduler", "callbacks"))
def test_it_is_trained_and_lowers_its_loss(name, tmp_path):
    write_csv()
    job = built(name, "trainer.limit_train_batches=12")
    place(job.trainer, tmp_path)
    job.trainer.fit(job.module, datamodule=job.datamodule)
    first, last = job.curves.rows[0]["train/loss"], job.curves.rows[max(job.curves.rows)]["train/loss"]
    if name in NO_LOWER_LOSS:
        weights = [p for key, p in job.module.named_parameters() if key.endswith("weight")]
        assert all(torch.count_nonzero(weight) == 0 for weight in weights)
    else:
        assert last < first


@pytest.mark.parametrize("name", options("trainer", "logger", "debug"))
def test_it_is_built_and_run_where_it_can_be(name, outputs):
    group, option = name.split("/")
    overrides = [f"{group}={option}"]
    if name == "trainer/ddp":
        overrides += ["trainer.accelerator=cpu", "trainer.devices=2"]
    values = task_values(composed(CONF, "train", overrides)) | {"max_epochs": 2}
    values["trainer"] |= {"max_epochs": 2}
    try:
        job = prepare(values, values)
    except BadInput as error:
        absent = {"trainer/gpu": not torch.cuda.is_available(), "trainer/mps": not torch.backends.mps.is_available()}
        if absent.get(name):
            pytest.skip(str(error))
        raise
    if name == "trainer/ddp":
        assert job.trainer.world_size == 2
        return  # run by tests/training/test_process.py
    folder = outputs / "runs" / "one"
    outcome = execute(
        job, open_record(values, values, job.identity, folder, root=ROOT, overrides=[], hydra={}, command=[])
    )
    assert outcome.status == Record.read(folder)["status"] == "finished"
    assert (folder / "metrics.csv").exists() == (name != "logger/none")
    assert bool(list(folder.glob("events.out.tfevents*"))) == (name == "logger/tensorboard")
    assert (outputs / "wandb").exists() == (job.values["logger"]["_target_"] or "").endswith("WandbRun")
    assert (folder / "fit-profile.txt").exists() == (name == "debug/profile")


@pytest.mark.parametrize("name", options("sweep"))
def test_a_sweep_file_says_what_it_asks(name):
    text = (CONF / f"{name}.yaml").read_text()
    for word in ("Question", "Answer", "Command", "Time"):
        assert len(re.findall(rf"^# {word}: +\S", text, flags=re.MULTILINE)) == 1, word
    command = re.search(r"^# Command: +(.+)$", text, flags=re.MULTILINE)[1]
    assert command.split()[:3] == ["python", "scripts/train.py", f"sweep={Path(name).name}"]


@pytest.mark.slow
@pytest.mark.parametrize("name", options("sweep"))
def test_a_sweep_file_is_run(name, outputs, monkeypatch):
    sweeper = OmegaConf.load(CONF / f"{name}.yaml").hydra.sweeper
    if "n_trials" in sweeper:
        fewer, count = ["hydra.sweeper.n_trials=3"], 3
    else:
        axes = Grid.of(sweeper.params, []).overrides
        fewer = [",".join([axis.texts[0], axis.texts[-1].partition("=")[2]]) for axis in axes]
        count = 2 ** len(axes)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    assert Train([f"sweep={Path(name).name}", "study=one", "max_epochs=1", "logger=csv", *fewer]).main() == 0
    records = [Record.read(path.parent) for path in outputs.glob("one/*/run.json")]
    assert [record["status"] for record in records] == ["finished"] * count
    (noted,) = Study(outputs / "one").sweeps()
    assert f"# Question: {noted['question']}\n" in (CONF / f"{name}.yaml").read_text()


def test_overfit_meets_the_same_rows_every_epoch():
    values = task_values(composed(CONF, "train", [*FAST, "debug=overfit", "logger=none", "max_epochs=200"]))
    job = prepare(values, values)
    job.trainer.fit(job.module, datamodule=job.datamodule)
    assert job.curves.rows[199]["train/loss"] < 0.02


def test_a_machine_may_have_defaults_of_its_own(tmp_path):
    copy = tmp_path / "conf"
    shutil.copytree(CONF, copy, ignore=shutil.ignore_patterns("local"))
    (copy / "local").mkdir()
    (copy / "local" / "default.yaml").write_text("# @package _global_\nlr: 0.5\ntrainer:\n  devices: 1\n")
    assert task_values(composed(copy, "train", []))["lr"] == 0.5
    assert task_values(composed(copy, "train", ["lr=0.1"]))["lr"] == 0.1


@pytest.mark.parametrize(
    ("overrides", "loss"),
    [
        (["data=moons"], "torch.nn.BCEWithLogitsLoss"),
        (["data=digits"], "torch.nn.CrossEntropyLoss"),
        (["data=diabetes"], "torch.nn.MSELoss"),
        (["data=digits", "loss=mse"], "torch.nn.MSELoss"),
        (["loss=cross_entropy", "data=moons"], "torch.nn.CrossEntropyLoss"),
    ],
)
def test_data_brings_its_loss_and_an_explicit_loss_wins(overrides, loss):
    assert task_values(composed(CONF, "train", overrides))["loss"]["_target_"] == loss


def test_all_features_widen_the_net():
    job = built("model/tinynet", "data.features=all")
    assert job.module.net.fc1.weight.shape == (8, 30)
