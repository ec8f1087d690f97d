"""Multiruns in this process."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from glassbox.config import build


@pytest.fixture
def multirun(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[Path]]]:
    """Give a function that does a multirun and returns its exit code and the run folders that it made, in order."""
    from glassbox.config.entry import Train
    from glassbox.tracking.record import Record
    from glassbox.training import run  # noqa: F401  imported before the workers are forked, which then need not

    monkeypatch.setattr(sys, "argv", ["train.py"])

    def call(*argv: str) -> tuple[int, list[Path]]:
        before = set(outputs.glob("*/*/run.json"))
        code = Train(["-m", *argv]).main()
        made = [path.parent for path in set(outputs.glob("*/*/run.json")) - before]
        return code, sorted(made, key=lambda folder: (Record.read(folder)["number"], folder))

    return call


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let configs name the package of a user."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    trusted = (*build.TRUSTED, "mine")
    monkeypatch.setattr(build, "trusted_packages", lambda: trusted)
