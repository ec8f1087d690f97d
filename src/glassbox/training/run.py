"""One run from its first step to its record: fit, test on the best checkpoint, draw, and write down how it ended."""

import logging
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

import lightning.pytorch as pl
from lightning.pytorch.utilities.model_helpers import is_overridden

from glassbox.process import TERMINATED, ending
from glassbox.tracking.keys import at_best
from glassbox.tracking.record import Record
from glassbox.tracking.tracker import Tracker
from glassbox.training.checkpoint import load
from glassbox.training.curves import Curves
from glassbox.training.picture import draw_boundary
from glassbox.training.process import in_processes
from glassbox.training.trainer import starts_processes

log = logging.getLogger(__name__)

DIVERGED = 4  # its exit code


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: `finished`, `pruned`, `diverged` or `interrupted`; a run that failed raises instead.
        exit_code: What a process that did only this run exits with.
        reason: Why it did not finish; None if it did.
        best: Epoch and metrics of the best checkpoint; of the last epoch if none was kept.
        test: Test metrics of the best checkpoint.
        seconds: Wall time of training and testing.

    Example:
        >>> outcome = Outcome("diverged", DIVERGED, "val/loss is nan at epoch 3")
        >>> outcome.exit_code, outcome.test
        (4, {})
    """

    status: str
    exit_code: int = 0
    reason: str | None = None
    best: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def run(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    datamodule: pl.LightningDataModule,
    curves: Curves,
    record: Record,
    trackers: Sequence[Tracker],
    *,
    picture: bool = True,
) -> Outcome:
    """Train, test and record one run; whatever happens, the record, the trackers and the caller are told the same.

    Args:
        trainer: The Trainer, with `curves` among its callbacks.
        module: What it trains.
        datamodule: What it trains on.
        curves: The callback that writes the curves.
        record: The run record; its folder exists.
        trackers: Who follows the run; closed at the end with the exit code.
        picture: Whether `boundary.png` is drawn.

    Returns:
        How the run ended, if it finished, diverged or was interrupted.

    Raises:
        Exception: Whatever the training raised; the record says `failed` and why.
    """
    started = time.perf_counter()
    outcome = Outcome("failed", 1, "the process ended early")
    with _handlers_put_back():
        try:
            with _sigterm_exits():
                train = partial(_train, picture=picture)
                work = trainer, module, datamodule, curves, record.folder, trackers
                outcome = in_processes(train, *work) if starts_processes(trainer) else train(*work)
        except (KeyboardInterrupt, SystemExit) as stop:
            outcome = _stopped(trainer, stop)
        except Exception as error:
            hidden = _behind(error)
            if hidden is None:
                outcome = Outcome(*ending(error))
                log.info(
                    "The run failed:\n%s", traceback.format_exc()
                )  # for train.log; the terminal gets it from Hydra
                raise
            outcome = _stopped(trainer, hidden)
        finally:
            outcome = _timed(outcome, time.perf_counter() - started)
            for tracker in trackers:
                tracker.close(outcome.exit_code)
            finish(record, outcome, curves.rows)
    return outcome


def finish(record: Record, outcome: Outcome, rows: Mapping[int, Mapping[str, float]]) -> None:
    """Write into the record how a run ended.

    Args:
        record: The run record.
        outcome: How it ended.
        rows: Epoch → row of its curves.
    """
    record.finish(
        outcome.status,
        reason=outcome.reason,
        exit_code=outcome.exit_code,
        best=outcome.best,
        final={"epoch": max(rows), **rows[max(rows)]} if rows else {},
        test=outcome.test,
        seconds=round(outcome.seconds, 3),
    )


def best_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that a run folder is judged by: the best, else the last, else None.

    Example:
        >>> import tempfile
        >>> checkpoints = Path(tempfile.mkdtemp()) / "checkpoints"
        >>> checkpoints.mkdir()
        >>> for name in ("last.ckpt", "best.ckpt"):
        ...     (checkpoints / name).touch()
        ...     print(best_checkpoint(checkpoints.parent).name)
        last.ckpt
        best.ckpt
    """
    for name in ("best.ckpt", "last.ckpt"):
        path = folder / "checkpoints" / name
        if path.exists():
            return path
    return None


def test_metrics(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    datamodule: pl.LightningDataModule,
    checkpoint: Path | None,
) -> dict[str, float]:
    """Return the test metrics of a checkpoint, or of the module as it is.

    Args:
        trainer: The Trainer.
        module: The module; afterwards it holds the checkpoint's weights.
        datamodule: It has the test rows.
        checkpoint: The checkpoint; None tests the module as it is.

    Returns:
        Metric key → value; empty if the module has no `test_step`.
    """
    if not is_overridden("test_step", module):
        return {}
    path = str(checkpoint) if checkpoint is not None else None
    results = trainer.test(module, datamodule=datamodule, ckpt_path=path, verbose=False, weights_only=True)
    return {key: float(value) for key, value in results[0].items()} if results else {}


def _train(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    datamodule: pl.LightningDataModule,
    curves: Curves,
    folder: Path,
    trackers: Sequence[Tracker],
    *,
    picture: bool,
) -> Outcome:
    trainer.fit(module, datamodule=datamodule)
    checkpoint = best_checkpoint(folder)
    best = _best(curves, checkpoint)
    if curves.diverged is not None:
        return Outcome("diverged", DIVERGED, curves.diverged, best)
    if curves.pruned is not None:
        return Outcome("pruned", 0, curves.pruned, best)
    test = test_metrics(trainer, module, datamodule, checkpoint)
    for tracker in trackers:
        tracker.summary(at_best(best) | test)
    if trainer.is_global_zero:
        draw_boundary(folder, module, datamodule, trackers, picture=picture)
    return Outcome("finished", 0, None, best, test)


def _best(curves: Curves, checkpoint: Path | None) -> dict[str, float]:
    """Return epoch and metrics of the best checkpoint, or of the last epoch if no checkpoint was kept."""
    if not curves.rows:
        return {}
    epoch = max(curves.rows) if checkpoint is None else int(load(checkpoint)["epoch"])
    return {"epoch": epoch, **curves.rows.get(epoch, {})}


def _timed(outcome: Outcome, seconds: float) -> Outcome:
    return Outcome(outcome.status, outcome.exit_code, outcome.reason, outcome.best, outcome.test, seconds)


def _behind(error: BaseException) -> SystemExit | None:
    """Return the exit by SIGTERM that an error hides: torch, broken off while it saves, raises one of its own."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, SystemExit) and found.code == TERMINATED:
            return found
        found = found.__context__
    return None


def _stopped(trainer: pl.Trainer, stop: BaseException) -> Outcome:
    """Tell a signal from a `sys.exit` somewhere in the training."""
    # Lightning turns Ctrl-C into sys.exit(1) after an orderly end.
    if trainer.interrupted and isinstance(stop.__context__, KeyboardInterrupt):
        stop = stop.__context__
    return Outcome(*ending(stop))


@contextmanager
def _handlers_put_back() -> Iterator[None]:
    """Put the handlers of SIGTERM and Ctrl-C back at the end; Lightning changes that of Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        if _signals_can_be_set():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _sigterm_exits() -> Iterator[None]:
    """Turn SIGTERM into SystemExit(143), so that everything is closed in order on the way out.

    From then on, and from the end of the training on, SIGTERM is ignored: a second one would break off the closing.
    """
    if not _signals_can_be_set():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _signals_can_be_set() -> bool:
    """Return whether this is the main thread; elsewhere signals stay as they are."""
    return threading.current_thread() is threading.main_thread()
