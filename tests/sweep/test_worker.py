"""The worker: what kills it, what kills its parent, what interrupts it, and that job k is the same job alone."""

import contextlib
import faulthandler
import fcntl
import gc
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glassbox.process import RARELY, collect_as_usual
from glassbox.sweep import worker as module
from glassbox.sweep.executor import Executor, Lost, attempt
from glassbox.sweep.worker import Worker

# Newer Pythons warn of a fork beside threads, and pytest-xdist has some.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

DEADLINE = 20.0  # seconds; only a failing test waits so long


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture
def holders() -> Iterator[tuple[int, Callable[[], bool]]]:
    """A file descriptor for processes to inherit, and whether all that have it end before the deadline."""
    read, write = os.pipe()
    with open(read, "rb", buffering=0) as reader, open(write, "wb", buffering=0) as writer:  # noqa: PTH123

        def all_gone() -> bool:
            writer.close()
            readable, _, _ = select.select([reader], [], [], DEADLINE)
            return bool(readable) and reader.read(1) == b""

        yield write, all_gone


def pid(_: Any = None) -> int:
    return os.getpid()


def call(function: Callable[[], Any]) -> Any:
    return function()


def answers(executor: Executor, *functions: Callable[[], Any]) -> list[Any]:
    """What a worker answers to functions that take nothing."""
    found = list(executor.run(call, functions))
    assert [index for index, _ in found] == list(range(len(functions)))
    return [answer for _, answer in found]


def test_one_process_runs_all_jobs_of_all_calls(worker: Worker) -> None:
    first, second = answers(worker, pid, pid)
    third = dict(worker.run(pid, [None]))[0]
    assert first == second == third != os.getpid()


def test_function_and_answer_may_be_anything(worker: Worker, tmp_path: Path) -> None:
    lock = threading.Lock()  # cannot be pickled
    with (tmp_path / "file").open("w") as file:
        (_, first), (_, again) = worker.run(lambda n: (n, lock.locked(), os.getpid()), [1, 2])
        (_, other) = next(worker.run(lambda n: (n, file.name, os.getpid()), [3]))
    assert first[:2] == (1, False)
    assert again[2] == first[2]
    assert other[:2] == (3, str(tmp_path / "file"))
    (_, double) = next(worker.run(lambda n: lambda: 2 * n, [4]))
    assert double() == 8


def test_new_function_is_sent_to_the_living_process(worker: Worker) -> None:
    first = next(worker.run(lambda n: (n + 1, os.getpid()), [1]))[1]
    second = next(worker.run(lambda n: (n * 10, os.getpid()), [1]))[1]
    assert (first[0], second[0]) == (2, 10)
    assert first[1] == second[1]


def die(number: signal.Signals) -> Callable[[], None]:
    def kill() -> None:
        faulthandler.disable()  # pytest's, which would print where
        os.kill(os.getpid(), number)

    return kill


DEATHS = {
    "SIGKILL": (die(signal.SIGKILL), "killed by SIGKILL, perhaps out of memory"),
    "SIGSEGV": (die(signal.SIGSEGV), "killed by SIGSEGV"),
    "exit 0": (lambda: os._exit(0), "the process ended with exit code 0"),
    "exit 3": (lambda: os._exit(3), "the process ended with exit code 3"),
}


@pytest.mark.parametrize(("kill", "reason"), DEATHS.values(), ids=DEATHS)
def test_job_whose_process_dies_is_lost_alone(worker: Worker, kill: Callable[[], None], reason: str) -> None:
    before, lost, after, last = answers(worker, pid, kill, pid, pid)
    assert lost == Lost(reason)
    assert after == last != before
    with pytest.raises(ChildProcessError):  # nobody's child any more, so no zombie
        os.waitpid(before, os.WNOHANG)


def test_what_a_dead_job_has_started_ends_with_it(worker: Worker, holders: Any) -> None:
    _, all_gone = holders

    def fork_and_die() -> None:
        if os.fork():
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(3600)

    assert answers(worker, fork_and_die) == [Lost("killed by SIGKILL, perhaps out of memory")]
    assert all_gone()


class Stubborn:
    """Neither pickle nor cloudpickle can take it."""

    def __reduce__(self) -> Any:
        raise TypeError("not me")


