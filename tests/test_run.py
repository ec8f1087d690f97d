"""The main path as a user walks it: what a run leaves agrees with itself, with torch, and with scikit-learn."""

import gc
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression
from torch import nn

from glassbox.config.evaluation import evaluate, predict, recomputed
from glassbox.config.job import prepare
from glassbox.config.plain import resolved
from glassbox.config.rerun import recorded_config
from glassbox.errors import BadInput
from glassbox.model import TinyNet
from glassbox.process import collect_rarely
from glassbox.tracking.identity import determining
from glassbox.tracking.keys import at_best
from glassbox.tracking.metrics_csv import MetricsCsv, read
from glassbox.tracking.record import Record
from glassbox.training.checkpoint import load

SHORT = ("max_epochs=4", "logger=csv")


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return load(folder / "checkpoints" / f"{name}.ckpt")["state_dict"]


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def data_of(folder: Path):
    values = resolved(recorded_config(folder))
    return prepare(values, values).datamodule


def test_a_run_agrees_with_itself_and_with_wandb(train, outputs):
    folder = train("max_epochs=6")
    record, rows = Record.read(folder), read(folder / "metrics.csv")
    assert [row["epoch"] for row in rows] == list(range(6))
    best = min(rows, key=lambda row: row["val/loss"])
    assert (record["best"], record["final"]) == (best, rows[-1])
    assert (record["status"], record["exit_code"], record["wandb_run_id"]) == ("finished", 0, folder.name)
    assert load(folder / "checkpoints" / "best.ckpt")["epoch"] == best["epoch"]
    assert load(folder / "checkpoints" / "last.ckpt")["epoch"] == 5

    (file,) = outputs.glob(f"wandb/offline-run-*-{folder.name}/run-{folder.name}.wandb")
    wandb = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(file)]
    lines = subprocess.run(wandb, capture_output=True, text=True, check=True).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    history = [item["history"]["item"] for item in records if item["type"] == "history"]
    assert [{key: value for key, value in row.items() if key[0] != "_"} for row in history] == rows
    assert next(item["exit"]["exit_code"] for item in records if item["type"] == "exit") == 0
    summary = {}
    for item in records:
        summary |= item.get("summary", {}).get("update", {})
    assert {key: summary[key] for key in record["test"]} == record["test"]
    assert {key: value for key, value in summary.items() if key.startswith("best/")} == at_best(record["best"])
    run = next(item["run"] for item in records if item["type"] == "run")
    config = run["config"]["update"]
    assert config["run_folder"] == f"outputs/runs/{folder.name}"
    assert config["optimizer"]["lr"] == config["lr"] == 0.01
    assert {path.name for path in outputs.iterdir()} <= {"wandb", "runs", ".cache"}


def test_the_recorded_numbers_are_those_of_scikit_learn(train):
    folder = train("max_epochs=6", "logger=csv", "trainer.precision=64-true")
    data, record = data_of(folder), Record.read(folder)
    for name, part, stage in (("last", "val", "final"), ("best", "test", "test"), ("best", "val", "best")):
        net = TinyNet(2).double()
        net.load_state_dict({key.removeprefix("net."): value for key, value in weights(folder, name).items()})
        x, y = getattr(data, f"{part}_dataloader")().tensors
        logits, target = net(x).detach().numpy().ravel(), y.numpy().ravel()
        expected = {
            f"{part}/loss": sk.log_loss(target, 1 / (1 + np.exp(-logits))),
            f"{part}/accuracy": sk.accuracy_score(target, logits > 0),
            f"{part}/auroc": sk.roc_auc_score(target, logits),
        }
        seen = {key: record[stage][key] for key in expected}
        # Lightning's own results of a test, and torchmetrics' ranking, are float32.
        for key, value in expected.items():
            exact = part == "val" and not key.endswith("auroc")
            assert seen[key] == pytest.approx(value, rel=1e-12 if exact else 1e-6)


