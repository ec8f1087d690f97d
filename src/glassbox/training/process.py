"""A run on several devices: a process for each of them, and this one, which keeps the record and the trackers.

Each process does all of the work on its share of every batch; what the first of them tells its trackers goes through a
pipe to the trackers here. Lightning's own launchers would start two rounds of processes, one to train and one to test,
and bring back neither the rows of the epochs nor, from a process that was killed, the reason.
"""

import logging
import logging.handlers
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from pathlib import Path
from types import FrameType
from typing import Any

import cloudpickle
import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies.launchers.multiprocessing import _GlobalStateSnapshot
from rich.console import Console

from glassbox.errors import GlassboxError, told
from glassbox.process import die_with_parent, killed_by
from glassbox.tracking.tracker import Tracker
from glassbox.training.curves import Curves
from glassbox.training.share import Share
from glassbox.training.trainer import hush

BEAT = 5.0  # seconds between two signs of life
LAST_WORDS = 0.2  # seconds in which the death of a process explains the error of another, which lost its connection

# What the fork server imports once, for all processes that it forks: in a sweep, for those of all jobs.
PRELOADED = ("glassbox.training.run", "glassbox.training.module", "glassbox.data.module")

Processes = dict[int, tuple[ForkServerProcess, Connection]]  # rank → process, and the pipe to it

# (trainer, module, datamodule, curves, folder, trackers) → how the run ended.
Function = Callable[[pl.Trainer, pl.LightningModule, pl.LightningDataModule, Curves, Path, Sequence[Tracker]], Any]


def in_processes(
    function: Function,
    trainer: pl.Trainer,
    module: pl.LightningModule,
    datamodule: pl.LightningDataModule,
    curves: Curves,
    folder: Path,
    trackers: Sequence[Tracker],
) -> Any:
    """Call a function in one process per device of a Trainer.

    They are forked from a server that has imported torch and nothing else has happened in: no threads, no GPU. Whatever
    ends this call, its processes have ended, too; and when this process is gone, so are they.

    Args:
        function: What to do: train, test and draw.
        trainer: The Trainer, with a strategy of several processes.
        module: What it trains.
        datamodule: What it trains on.
        curves: The callback that writes the curves; here it gets the rows of the first process.
        folder: The run folder.
        trackers: They get what the first process tells.

    Returns:
        What the function returned in the first process.

    Raises:
        GlassboxError: A process was killed, or the parts cannot be sent to another process.
        Exception: Whatever the function raised in a process.
    """
    try:
        work = cloudpickle.dumps((function, trainer, module, datamodule, curves, folder))
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise GlassboxError(f"trainer=ddp sends the run to other processes, which fails: {told(error)}") from error
    world = trainer.world_size
    state = _State.of_this_process(world, trainer.strategy.cluster_environment.main_port)  # type: ignore[attr-defined]
    with _processes(world, state, work) as processes:
        results: dict[int, Any] = {}
        while len(results) < world:
            ready = wait([pipe for rank, (_, pipe) in processes.items() if rank not in results], BEAT)
            if curves.beat is not None:
                curves.beat()
            for rank, (_, pipe) in processes.items():
                if pipe in ready:
                    kind, *content = _received(processes, rank)
                    if kind == "returned":
                        (results[rank],) = content
                    elif kind == "record":
                        logging.getLogger(content[0].name).handle(content[0])
                    else:
                        if kind == "log":
                            row, epoch = content
                            curves.rows[epoch] = row
                        for tracker in trackers:
                            getattr(tracker, kind)(*content)
    return results[0]


