"""`launcher=vectorized` through the whole program: each member is a run of its own, as if it had run alone."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from glassbox.config.evaluation import recomputed
from glassbox.population import setting
from glassbox.population.setting import has_compiler
from glassbox.tracking.metrics_csv import read
from glassbox.tracking.record import Record

SMALL = ["data=moons", "data.samples=60", "batch_size=10", "max_epochs=6", "logger=csv"]
# What a run alone has of its own, in its record.
OWN = {"name", "study", "started", "ended", "heartbeat", "pid", "command", "launcher", "number", "seconds"}


@pytest.fixture
def sweep(multirun):
    """Give a function that does a small multirun and returns (its exit code, identity → run folder)."""

    def call(*argv: str) -> tuple[int, dict[str, Path]]:
        code, made = multirun(*SMALL, *argv)
        return code, {Record.read(folder)["identity"]: folder for folder in made}

    return call


def checkpoint(folder: Path, name: str) -> dict:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def near(one: dict, other: dict, relative: float) -> bool:
    return one.keys() == other.keys() and all(one[key] == pytest.approx(other[key], rel=relative) for key in one)


def bits(folder: Path) -> tuple[bytes, dict[str, bytes]]:
    """Return the curves and the last weights of a run, to the last bit."""
    weights = checkpoint(folder, "last")["state_dict"]
    return (folder / "metrics.csv").read_bytes(), {key: value.numpy().tobytes() for key, value in weights.items()}


@pytest.mark.slow
def test_a_member_leaves_what_its_run_alone_leaves(sweep):
    jobs = ["lr=0.01,0.3", "optimizer=adam,momentum", "seed=0,1", "callbacks=early_stopping"]
    jobs += ["callbacks.early_stopping.patience=1", "trainer.precision=64-true", "data.samples=200", "max_epochs=30"]
    code, together = sweep("study=together", "launcher=vectorized", *jobs)
    assert code == 0
    code, alone = sweep("study=alone", "launcher=basic", *jobs)
    assert (code, together.keys()) == (0, alone.keys())
    lengths = set()
    for identity, folder in together.items():
        other = alone[identity]
        ours, theirs = Record.read(folder), Record.read(other)
        assert (ours["batched"], theirs["batched"]) == (True, False)
        assert (ours["launcher"], ours["status"]) == ("vectorized", "finished")
        differing = {key for key in ours if ours[key] != theirs[key]} - OWN - {"batched", "best", "final", "test"}
        assert differing == set()
        assert all(near(ours[key], theirs[key], 1e-9) for key in ("best", "final", "test"))
        assert {p.relative_to(folder) for p in folder.rglob("*")} == {p.relative_to(other) for p in other.rglob("*")}
        rows = list(zip(read(folder / "metrics.csv"), read(other / "metrics.csv"), strict=True))
        lengths.add(len(rows))
        assert all(list(row) == list(same) and near(row, same, 1e-9) for row, same in rows)
        for name in ("best", "last"):
            compare_checkpoints(checkpoint(folder, name), checkpoint(other, name))
        assert all(row.equal for row in recomputed(folder))
        compare_boundaries(np.load(folder / "boundary.npz"), np.load(other / "boundary.npz"))
    assert len(lengths) > 1  # early stopping stopped some of them, each in its time


def compare_checkpoints(ours: dict, theirs: dict) -> None:
    assert (ours["epoch"], ours["global_step"]) == (theirs["epoch"], theirs["global_step"])
    assert ours["hyper_parameters"] == theirs["hyper_parameters"]
    assert str(ours["TableModule"]) == str(theirs["TableModule"])
    for key, weight in theirs["state_dict"].items():
        torch.testing.assert_close(ours["state_dict"][key], weight, rtol=1e-9, atol=1e-12)
    (one,), (other,) = ours["optimizer_states"], theirs["optimizer_states"]
    assert one["param_groups"] == other["param_groups"]
    assert one["state"].keys() == other["state"].keys()
    for number, state in other["state"].items():
        assert one["state"][number].keys() == state.keys()
        for key, value in state.items():
            torch.testing.assert_close(one["state"][number][key], value, rtol=1e-8, atol=1e-12)


def compare_boundaries(ours: dict, theirs: dict) -> None:
    for key in ("x", "y", "points", "labels", "feature_names", "classes"):
        assert np.array_equal(ours[key], theirs[key])
    np.testing.assert_allclose(ours["logits"], theirs["logits"], rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_a_member_that_diverges_changes_no_bit_of_another(sweep):
    code, alone = sweep("study=healthy", "lr=0.01,0.1", "optimizer=sgd")
    assert code == 0
    code, together = sweep("study=sick", "lr=0.01,1e30,0.1", "optimizer=sgd")
    assert code == 0
    sick = {Record.read(folder)["status"]: folder for folder in together.values()}["diverged"]
    assert Record.read(sick)["reason"] == "train/loss is nan at epoch 0"
    assert len(read(sick / "metrics.csv")) == 1
    assert {i: bits(folder) for i, folder in together.items() if folder != sick} == {
        i: bits(folder) for i, folder in alone.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["model=mlp", "model.dropout=0.5"], "MLP has dropout"),
        (["+callbacks.timer._target_=lightning.pytorch.callbacks.Timer"], "callbacks.timer needs one model"),
        (["trainer.accumulate_grad_batches=2"], "trainer.accumulate_grad_batches=2"),
        (["optimizer=adam", "+optimizer.maximize=true"], "there is no hand rule for Adam with maximize=True"),
    ],
)
def test_what_cannot_train_together_runs_alone_and_says_why(sweep, capsys, words, reason):
    code, made = sweep("study=mixed", "lr=0.01,0.1", *words)
    assert (code, [Record.read(folder)["batched"] for folder in made.values()]) == (0, [False, False])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "one by one" in line)
    assert line.startswith("2 one by one: ")
    assert reason in line


@pytest.mark.slow
def test_chunks_and_their_order_change_no_bit(sweep, outputs):
    jobs = ["lr=0.01,0.1", "optimizer=adam", "seed=range(40)"]
    code, whole = sweep("study=whole", *jobs)
    assert code == 0
    code, cut = sweep("study=cut", "launcher.max_members=32", "seed=range(39,-1,-1)", "lr=0.1,0.01", "optimizer=adam")
    assert (code, cut.keys()) == (0, whole.keys())
    plans = {study: json.loads((outputs / study / "population.json").read_text()) for study in ("whole", "cut")}
    widths = {study: [chunk["setting"]["width"] for chunk in plan["chunks"]] for study, plan in plans.items()}
    assert widths == {"whole": [96], "cut": [32, 32, 32]}
    for identity, folder in whole.items():
        rows = zip(read(folder / "metrics.csv"), read(cut[identity] / "metrics.csv"), strict=True)
        assert all(near(row, other, 1e-5) for row, other in rows)


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["client", "direct"])
def test_wandb_has_every_row_of_every_member(sweep, outputs, writer):
    code, made = sweep(
        "study=tracked", "lr=0.01,1e30", "optimizer=sgd", "seed=0,1", "logger=wandb", f"logger.writer={writer}"
    )
    assert (code, len(made)) == (0, 4)
    for folder in made.values():
        record = Record.read(folder)
        (file,) = outputs.glob(f"wandb/offline-run-*-{folder.name}/run-{folder.name}.wandb")
        command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(file)]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        records = [json.loads(line) for line in lines]
        history = [item["history"]["item"] for item in records if item["type"] == "history"]
        rows = [{key: float(value) for key, value in row.items() if key[0] != "_"} for row in history]
        assert str(rows) == str(read(folder / "metrics.csv"))  # where NaN is NaN
        assert next(item["exit"]["exit_code"] for item in records if item["type"] == "exit") == record["exit_code"]
        run = next(item["run"] for item in records if item["type"] == "run")
        assert (run["run_group"], run["run_id"], record["wandb_run_id"]) == ("tracked", folder.name, folder.name)


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="there is no C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch 2.13's own, when it compiles
def test_a_long_sweep_is_compiled_and_says_so(sweep, outputs, capsys, monkeypatch):
    jobs = ["lr=0.01,0.1", "optimizer=adam", "seed=0,1", "trainer.precision=64-true"]
    code, eager = sweep("study=eager", *jobs)
    assert code == 0
    assert "not compiled: 96 steps of a member are too few for it to pay" in capsys.readouterr().out
    monkeypatch.setattr(setting, "COMPILING", 0)
    code, compiled = sweep("study=compiled", *jobs)
    assert (code, compiled.keys()) == (0, eager.keys())
    assert "4 train together, up to 32 at once; compiled first, which pays" in capsys.readouterr().out
    (chunk,) = json.loads((outputs / "compiled" / "population.json").read_text())["chunks"]
    assert chunk["setting"]["compiled"]
    for identity, folder in compiled.items():
        assert Record.read(folder)["batched"]
        rows = zip(read(folder / "metrics.csv"), read(eager[identity] / "metrics.csv"), strict=True)
        assert all(near(row, other, 1e-9) for row, other in rows)


@pytest.mark.slow
def test_a_member_that_is_left_over_trains_in_its_chunk_again(sweep, capsys):
    jobs = ["study=left", "lr=0.01,0.1,0.2"]
    code, whole = sweep(*jobs)
    assert (code, len(whole)) == (0, 3)
    identity, folder = max(whole.items())
    lost = bits(folder)
    Record(folder, Record.read(folder)).mark_dead()
    code, again = sweep(*jobs)
    assert (code, list(again)) == (0, [identity])
    assert Record.read(again[identity])["batched"]
    assert bits(again[identity]) == lost


@pytest.mark.slow
def test_what_cannot_be_built_fails_alone_and_is_told(sweep, capsys):
    words = ["scheduler=warmup_cosine", "scheduler.warmup_epochs=1,2", "max_epochs=3,2"]  # each value fits with another
    code, made = sweep("study=built", *words)
    statuses = sorted(Record.read(folder)["status"] for folder in made.values())
    assert (code, statuses) == (1, ["failed", "finished", "finished", "finished"])
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if line.startswith("failed"))
    assert "warmup_epochs" in line
