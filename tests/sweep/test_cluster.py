"""One study through every launcher: on a pool, on a real Slurm and on a real Ray cluster, by the real command line.

All that is asked of a cluster is one test, so that pytest-xdist starts each cluster once.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from glassbox.tracking.record import Record, status_of

pytestmark = pytest.mark.slow

DEADLINE = 300.0  # seconds; only a failing test waits so long
SMALL = ["data=moons", "data.samples=50", "batch_size=10", "max_epochs=2", "logger=csv"]
FAULT = ["+callbacks.fault._target_=mine.fault.Fault", "+callbacks.fault.seed=${seed}"]
KINDS = {"raises": 1, "diverges": 2, "killed": 3, "leaves": 4, "terminated": 5}
ENDS = {
    0: ("finished", None),
    1: ("failed", "RuntimeError: the disk is full"),
    2: ("diverged", "train/loss is nan at epoch 0"),
    4: ("failed", "sys.exit(0) was called"),
    5: ("interrupted", "SIGTERM"),
    6: ("finished", None),
    7: ("finished", None),
}
STUDY = ["seed=range(8)", *SMALL, *FAULT, *(f"+callbacks.fault.{kind}={seed}" for kind, seed in KINDS.items())]
GATED = ["seed=range(3)", *SMALL, *FAULT]
FIXTURES = {"submitit_slurm": "slurm", "ray": "ray_cluster"}
OPTIONS = {"joblib": ["launcher.n_jobs=2"], "submitit_local": ["+launcher.max_running=2"]}
MANY = ["lr=1e-2,1e-1", "seed=range(6)", "optimizer=adam,sgd", "init=xavier,default", *SMALL]
LONG = ["seed=range(64)", *SMALL, "max_epochs=600"]
SLURM = ["launcher.executor=slurm", "launcher.cpus_per_task=1", "+launcher.partition=main"]
# What may differ between the records of one run.
OWN = ("name", "study", "started", "ended", "heartbeat", "pid", "host", "command", "launcher", "number", "seconds")


class Command:
    """scripts/train.py of a copy of the project, which trusts the package `mine`."""

    def __init__(self, project: Path, outputs: Path) -> None:
        self.project, self.outputs = project, outputs

    @contextlib.contextmanager
    def start(self, study: str, launcher: str, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, str(self.project / "scripts" / "train.py"), "-m", f"study={study}"]
        with subprocess.Popen(
            [*command, f"launcher={launcher}", *OPTIONS.get(launcher, []), *words],
            env=os.environ | {"PYTHONPATH": f"{self.project}/src", "GLASSBOX_OUTPUTS": str(self.outputs)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()  # a test that failed would wait for ever

    def __call__(self, study: str, launcher: str, *words: str, **environment: str) -> tuple[int, str, str]:
        """Run a sweep; its exit code and what it printed."""
        with self.start(study, launcher, *words, **environment) as process:
            out, err = process.communicate(timeout=DEADLINE)
        return process.returncode, out, err

    def runs(self, study: str) -> dict[Path, dict[str, Any]]:
        """Folder → record, the oldest first."""
        folders = [path.parent for path in (self.outputs / study).glob("*/run.json")]
        records = {folder: Record.read(folder) for folder in folders}
        return dict(
            sorted(records.items(), key=lambda item: (item[1]["number"], (item[0] / ".hydra").stat().st_mtime_ns))
        )

    def statuses(self, study: str) -> list[tuple[int, str]]:
        return sorted((record["seeds"]["seed"], record["status"]) for record in self.runs(study).values())


@pytest.fixture(scope="session")
def reference(project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Seed → run folder of the study without its faults, by the warm worker."""
    command = Command(project, tmp_path_factory.mktemp("reference"))
    code, out, err = command("reference", "basic", *STUDY, CURED="1")
    assert (code, err) == (0, ""), out + err
    return {record["seeds"]["seed"]: folder for folder, record in command.runs("reference").items()}


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "submitit_slurm", "ray"])
def test_launcher(launcher: str, project: Path, outputs: Path, request: pytest.FixtureRequest) -> None:
    if launcher in FIXTURES:
        request.getfixturevalue(FIXTURES[launcher])
    command = Command(project, outputs)
    reference = request.getfixturevalue("reference")
    gives_the_same_results_and_tells_every_failure(command, launcher, reference)
    ends_with_its_sweep(command, launcher, outputs)


