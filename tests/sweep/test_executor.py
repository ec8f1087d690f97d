"""Every executor of this machine keeps one contract: all answers, nothing raised, and nothing left behind.

What is asked of a cluster is in test_cluster.py.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from glassbox.config.execution import EXECUTORS, make_executor
from glassbox.config.place import CONF
from glassbox.errors import BadInput
from glassbox.sweep.executor import Executor, Lost

# Newer Pythons warn of a fork beside threads, and pytest-xdist has some.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

SHARDS = "vectorized_slurm"  # launcher=vectorized launcher.executor=slurm
DEADLINE = 30.0  # seconds; only a failing test waits so long
NODES: dict[str, dict[str, Any]] = {
    "basic": {"executor": "basic"},
    "joblib": {"executor": "joblib", "n_jobs": 2},
    "submitit_local": {"executor": "submitit_local", "max_running": 2},
}


@pytest.fixture(
    params=["basic", *(pytest.param(name, marks=pytest.mark.slow) for name in ("joblib", "submitit_local"))]
)
def launcher(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def executor(launcher: str, tmp_path: Path) -> Iterator[Executor]:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # other processes cannot import a test
    executor = make_executor(NODES[launcher], tmp_path)
    yield executor
    executor.close()
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def call(function: Callable[[], Any]) -> Any:
    return function()


def answers(executor: Executor, *functions: Callable[[], Any]) -> list[Any]:
    found = dict(executor.run(call, functions))
    assert sorted(found) == list(range(len(functions)))
    return [found[index] for index in range(len(functions))]


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def divide() -> float:
    return 1 / 0


def test_each_answer_comes_under_the_index_of_its_job(executor: Executor) -> None:
    assert answers(executor, *(lambda n=n: n * n for n in range(5))) == [0, 1, 4, 9, 16]
    assert answers(executor) == []
    assert answers(executor, lambda: {"again": os.getpid()})[0]["again"] != os.getpid()


def test_what_went_wrong_is_told_and_the_others_go_on(executor: Executor) -> None:
    first, *wrong, last = answers(
        executor,
        lambda: 1,
        lambda: RuntimeError("returned"),
        divide,
        lambda: sys.exit(0),
        lambda: sys.exit("word"),
        lambda: die(signal.SIGTERM),
        lambda: 2,
    )
    assert (first, last) == (1, 2)
    assert repr(wrong.pop(0)) == "RuntimeError('returned')"
    assert wrong == [
        Lost("ZeroDivisionError: division by zero"),
        Lost("sys.exit(0) was called"),
        Lost("sys.exit('word') was called"),
        Lost("interrupted by SIGTERM"),
    ]


def test_job_that_is_killed_is_lost_and_the_others_go_on(executor: Executor, launcher: str, tmp_path: Path) -> None:
    first = tmp_path / "first"

    def die_after_the_first() -> None:
        until = time.monotonic() + DEADLINE
        while not first.exists() and time.monotonic() < until:
            time.sleep(0.01)
        die(signal.SIGKILL)

    found = {}
    for index, answer in executor.run(call, [lambda: 1, die_after_the_first, lambda: 2, lambda: 3, lambda: 4]):
        found[index] = answer
        if index == 0:
            first.touch()  # not before its answer is here: joblib loses all that is in flight
    lost = found.pop(1)
    assert isinstance(lost, Lost)
    assert "killed" in lost.reason
    assert "perhaps out of memory" in lost.reason
    with_it = [index for index, answer in found.items() if answer == lost]
    assert len(with_it) <= (1 if launcher == "joblib" else 0)
    assert {index: answer for index, answer in found.items() if answer != lost} == {
        index: answer for index, answer in {0: 1, 2: 2, 3: 3, 4: 4}.items() if index not in with_it
    }


def test_import_that_has_begun_is_done_before_a_job_ends(executor: Executor, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, signal, time\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(0.01)\n"
        "from pathlib import Path\n"
        f"Path({str(tmp_path / 'done')!r}).touch()\n"
    )

    def job() -> None:
        sys.path.insert(0, str(tmp_path))
        __import__("slow")
        time.sleep(DEADLINE)

    assert answers(executor, job) == [Lost("interrupted by SIGTERM")]
    assert (tmp_path / "done").exists()


def test_closing_lets_running_jobs_end_in_order_and_starts_no_other(executor: Executor, tmp_path: Path) -> None:
    def work(name: str) -> None:
        def told(*_: Any) -> None:
            (tmp_path / name).write_text("interrupted")
            sys.exit(143)

        if name == "first":
            return
        signal.signal(signal.SIGTERM, told)
        (tmp_path / "pid").write_text(str(os.getpid()))
        (tmp_path / name).write_text("begun")
        while True:
            time.sleep(0.05)

    jobs = executor.run(work, ["first", "second", "third"])
    assert next(iter(jobs))[0] == 0
    with ending(executor, tmp_path / "second"):
        for _ in jobs:
            pytest.fail("nothing more can end")
    assert (tmp_path / "second").read_text() == "interrupted"
    third = tmp_path / "third"
    assert not third.exists() or third.read_text() == "interrupted"
    executor.close()
    assert not alive(int((tmp_path / "pid").read_text()))


@contextlib.contextmanager
def ending(executor: Executor, path: Path) -> Iterator[None]:
    """Press Ctrl-C when a job has begun."""

    def stop(*_: Any) -> None:
        if path.exists() and path.read_text():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# A sweep of its own, whose job tells its process and that of a child, and waits.
SWEEP = """
import os, subprocess, sys, time
from pathlib import Path
from glassbox.config.execution import make_executor