class Trap(Exception):
    """It can be sent, but not made again: its constructor wants more than its message."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__("two numbers")


def leave(code: int) -> Callable[[], None]:
    return lambda: sys.exit(code)


TROUBLES = {
    "unpicklable": (Stubborn, "its result cannot be sent to another process: TypeError: not me"),
    "unreadable": (lambda: Trap(1, 2), "its result cannot be read: TypeError: "),
    "raises": (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
    "sys.exit(0)": (leave(0), "sys.exit(0) was called"),
    "orderly end": (leave(143), "interrupted by SIGTERM"),
    "SIGTERM": (die(signal.SIGTERM), "interrupted by SIGTERM"),
    "SIGINT": (die(signal.SIGINT), "interrupted by SIGINT"),
}


@pytest.mark.parametrize(("trouble", "reason"), TROUBLES.values(), ids=TROUBLES)
def test_trouble_in_a_job_is_told_and_the_process_goes_on(
    worker: Worker, trouble: Callable[[], Any], reason: str
) -> None:
    before, lost, after = answers(worker, pid, trouble, pid)
    assert isinstance(lost, Lost)
    assert lost.reason.startswith(reason)
    assert before == after


def test_each_job_collects_rarely_until_it_trains(worker: Worker) -> None:
    before = gc.get_threshold()
    thresholds = answers(worker, gc.get_threshold, collect_as_usual, gc.get_threshold)
    assert thresholds[0] == thresholds[2] == (RARELY, *before[1:])
    attempt(lambda _: gc.set_threshold(1, 2, 3), None)
    assert gc.get_threshold() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_process_that_ends_between_jobs_is_replaced(
    worker: Worker, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    (before,) = answers(worker, pid)
    os.kill(before, number)
    os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)
    (after,) = answers(worker, pid)
    assert isinstance(after, int)
    assert after != before
    assert capfd.readouterr().err == ""


def test_output_is_there_when_the_answer_is(worker: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    jobs = worker.run(lambda n: (print(n, end=""), print(-n, end="", file=sys.stderr)), [1, 2])
    next(jobs)
    assert capfd.readouterr() == ("1", "-1")
    next(jobs)
    assert capfd.readouterr() == ("2", "-2")


def test_job_may_start_processes(worker: Worker) -> None:
    def sum_of_squares() -> int:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return sum(pool.map(abs, [-1, -2]))

    assert answers(worker, lambda: multiprocessing.current_process().daemon, sum_of_squares) == [False, 3]


def test_lock_that_the_parent_let_go_lives_as_long_as_the_process(worker: Worker, tmp_path: Path) -> None:
    held, other = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    fcntl.flock(held, fcntl.LOCK_EX)
    answers(worker, pid)
    os.close(held)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    worker.close()
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, whoever runs the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt_parent(on_sigterm: Callable[[], None]) -> None:
    """Be a job that waits until somebody ends it, while Ctrl-C is pressed."""
    signal.signal(signal.SIGTERM, lambda *_: on_sigterm())
    os.kill(os.getppid(), signal.SIGINT)
    while True:
        signal.pause()


def test_ctrl_c_lets_the_running_job_end_in_order(worker: Worker, ctrl_c: None, holders: Any, tmp_path: Path) -> None:
    def write_and_leave() -> None:
        (tmp_path / "told").write_text("interrupted")
        sys.exit(143)

    with pytest.raises(KeyboardInterrupt):
        answers(worker, lambda: interrupt_parent(write_and_leave), pid)
    assert (tmp_path / "told").read_text() == "interrupted"
    assert holders[1]()


def test_job_that_does_not_end_is_killed_with_its_children(
    worker: Worker, ctrl_c: None, holders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    def stay() -> None:
        if os.fork():
            interrupt_parent(lambda: None)
        time.sleep(3600)

    with pytest.raises(KeyboardInterrupt):
        answers(worker, stay)
    assert holders[1]()
    assert isinstance(answers(worker, pid)[0], int)  # and the next call finds a new one


def test_second_ctrl_c_waits_for_nobody(
    worker: Worker, ctrl_c: None, holders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 3600.0)
    with pytest.raises(KeyboardInterrupt):
        answers(worker, lambda: interrupt_parent(lambda: os.kill(os.getppid(), signal.SIGINT)))
    assert holders[1]()


def test_iterator_that_is_closed_between_jobs_starts_no_other(worker: Worker, tmp_path: Path) -> None:
    jobs = worker.run(lambda name: (tmp_path / name).touch(), ["a", "b"])
    next(jobs)
    jobs.close()  # type: ignore[attr-defined]
    worker.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


# A parent of its own: what its one job does is given as code, and `{told}` and `{fd}` are filled in.
PARENT = """
import os, signal, subprocess, sys, time
from glassbox.sweep.worker import Worker

worker = Worker()

def replaced(_):
    os._exit(1)

def job(_):
    {job}

list(worker.run(replaced, [None]))
list(worker.run(job, [None]))
{after}
"""
ORPHANS = """
    subprocess.Popen(["sleep", "3600"], pass_fds=[{fd}])
    if not os.fork():
        time.sleep(3600)
    os.write(1, b"ready")
    {then}
"""
SLEEP = "time.sleep(3600)"
SPIN = "while True: pass"
ON_SIGTERM = """
    def told(*_):
        open("told", "w").write("SIGTERM")
        sys.exit(143)
    signal.signal(signal.SIGTERM, told)
    os.write(1, b"ready")
    while True:
        signal.pause()
"""


@contextlib.contextmanager
def parent(job: str, after: str, fd: int) -> Iterator[subprocess.Popen[bytes]]:
    """A parent process in a session of its own, whose job has said that it is ready."""
    command = [sys.executable, "-c", PARENT.format(job=job.lstrip(), after=after)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[fd], start_new_session=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.read(5) == b"ready"
            yield process
        finally:
            process.kill()
            process.stdout.close()


@pytest.mark.parametrize(
    ("then", "after"), [(SLEEP, ""), (SPIN, ""), ("return", SLEEP)], ids=["sleeps", "busy", "idle"]
)
def test_nothing_outlives_a_parent_that_was_killed(holders: Any, then: str, after: str) -> None:
    fd, all_gone = holders
    with parent(ORPHANS.format(fd=fd, then=then), after, fd) as process:
        process.kill()
        assert all_gone()


def test_ctrl_c_in_the_terminal_reaches_the_parent_alone(holders: Any, tmp_path: Path) -> None:
    fd, all_gone = holders
    with parent(ON_SIGTERM, "", fd) as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(DEADLINE) == -signal.SIGINT
        assert all_gone()
    assert (tmp_path / "told").read_text() == "SIGTERM"


def test_parent_that_forgets_to_close_ends(holders: Any) -> None:
    fd, all_gone = holders
    with parent('os.write(1, b"ready")', "", fd) as process:
        assert process.wait(DEADLINE) == 0
        assert all_gone()