def gives_the_same_results_and_tells_every_failure(command: Command, launcher: str, reference: dict[int, Path]) -> None:
    code, out, err = command("faults", launcher, *STUDY)
    assert (code, err) == (1, ""), out + err
    first = command.runs("faults")
    assert sorted(record["number"] for record in first.values()) == list(range(8))
    records = {record["seeds"]["seed"]: record for record in first.values()}
    lost = {seed for seed, record in records.items() if seed != 3 and "lost with it" in str(record["reason"])}
    assert len(lost) <= (1 if launcher == "joblib" else 0), out
    told = {seed: (record["status"], record["reason"]) for seed, record in records.items() if seed not in lost}
    status, reason = told.pop(3)
    assert (status, "was killed" in reason or "killed by SIGKILL" in reason) == ("failed", True)
    assert told == {seed: ended for seed, ended in ENDS.items() if seed not in lost}
    *_, table = out.split("8/8")
    for folder, record in first.items():
        if record["status"] != "finished":
            (line,) = (text for text in table.splitlines() if text.startswith(record["status"]) and folder.name in text)
            assert record["reason"] in line
    code, out, err = command("faults", launcher, *STUDY, CURED="1")
    assert (code, err) == (0, ""), out + err
    again = {folder: record for folder, record in command.runs("faults").items() if folder not in first}
    assert {record["seeds"]["seed"] for record in again.values()} == {1, 3, 4, 5} | lost
    finished = [folder for folder, record in {**first, **again}.items() if record["status"] == "finished"]
    assert len(finished) == 7
    for folder in finished:
        assert_same(folder, reference[Record.read(folder)["seeds"]["seed"]], launcher)


