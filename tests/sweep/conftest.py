"""A real one-node Slurm and a real Ray cluster, started for the tests that need them and ended after them."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE = 60.0

SLURM_CONF = """
ClusterName=glassbox
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=10000
KillWait=5
SlurmctldPort={first}
SlurmdPort={second}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2
"""


def until(ready: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} after {PATIENCE} s")
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="session")
def slurm_conf(missing: Callable[[str, str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The slurm.conf of a running cluster of this one machine."""
    programs = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    absent = [name for name in programs if shutil.which(name, path=path) is None]
    if absent:
        missing("slurm", f"{', '.join(absent)} not found: apt install slurm-wlm munge")
    if os.geteuid() != 0:
        missing("slurm", "only root can start a Slurm of its own")
    folder = tmp_path_factory.mktemp("slurm")
    for part in (folder, *folder.parents):
        if part != Path("/") and part.is_relative_to("/tmp"):
            part.chmod(part.stat().st_mode | 0o055)
    first, second = free_ports(2)
    conf = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    conf.write_text(
        SLURM_CONF.format(folder=folder, host=host, first=first, second=second, cpus=os.cpu_count()).lstrip()
    )
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    environment = os.environ | {"SLURM_CONF": str(conf), "PATH": path}
    munge = [f"--{kind}-file={folder}/munge.{kind}" for kind in ("pid", "log", "seed")]
    commands = [
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket", *munge],
        ["slurmctld", "-D", "-f", str(conf)],
        ["slurmd", "-D", "-f", str(conf), "-N", host],
    ]
    with contextlib.ExitStack() as running:
        for command in commands:
            log = running.enter_context((folder / f"{command[0]}.out").open("wb"))
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            running.callback(_end, process)
            if command[0] == "munged":
                until((folder / "munge.socket").exists, "munged does not listen")
        until(lambda: _state(environment) == "idle", f"the Slurm node is not idle, see {folder}")
        yield conf


@pytest.fixture
def slurm(slurm_conf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A test's way to the cluster, on which it leaves no jobs for the next."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin:/sbin")
    yield slurm_conf
    subprocess.run(["scancel", "--full", "--user=root"], check=True)
    until(lambda: subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout == b"", "jobs are left")


@pytest.fixture(scope="session")
def ray_address(missing: Callable[[str, str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running Ray cluster of this one machine."""
    ray = Path(sys.executable).with_name("ray")
    if not ray.exists():
        missing("ray", "Ray is not installed: pip install 'glassbox[ray]'")
    (port,) = free_ports(1)
    home = tmp_path_factory.mktemp("ray-home")
    # Ray's sockets need a short path.
    folder = Path("/tmp") / f"ray-{os.getpid()}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {"RAY_USAGE_STATS_ENABLED": "0", "HOME": str(home), "RAY_AUTH_MODE": "disabled"}
    start = ["start", "--head", f"--port={port}", "--num-cpus=2", "--include-dashboard=false", "--block"]
    command = [
        str(ray),
        *start,
        f"--temp-dir={folder}",
        "--node-ip-address=127.0.0.1",
        "--object-store-memory=100000000",
    ]
    log = home / "ray.out"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        until(lambda: "Ray runtime started" in log.read_text() or process.poll() is not None, "Ray does not start")
        assert process.poll() is None, log.read_text()
        yield f"127.0.0.1:{port}"
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ray_cluster(ray_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A test's way to the cluster."""
    monkeypatch.setenv("RAY_ADDRESS", ray_address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    return ray_address


def _end(process: subprocess.Popen) -> None:
    """End a server and whatever it has started."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)


def _state(environment: dict[str, str]) -> str:
    done = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip()