@pytest.mark.parametrize(
    ("precision", "clip"),
    [
        ("32-true", None),
        pytest.param("64-true", None, marks=pytest.mark.slow),
        pytest.param("32-true", 0.05, marks=pytest.mark.slow),
    ],
)
def test_training_is_the_lessons_loop_bit_for_bit(train, precision, clip):
    clipping = [f"trainer.gradient_clip_val={clip}"] if clip else []
    folder = train(*SHORT, f"trainer.precision={precision}", "seed=5", *clipping)
    data, rows = data_of(folder), read(folder / "metrics.csv")
    torch.manual_seed(5)
    model, criterion = TinyNet(2), nn.BCEWithLogitsLoss()
    x, y = data.train_dataloader().tensors
    model = model.to(x.dtype)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(4):
        model.train()
        total = 0.0
        for batch in data._sampler.order(epoch).split(32):
            optimizer.zero_grad()
            loss = criterion(model(x[batch]), y[batch])
            loss.backward()
            before = [p.detach().clone() for p in model.parameters()]
            gradient = torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            total += loss.item() * len(batch)
        update = torch.cat([(p - old).flatten() for p, old in zip(model.parameters(), before, strict=True)]).norm()
        size = torch.cat([old.flatten() for old in before]).norm()
        tolerance = 1e-5 if precision == "32-true" else 1e-12
        assert rows[epoch]["train/loss"] == pytest.approx(total / len(x), rel=tolerance)
        assert rows[epoch]["train/grad_norm"] == pytest.approx(gradient, rel=tolerance)
        assert rows[epoch]["train/update_ratio"] == pytest.approx((update / size).item(), rel=tolerance)
        assert rows[epoch]["train/lr"] == 1e-2
    by_hand = {f"net.{key}": value for key, value in model.state_dict().items()}
    assert same(weights(folder), by_hand)


def test_the_same_command_twice_gives_the_same_bits_and_the_same_identity(train):
    dropout = ("model=mlp", "model.dropout=0.3", "model.hidden=8")
    one, two, other = (train(*SHORT, *dropout, f"seed={seed}") for seed in (0, 0, 1))
    assert same(weights(one), weights(two))
    assert (one / "metrics.csv").read_bytes() == (two / "metrics.csv").read_bytes()
    assert not same(weights(one), weights(other))
    first, second, third = (Record.read(folder)["identity"] for folder in (one, two, other))
    assert first == second != third
    assert one != two


def test_training_looks_for_garbage_as_usual(train, monkeypatch):
    found, log = [], MetricsCsv.log
    monkeypatch.setattr(MetricsCsv, "log", lambda *row: found.append(gc.get_threshold()) or log(*row))
    usual = gc.get_threshold()
    collect_rarely()
    assert gc.get_threshold() != usual
    train(*SHORT)
    assert found == [usual] * 4


@pytest.mark.parametrize(
    "change",
    [("logger=wandb",), ("logger=none",), ("trainer.limit_val_batches=0", "monitor=train/loss"), ("tags=[a]",)],
)
@pytest.mark.slow
def test_who_looks_on_changes_no_bit(train, change):
    common = ("max_epochs=4", "model=mlp", "model.dropout=0.3", "model.hidden=8")
    plain, watched = (
        train("logger=csv", *common),
        train(*(("logger=csv",) if "logger" not in change[0] else ()), *common, *change),
    )
    assert same(weights(plain), weights(watched))


def test_the_default_job_reaches_logistic_regression(train):
    folder = train("logger=csv")
    data, test = data_of(folder), Record.read(folder)["test"]
    scaled = {
        part: data.standardize(torch.from_numpy(data.table.features[rows])).numpy() for part, rows in data.rows.items()
    }
    target = {part: data.table.target[rows] for part, rows in data.rows.items()}
    rival = LogisticRegression().fit(scaled["train"], target["train"])
    probability = rival.predict_proba(scaled["test"])[:, 1]
    assert test["test/accuracy"] >= rival.score(scaled["test"], target["test"]) - 1e-7
    assert test["test/auroc"] >= sk.roc_auc_score(target["test"], probability) - 1e-7
    assert test["test/loss"] <= sk.log_loss(target["test"], probability)


@pytest.mark.parametrize(
    "overrides", [(), *(pytest.param((f"data={name}",), marks=pytest.mark.slow) for name in ("digits", "diabetes"))]
)
def test_evaluate_gives_the_recorded_numbers_again(train, overrides):
    folder = train(*SHORT, *overrides)
    again = recomputed(folder)
    assert {row.key for row in again} == set(Record.read(folder)["test"])
    assert all(row.recorded == row.again for row in again)


@pytest.mark.slow
def test_a_run_that_was_moved_is_evaluated_without_a_word(train, tmp_path, capfd):
    folder = train(*SHORT).rename(tmp_path / "moved")
    capfd.readouterr()
    assert evaluate(folder.relative_to(tmp_path)) == 0
    told = capfd.readouterr()
    assert (told.out.count("equal"), told.err) == (3, "")


def test_new_raw_rows_are_predicted_as_the_recorded_ones(train, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(5, 2, 200), "b": rng.normal(0, 1e4, 200)})
    frame["label"] = np.where(frame.a - 5 + frame.b / 1e4 > 0, "yes", "no")
    frame.to_csv(tmp_path / "my.csv", index=False)
    folder = train(*SHORT, "data=csv", f"data.path={tmp_path / 'my.csv'}", "data.target=label", "lr=0.1")
    data, test = data_of(folder), Record.read(folder)["test"]
    rows = frame.iloc[data.rows["test"]]
    rows[["label", "b", "a"]].to_csv(tmp_path / "new.csv", index=False)
    (tmp_path / "my.csv").unlink()
    assert predict(folder, tmp_path / "new.csv", tmp_path / "out.csv") == 0
    predicted = pd.read_csv(tmp_path / "out.csv")
    assert (predicted.prediction == predicted.label).mean() == pytest.approx(test["test/accuracy"])
    assert sk.roc_auc_score(predicted.label == "yes", predicted.probability_yes) == pytest.approx(test["test/auroc"])
    with pytest.raises(BadInput, match="no such file"):
        recomputed(folder)


