"""How one run ends when it is asked to end more than once."""

import contextlib
import os
import signal

import pytest

from glassbox.tracking.metrics_csv import MetricsCsv
from glassbox.tracking.record import Record

SMALL = ("data=moons", "data.samples=50", "batch_size=10", "max_epochs=3", "logger=csv", "callbacks=none")


@pytest.mark.parametrize("asked", ["while it trains", "while it closes", "twice"])
def test_a_sigterm_more_or_later_breaks_off_no_closing(train, outputs, monkeypatch, asked):
    def terminate(*_) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    if asked != "while it closes":
        monkeypatch.setattr(MetricsCsv, "log", terminate)
    if asked != "while it trains":
        monkeypatch.setattr(MetricsCsv, "close", terminate)
    before = signal.getsignal(signal.SIGTERM)
    status, code = ("finished", 0) if asked == "while it closes" else ("interrupted", 143)
    if code:
        with pytest.raises(SystemExit) as stop:
            train(*SMALL)
        assert stop.value.code == code
    else:
        train(*SMALL)
    (path,) = outputs.glob("*/*/run.json")
    record = Record.read(path.parent)
    assert (record["status"], record["exit_code"]) == (status, code)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_sigterm_that_another_error_hides_is_told(train, outputs, monkeypatch):
    def fail() -> None:
        raise RuntimeError("unexpected pos 64 vs 0")  # as torch.save does when it is broken off

    def broken_off(*_) -> None:
        with contextlib.ExitStack() as closing:
            closing.callback(fail)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(MetricsCsv, "log", broken_off)
    with pytest.raises(SystemExit) as stop:
        train(*SMALL)
    assert stop.value.code == 143
    (path,) = outputs.glob("*/*/run.json")
    record = Record.read(path.parent)
    assert (record["status"], record["reason"]) == ("interrupted", "SIGTERM")