class Relay:
    """A tracker in the first process, which hands everything on to those who follow the run.

    Args:
        pipe: The way to them.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def tell(self, kind: str, *content: Any) -> None:
        """Send something that pickle can take, after what has been printed."""
        sys.stdout.flush()
        with self._lock:
            self._pipe.send((kind, *content))

    def log(self, row: dict[str, float], epoch: int) -> None:
        """Hand on the row of an epoch."""
        self.tell("log", row, epoch)

    def summary(self, values: dict[str, float]) -> None:
        """Hand on values of the run as a whole."""
        self.tell("summary", values)

    def image(self, key: str, path: Path) -> None:
        """Hand on where a picture is."""
        self.tell("image", key, path)

    def close(self, exit_code: int) -> None:
        """It ends with its process."""


class _RelayHandler(logging.handlers.QueueHandler):
    """Hand log records on, so that train.log and the terminal get them as if the run were in one process."""

    queue: Any

    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.tell("record", record)


@dataclass(frozen=True)
class _State:
    """What a process begins with, of that which the run has set up in this one."""

    environment: dict[str, str]
    flags: _GlobalStateSnapshot
    threads: int
    precision: str
    dtype: torch.dtype
    level: int

    @classmethod
    def of_this_process(cls, world: int, port: int) -> "_State":
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return cls(
            environment=dict(os.environ) | address,
            flags=_GlobalStateSnapshot.capture(),
            threads=max(1, torch.get_num_threads() // world),
            precision=torch.get_float32_matmul_precision(),
            dtype=torch.get_default_dtype(),
            level=logging.getLogger().level,
        )

    def restore(self, rank: int) -> None:
        os.environ.clear()
        os.environ.update(self.environment | {"LOCAL_RANK": str(rank)})
        self.flags.restore()
        torch.set_num_threads(self.threads)
        torch.set_float32_matmul_precision(self.precision)
        torch.set_default_dtype(self.dtype)
        hush()
        if rank:
            warnings.simplefilter("ignore")  # the first process says it once for all


@contextmanager
def _processes(world: int, state: _State, work: bytes) -> Iterator[Processes]:
    """Start the processes; on the way out, whatever the way, end them and all that they have started."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    if multiprocessing.get_start_method(allow_none=True) not in (None, *multiprocessing.get_all_start_methods()):
        multiprocessing.set_start_method(None, force=True)  # joblib's own, of which a new process knows nothing
    processes: Processes = {}
    try:
        for rank in range(world):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, rank, state, work), name=f"process {rank}")
            process.start()
            theirs.close()
            processes[rank] = process, ours
        yield processes
    finally:
        for process, pipe in processes.values():
            assert process.pid is not None
            with suppress(ProcessLookupError, PermissionError):  # it leads no group yet, or nobody is left in it
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.join()
            pipe.close()
        if sys.stdout.isatty():
            Console().show_cursor()  # which the progress bar of the first process hides


def _received(processes: Processes, rank: int) -> Any:
    """Return what a process says; raise what has gone wrong in it."""
    process, pipe = processes[rank]
    try:
        message = pipe.recv()
    except (EOFError, ConnectionError):
        process.join()
    else:
        if message[0] != "raised":
            return message
        # A process that raises stays, so that another one has lost its connection only to one that is dead.
        wait([process.sentinel for process, _ in processes.values()], LAST_WORDS)
    for dead, (process, _) in processes.items():
        if process.exitcode is not None:
            raise GlassboxError(f"process {dead} of {len(processes)} {_death(process.exitcode)}")
    raise message[1]


def _death(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was {killed_by(-code)}"


def _serve(pipe: Connection, rank: int, state: _State, work: bytes) -> None:
    """Be the process of a device: do the work, say how it ended, and wait to be ended.

    A process that left by itself would close its connections to the others, whose errors would then hide its own.
    """
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _wait_for_parent)
    relay = Relay(pipe)
    try:
        state.restore(rank)
        root = logging.getLogger()
        root.setLevel(state.level)
        root.addHandler(logging.NullHandler() if rank else _RelayHandler(relay))  # type: ignore[arg-type]
        function, trainer, module, datamodule, curves, folder = pickle.loads(work)
        trainer.strategy._launcher = None  # the processes are there
        trainer.callbacks.insert(0, Share())
        curves.trackers = [] if rank else [relay]
        result = function(trainer, module, datamodule, curves, folder, curves.trackers)
        relay.tell("returned", None if rank else result)
    except BaseException as error:  # noqa: BLE001 (raised again by the parent)
        relay.tell("raised", _portable(error))
    while True:
        signal.pause()


def _portable(error: BaseException) -> Any:
    """Return an exception that another process can raise, with its traceback as text; or one of ours that tells it."""
    sent = ExceptionWithTraceback(error, error.__traceback__)
    try:
        pickle.loads(pickle.dumps(sent))
    except Exception:  # noqa: BLE001 (whatever a class of somebody else raises)
        return ExceptionWithTraceback(GlassboxError(told(error)), error.__traceback__)
    return sent


def _wait_for_parent(number: int, frame: FrameType | None) -> None:
    """Leave it to the parent, which is told the same by who ends a whole job, to end everything in order."""