@pytest.mark.slow
def test_a_checkpoint_loads_in_a_fresh_process_from_anywhere(train, tmp_path):
    folder = train(*SHORT)
    code = f"import torch; print(torch.load({str(folder / 'checkpoints/best.ckpt')!r}, weights_only=True)['epoch'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert int(done.stdout) == Record.read(folder)["best"]["epoch"]


def test_the_boundary_is_that_of_the_best_checkpoint(train):
    folder = train(*SHORT, "data=moons")
    data, file = data_of(folder), np.load(folder / "boundary.npz")
    net = TinyNet(2)
    net.load_state_dict({key.removeprefix("net."): value for key, value in weights(folder, "best").items()})
    for row, column in ((0, 0), (10, 40), (49, 49)):
        raw = torch.tensor([[file["x"][column], file["y"][row]]])
        assert file["logits"][row, column] == pytest.approx(net(data.standardize(raw).float()).item(), rel=1e-5)
    assert np.array_equal(file["points"], data.table.features)
    assert (folder / "boundary.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_config_from_before_there_was_a_switch_is_run_again(train):
    folder = train(*SHORT)
    file = folder / ".hydra" / "config.yaml"
    file.write_text(file.read_text().replace("pictures: null\n", ""))
    assert all(item.equal for item in recomputed(folder))
    assert same(weights(folder), weights(train(f"rerun={folder}")))


def test_a_record_says_what_determined_the_numbers_also_one_of_schema_1(train):
    folder = train("max_epochs=1", "optimizer=adam", "model=mlp", "model.hidden=3")
    text, record = (folder / "run.json").read_text(), Record.read(folder)
    groups = ("data", "model", "init", "loss", "optimizer", "scheduler", "callbacks")
    chosen = [record["config"].pop(group) for group in groups]
    assert chosen == ["breast_cancer", "mlp", "default", "bce", "adam", "none", "default"]
    assert record["config"] == determining(resolved(recorded_config(folder)))
    new = json.loads(text)
    (folder / "run.json").write_text(json.dumps({key: new[key] for key in new if key != "config"} | {"schema": 1}))
    assert Record.read(folder) == new
    (folder / ".hydra" / "hydra.yaml").unlink()
    with pytest.raises(BadInput, match=r"its record is of schema 1, and .* does not tell its config"):
        Record.read(folder)


def test_a_run_that_diverges_says_so(train, capsys):
    folder = train("lr=1e30", "logger=csv", exit_code=4)
    record = Record.read(folder)
    assert (record["status"], record["exit_code"]) == ("diverged", 4)
    assert "is nan at epoch" in record["reason"] or "is inf at epoch" in record["reason"]
    assert "diverged" in capsys.readouterr().out
    assert not math.isfinite(read(folder / "metrics.csv")[-1]["val/loss"])


def test_no_secret_is_written_down(train, outputs, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "hunter2-from-the-environment")
    folder = train(
        "max_epochs=1",
        "notes=${oc.env:MY_SECRET}",
        "tags=['https://me:hunter2@host/x']",
        "+logger.api_key=hunter2",
        "~logger.api_key",
    )
    assert Record.read(folder)["notes"] == "${oc.env:MY_SECRET}"
    assert "***" in (folder / ".hydra" / "overrides.yaml").read_text()
    for path in outputs.rglob("*"):
        if path.is_file():
            assert b"hunter2" not in path.read_bytes(), path


def test_early_stopping_and_plateau_follow_the_one_monitor(train):
    folder = train(
        "max_epochs=40", "logger=csv", "callbacks=early_stopping", "callbacks.early_stopping.patience=2", "lr=0.3"
    )
    rows = read(folder / "metrics.csv")
    losses = [row["val/loss"] for row in rows]
    best = int(np.argmin(losses))
    assert len(rows) == best + 3 < 40
    assert Record.read(folder)["best"]["epoch"] == best


@pytest.mark.slow
def test_an_epoch_without_validation_has_no_validation_numbers(train):
    rows = read(train("max_epochs=4", "logger=csv", "trainer.check_val_every_n_epoch=2") / "metrics.csv")
    assert ["val/loss" in row for row in rows] == [False, True, False, True]
    assert all("train/loss" in row for row in rows)
