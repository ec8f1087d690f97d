"""The bar shows on a terminal and nowhere else."""

from types import SimpleNamespace

import pytest
import torch

from glassbox.training.progress import EpochBar


def walk(bar, epochs=3):
    metrics = {"train/loss": torch.tensor(0.25), "val/loss": torch.tensor(0.5)}
    trainer = SimpleNamespace(is_global_zero=True, max_epochs=epochs, current_epoch=0, callback_metrics=metrics)
    bar.on_train_start(trainer, None)
    for _ in range(epochs):
        bar.on_train_epoch_end(trainer, None)
    return trainer


def test_it_shows_epochs_and_losses_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    bar = EpochBar()
    walk(bar)
    task = bar._progress.tasks[0]
    assert (task.completed, task.total) == (3, 3)
    assert task.fields["shown"] == "train/loss 0.2500  val/loss 0.5000"
    bar.on_exception(None, None, RuntimeError())
    assert bar._progress is None
    assert "3/3" in capsys.readouterr().out


@pytest.mark.parametrize("quiet", ["0"])
def test_it_is_silent_elsewhere(monkeypatch, capsys, quiet):
    monkeypatch.setenv("TTY_COMPATIBLE", quiet)
    bar = EpochBar()
    bar.on_train_end(walk(bar), None)
    assert capsys.readouterr().out == ""


def test_a_run_without_an_end_has_no_bar(monkeypatch, capsys):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    bar = EpochBar()
    walk(bar, epochs=-1)
    assert bar._progress is None
    assert capsys.readouterr().out == ""