def job(path):
    child = subprocess.Popen(["sleep", "3600"])
    Path(path + "~").write_text(f"{{os.getpid()}} {{child.pid}}")
    os.rename(path + "~", path)
    time.sleep(3600)

list(make_executor({node!r}, Path("jobs")).run(job, ["started"]))
"""


def test_nothing_outlives_a_sweep_that_was_killed(launcher: str, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SWEEP.format(node=NODES[launcher])]) as sweep:
        wait_for((tmp_path / "started").exists)
        pids = list(map(int, (tmp_path / "started").read_text().split()))
        assert all(map(alive, pids))
        sweep.kill()
    try:
        wait_for(lambda: not any(map(alive, pids)))
    finally:
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process runs: one that has ended may wait for its parent to notice."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in ("", "Z")


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


WRONG = {
    "launcher=joblib launcher.n_jobs=0": "launcher.n_jobs=0: must be at least 1, or -1",
    "launcher=joblib +launcher.size=2": "launcher: JoblibExecutor.__init__() got an unexpected keyword argument 'size'",
    "launcher=submitit_local +launcher.size=2": "launcher=submitit_local: Unknown argument 'size' for executor 'local'",
    "launcher=joblib launcher.executor=joblip": "launcher.executor=joblip: no such executor, did you mean 'joblib'?",
    "launcher.executor=slrum": "launcher.executor=slrum: no such executor, did you mean 'slurm'? (local, slurm)",
    "launcher.executor=slurm": "launcher=vectorized: ",  # there is none, or no program of it
    "launcher.executor=slurm launcher.shards=0": "launcher.shards=0: must be a whole number ≥ 1",
    "launcher.shards=4": "launcher.shards=4: shards are for a cluster, add launcher.executor=slurm",
    "+launcher.partition=gpu": "launcher: Vectorized.__init__() got an unexpected keyword argument 'partition'",
}


@pytest.mark.slow
@pytest.mark.parametrize(("words", "told"), WRONG.items())
def test_bad_option_is_told_before_there_is_a_folder(words: str, told: str, outputs: Path, monkeypatch: Any) -> None:
    from glassbox.config.entry import Train

    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(BadInput) as caught:
        Train(["-m", "seed=0,1", *words.split()]).main()
    assert str(caught.value).startswith(told)
    assert [path.name for path in outputs.iterdir() if path.name != ".cache"] == []


def test_every_launcher_of_ours_is_an_executor() -> None:
    assert {path.stem for path in (CONF / "launcher").glob("*.yaml")} | {SHARDS} == {*EXECUTORS, "hydra"}


@pytest.mark.parametrize("name", [name for name, (*_, package) in EXECUTORS.items() if package])
def test_missing_package_is_told_before_there_is_a_folder(
    name: str, monkeypatch: pytest.MonkeyPatch, outputs: Path
) -> None:
    from glassbox.config.entry import Train

    package = str(EXECUTORS[name][-1])
    word = "launcher.executor=slurm" if name == SHARDS else f"launcher={name}"
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BadInput) as caught:
        Train(["-m", "seed=0,1", word]).main()
    assert str(caught.value) == f"{word} needs {package}: pip install 'glassbox[{package}]'"
    assert list(outputs.iterdir()) == []