def assert_same(folder: Path, other: Path, launcher: str, reference: str = "basic") -> None:
    """Compare a run with the same run by another launcher."""
    ours, theirs = Record.read(folder), Record.read(other)
    assert (ours["launcher"], theirs["launcher"]) == (launcher, reference)
    assert ours.keys() == theirs.keys()
    assert {k: v for k, v in ours.items() if k not in OWN} == {k: v for k, v in theirs.items() if k not in OWN}
    assert (folder / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    assert {path.relative_to(folder) for path in folder.rglob("*")} == {p.relative_to(other) for p in other.rglob("*")}
    one, two = (
        torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for path in (folder, other)
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def ends_with_its_sweep(command: Command, launcher: str, outputs: Path) -> None:
    gate = outputs / "gate"
    with command.start("gated", launcher, *GATED, GATE=str(gate)) as sweep:
        wait_for(lambda: len(living(command)) == 2)
        pids = living(command)
        if launcher in FIXTURES:
            sweep.terminate()
        else:
            os.killpg(sweep.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
        out, err = sweep.communicate(timeout=DEADLINE)
    assert (sweep.returncode, err) == (143 if launcher in FIXTURES else 130, ""), out + err
    assert "interrupted" in out
    assert [status for _, status in command.statuses("gated")] == ["interrupted"] * 2
    assert living(command) == set()
    assert not any(map(lives, pids))
    with command.start("gated", launcher, *GATED, GATE=str(gate)) as sweep:
        wait_for(lambda: len(living(command)) == 2)
        pids = living(command)
        sweep.kill()
    if launcher == "submitit_slurm":
        outlives_its_sweep(command, gate)
    else:
        wait_for(lambda: not any(map(lives, pids)))
    gate.touch()
    code, out, err = command("gated", launcher, *GATED, GATE=str(gate))
    assert code == 0, out + err
    assert sorted(seed for seed, status in command.statuses("gated") if status == "finished") == [0, 1, 2]


def outlives_its_sweep(command: Command, gate: Path) -> None:
    """See what only Slurm does: jobs go on without their sweep, and the cluster starts jobs again."""
    assert sorted(queue("%T")) == ["PENDING", "RUNNING", "RUNNING"]
    (waiting,) = queue("%i", "--states=PENDING")
    with command.start("gated", "submitit_slurm", *GATED, GATE=str(gate)) as sweep:
        assert sweep.stdout is not None
        assert sweep.stdout.readline() == "gated: 3 jobs; 2 are there already; 1 to run\n"
        wait_for(lambda: len(queue("%T")) == 3)
        assert waiting not in queue("%i"), "a job would be done twice"
        (job,) = queue("%i", "--states=PENDING")
        subprocess.run(["scancel", queue("%i", "--states=RUNNING")[0]], check=True)
        wait_for(lambda: last(command)["seeds"]["seed"] == 2 and last(command)["status"] == "running")
        preempted = last(command)
        subprocess.run(["sbatch", "--partition=urgent", "--output=/dev/null", "--ntasks=2", "--wrap=true"], check=True)
        wait_for(lambda: last(command)["status"] == "interrupted")
        assert last(command)["reason"] == "SIGTERM"
        hurry(job)
        wait_for(lambda: last(command)["status"] == "running")
        assert last(command)["name"] != preempted["name"]
        assert last(command)["number"] == preempted["number"]
        gate.touch()
        out, err = sweep.communicate(timeout=DEADLINE)
    assert (sweep.returncode, err) == (1, ""), out + err
    assert "1 finished, 2 interrupted" in out
    assert f"1/1  #{preempted['number']}  finished" in out
    assert len(queue("%i", "--states=PENDING")) == 1


def test_shards(project: Path, outputs: Path, slurm: Path) -> None:
    command = Command(project, outputs)
    shards_give_the_results_of_one_machine(command)
    shards_tell_every_failure(command)
    preempted_shard_goes_on(command)
    shards_outlive_their_sweep(command, outputs / "gate")


def shards_give_the_results_of_one_machine(command: Command) -> None:
    assert command("here", "vectorized", *MANY)[0] == 0
    code, out, err = command("there", "vectorized", *MANY, *SLURM, "launcher.shards=4")
    assert (code, err) == (0, ""), out + err
    assert "there: 48 jobs; 48 to run\n48 jobs in 4 shards\n" in out
    here, there = finished(command, "here"), finished(command, "there")
    assert here.keys() == there.keys()
    assert len(there) == len(command.runs("there")) == 48
    for identity, folder in there.items():
        assert Record.read(folder)["batched"]
        assert_same(folder, here[identity], "vectorized_slurm", "vectorized")
    plans = [json.loads(path.read_text()) for path in (command.outputs / "there").glob("population*.json")]
    members = [chunk["members"] for plan in plans for chunk in plan["chunks"]]
    assert list(map(len, members)) == [12] * 4
    assert {name for names in members for name in names} == there.keys()
    code, out, err = command("there", "vectorized", *MANY, *SLURM, "launcher.shards=4")
    assert (code, err) == (0, ""), out + err
    assert "48 jobs; 48 are there already; 0 to run" in out


def shards_tell_every_failure(command: Command) -> None:
    code, out, err = command("faults", "vectorized", *STUDY, *SLURM, "launcher.shards=3")
    assert (code, err) == (1, ""), out + err
    runs = command.runs("faults")
    told = {record["seeds"]["seed"]: (record["status"], record["reason"]) for record in runs.values()}
    assert told.pop(3) == ("failed", "killed by SIGKILL, perhaps out of memory")
    assert told == ENDS
    for folder, record in runs.items():
        assert (record["launcher"], record["batched"]) == ("vectorized_slurm", False)
        assert record["status"] == "finished" or any(
            record["reason"] in line and folder.name in line for line in out.splitlines()
        )


def preempted_shard_goes_on(command: Command) -> None:
    """See what becomes of members that have ended, that train and that wait when their shard is preempted."""
    words = [*LONG, "launcher.max_members=32"]
    with command.start("preempted", "vectorized", *words, *SLURM) as sweep:
        wait_for(lambda: of_status(command, "preempted", "finished") != set())
        before = of_status(command, "preempted", "finished")
        (job,) = queue("%i")
        subprocess.run(["sbatch", "--partition=urgent", "--output=/dev/null", "--ntasks=2", "--wrap=true"], check=True)
        wait_for(lambda: queue("%T", f"--jobs={job}") == ["PENDING"])
        assert of_status(command, "preempted", "running") == set()
        interrupted = of_status(command, "preempted", "interrupted")
        assert {Record.read(folder)["reason"] for folder in interrupted} == {"SIGTERM"}
        hurry(job)
        out, err = sweep.communicate(timeout=DEADLINE)
    assert (sweep.returncode, err) == (0, ""), out + err
    assert before <= of_status(command, "preempted", "finished")
    assert len(command.runs("preempted")) == 64 + len(interrupted)
    assert command("alike", "vectorized", *words)[0] == 0
    alike, runs = finished(command, "alike"), finished(command, "preempted")
    assert len(of_status(command, "preempted", "finished")) == len(runs) == 64
    for identity, folder in runs.items():
        assert_same(folder, alike[identity], "vectorized_slurm", "vectorized")


def shards_outlive_their_sweep(command: Command, gate: Path) -> None:
    half = f"launcher.cpus_per_task={max(1, (os.cpu_count() or 2) // 2)}"  # two shards at once
    words = ["seed=range(8)", *SMALL, *FAULT, *SLURM, half]
    with command.start("outlived", "vectorized", *words, "launcher.shards=4", GATE=str(gate)) as sweep:
        wait_for(lambda: len(of_status(command, "outlived", "running")) == 2)
        sweep.terminate()
        out, err = sweep.communicate(timeout=DEADLINE)
    assert (sweep.returncode, err) == (143, ""), out + err
    assert "2 interrupted, 6 not run" in out
    assert queue("%T") == []
    with command.start("outlived", "vectorized", *words, "launcher.shards=4", GATE=str(gate)) as sweep:
        wait_for(lambda: len(of_status(command, "outlived", "running")) == 2)
        sweep.kill()
    assert sorted(queue("%T")) == ["PENDING", "PENDING", "RUNNING", "RUNNING"]
    with command.start("outlived", "vectorized", *words, "launcher.shards=2", GATE=str(gate)) as sweep:
        assert sweep.stdout is not None
        # Two of them have no record yet.
        assert sweep.stdout.readline() == "outlived: 8 jobs; 4 are there already; 4 to run\n"
        assert sweep.stdout.readline() == "4 jobs in 2 shards\n"
        wait_for(lambda: len(queue("%T", "--states=PENDING")) == 2)
        gate.touch()
        out, err = sweep.communicate(timeout=DEADLINE)
    assert (sweep.returncode, err) == (0, ""), out + err
    assert len(of_status(command, "outlived", "finished")) == len(finished(command, "outlived")) == 8


def finished(command: Command, study: str) -> dict[str, Path]:
    """Identity → its finished run."""
    runs = of_status(command, study, "finished")
    return {Record.read(folder)["identity"]: folder for folder in runs}


def of_status(command: Command, study: str, status: str) -> set[Path]:
    """The runs of a status."""
    return {folder for folder, record in command.runs(study).items() if status_of(record) == status}


def queue(field: str, *options: str) -> list[str]:
    """One field of each job in Slurm's queue."""
    command = ["squeue", "--array", "--noheader", f"--format={field}", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def hurry(job: str) -> None:
    """Let a preempted job start again in three seconds, where Slurm would let it wait two minutes.

    First its end must be over: Slurm takes a new time while the job is still `COMPLETING`, but a start in the second of
    its end has a credential that counts as revoked, and the job is over for good.
    """
    wait_for(lambda: queue("%T", f"--jobs={job}") == ["PENDING"])
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now+3seconds"], check=True)


def last(command: Command) -> dict[str, Any]:
    """The record of the run that began last."""
    return list(command.runs("gated").values())[-1]


def living(command: Command) -> set[int]:
    """The processes of the runs that go on."""
    return {record["pid"] for record in command.runs("gated").values() if status_of(record) == "running"}


def lives(pid: int) -> bool:
    record = {"status": "running", "heartbeat": "9999-01-01T00:00:00+00:00", "host": os.uname().nodename, "pid": pid}
    return status_of(record) == "running"


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
