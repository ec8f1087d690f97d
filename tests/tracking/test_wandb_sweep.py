"""W&B online and the sweeps of its agents: documented commands, run for real against a stand-in for the server."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from glassbox.config.entry import Train
from glassbox.config.place import ROOT
from glassbox.errors import BadInput
from glassbox.sweep.study import Study
from glassbox.tracking.metrics_csv import read
from glassbox.tracking.record import Record
from glassbox.tracking.wandb_run import WandbRun, run_id, under_agent

FILE = ROOT / "scripts" / "wandb_sweep.yaml"
SWEEP = yaml.safe_load(FILE.read_text(encoding="utf-8"))
CREATE, AGENT = re.findall(r"^#   (WANDB_.+)$", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
SMALL = {"data": "moons", "data.samples": 50, "batch_size": 10, "max_epochs": 3}
TRAIN = " ".join(["python scripts/train.py", *(f"{key}={value}" for key, value in SMALL.items())])


@pytest.fixture
def shell(outputs):
    """Give a function that starts a command as a user in the project's folder does, and returns the process."""

    def start(command: str) -> subprocess.Popen:
        command = command.replace("WANDB_DIR=outputs", f"WANDB_DIR={shlex.quote(str(outputs))}")
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, shell=True, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)

    return start


def end(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=500)
    assert "Traceback" not in out + err, out + err
    return process.returncode, out, err


@pytest.fixture
def sweep(wandb_server, shell):
    """The documented sweep, created by the documented command, and the documented command of an agent for it."""
    code, _, told = end(shell(CREATE))
    assert code == 0, told
    (printed,) = re.findall(r"Run sweep agent with: (wandb agent \S+)", told)
    entity, project, name = printed.rpartition(" ")[2].split("/")
    agent = AGENT.replace("ENTITY", entity).replace("SWEEP_ID", name)
    assert agent.endswith(printed)
    assert project == "glassbox"
    return wandb_server.sweeps[name], agent


def folders(outputs: Path) -> dict[str, Path]:
    """Return W&B run id → run folder."""
    found = [path.parent for path in outputs.glob("*/*/run.json")]
    by_id = {Record.read(folder)["wandb_run_id"]: folder for folder in found}
    assert len(by_id) == len(found)
    return by_id


def pages(out: str) -> list[str]:
    """Return the addresses of runs that summaries show."""
    return re.findall(r"^page +(\S+)$", out, flags=re.MULTILINE)


def test_the_file_asks_for_what_train_can_do():
    assert (ROOT / SWEEP["program"]).is_file()
    assert set(SWEEP["parameters"]) == {"optimizer", "init", "lr", "seed"}
    for group in ("optimizer", "init"):
        for option in SWEEP["parameters"][group]["values"]:
            assert (ROOT / "conf" / group / f"{option}.yaml").is_file()
    span = SWEEP["parameters"]["lr"]
    assert 0 < span["min"] < span["max"]


@pytest.mark.parametrize(
    ("environment", "agent"),
    [
        ({}, False),
        ({"WANDB_RUN_ID": "run0"}, False),
        ({"WANDB_SWEEP_ID": "sweep0"}, False),
        ({"WANDB_SWEEP_ID": "sweep0", "WANDB_RUN_ID": "run0"}, True),
    ],
)
def test_only_an_agent_chooses_the_id(monkeypatch, environment, agent):
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert under_agent() is agent
    assert run_id(Path("outputs/runs/adam-k3x9qd")) == ("run0" if agent else "adam-k3x9qd")


@pytest.mark.parametrize("argv", [["-m", "seed=0,1"], ["seed=0,1", "-m"], ["sweep=lr_range"]])
def test_an_agents_job_is_no_multirun(monkeypatch, outputs, argv):
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep0")
    monkeypatch.setenv("WANDB_RUN_ID", "run0")
    with pytest.raises(BadInput, match=r"a W&B agent's job is one run, .* leave -m and sweep= out"):
        Train(argv).main()
    assert list(outputs.iterdir()) == []


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_an_agents_run_is_seen(monkeypatch, mode):
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep0")
    with pytest.raises(BadInput, match=r"without WANDB_RUN_ID: .* unset WANDB_SWEEP_ID"):
        WandbRun.check(mode=mode)
    monkeypatch.setenv("WANDB_RUN_ID", "run0")
    with pytest.raises(BadInput, match=f"logger.mode={mode}: .* add logger.mode=online"):
        WandbRun.check(mode=mode)


@pytest.mark.slow
def test_agents_run_what_the_server_chooses_and_wait_for_nobody(sweep, wandb_server, shell, outputs, monkeypatch):
    asked, agent = sweep
    assert asked.config == SWEEP
    jobs = [
        {"optimizer": "adam", "init": "xavier", "lr": 0.0123, "seed": 1},
        {"optimizer": "sgd", "init": "default", "lr": 1e-05, "seed": 2},
        {"optimizer": "adam", "init": "default", "lr": 0.5, "seed": 0},
    ]
    asked.jobs = [job | SMALL for job in jobs]
    # The first jobs of the two agents begin only when both want to.
    both, respond = threading.Barrier(2), wandb_server.respond

    def together(method, path, body):
        if b"UpsertBucket" in body and json.loads(body)["variables"]["name"] in first:
            first.remove(json.loads(body)["variables"]["name"])
            both.wait(120)
        return respond(method, path, body)

    first = {"run0", "run1"}
    monkeypatch.setattr(wandb_server, "respond", together)
    study = Study(outputs / "wandb-sweep0")
    study.hold()  # as a multirun of the same study does
    try:
        agents = [shell(agent) for _ in range(2)]
        told = [end(process) for process in agents]
    finally:
        study.release()
    out = "".join(out for _, out, _ in told)
    assert not first
    assert not both.broken
    assert [code for code, _, _ in told] == [0, 0], told
    assert set(wandb_server.runs) == set(asked.given) == {"run0", "run1", "run2"}
    assert {path.name for path in outputs.iterdir()} == {"wandb", ".cache", "wandb-sweep0"}
    for name, folder in folders(outputs).items():
        run, record, given = wandb_server.runs[name], Record.read(folder), asked.given[name]
        rows = read(folder / "metrics.csv")
        assert run.rows == rows
        assert len(rows) == 3
        assert min(row[SWEEP["metric"]["name"]] for row in run.rows) == record["best"]["val/loss"]
        assert {key: run.config[key] for key in jobs[0]} == {key: given[key] for key in jobs[0]}
        assert (record["seeds"]["seed"], rows[0]["train/lr"]) == (given["seed"], given["lr"])
        assert (run.state, run.exit_code, run.sweep) == ("finished", 0, "sweep0")
        assert (record["status"], record["study"], record["launcher"]) == ("finished", "wandb-sweep0", None)
        assert (run.fields["groupName"], run.fields["displayName"]) == ("wandb-sweep0", folder.name)
        assert run.config["run_folder"] == f"outputs/wandb-sweep0/{folder.name}"
        assert pages(out).count(f"{wandb_server.url}/me/glassbox/runs/{name}") == 1
        (look,) = re.findall(rf"^look +wandb leet (\S+-{name})$", out, flags=re.MULTILINE)
        assert (Path(look) / f"run-{name}.wandb").is_file()
    assert "\nsync" not in out


@pytest.mark.slow
def test_an_agent_goes_on_after_jobs_that_fail(sweep, wandb_server, shell, outputs):
    asked, agent = sweep
    bad = {"lr": 1e30, "optimizer": "sgd"}
    asked.jobs = [job | SMALL for job in ({"lr": -1}, bad, bad, {"lr": 0.1})]
    code, _, err = end(shell(agent))
    assert code == 0, err
    assert err.count("Error: lr=-1: must be a finite number > 0\n") == 1
    states = {name: (run.state, run.exit_code) for name, run in wandb_server.runs.items()}
    assert states == {
        "run0": ("crashed", None),
        "run1": ("failed", 4),
        "run2": ("failed", 4),
        "run3": ("finished", 0),
    }
    ended = {name: Record.read(folder)["status"] for name, folder in folders(outputs).items()}
    assert ended == {"run1": "diverged", "run2": "diverged", "run3": "finished"}


@pytest.mark.slow
def test_a_run_is_uploaded_while_it_trains(wandb_server, shell, outputs):
    code, out, err = end(shell(f"{TRAIN} logger.mode=online"))
    assert code == 0, err
    ((name, folder),) = folders(outputs).items()
    run = wandb_server.runs[name]
    assert name == folder.name
    assert run.rows == read(folder / "metrics.csv")
    assert (run.state, run.sweep, run.fields["groupName"]) == ("finished", None, "runs")
    assert run.summary["test/loss"] == Record.read(folder)["test"]["test/loss"]
    (picture,) = [content for file, content in run.files.items() if file.startswith("media/images/boundary")]
    assert picture == (folder / "boundary.png").read_bytes()
    assert pages(out) == [f"{wandb_server.url}/me/glassbox/runs/{name}"]


@pytest.mark.slow
def test_a_key_that_is_refused_is_told_in_words(wandb_server, shell, outputs, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    code, out, err = end(shell(f"{TRAIN} logger.mode=online"))
    assert (code, out) == (1, "")
    (line,) = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert line == "Error: W&B does not start the run: invalid API key; or use logger.mode=offline"
    ((_, folder),) = folders(outputs).items()
    record = Record.read(folder)
    assert (record["status"], record["exit_code"]) == ("failed", 1)
    assert f"Error: {record['reason']}" == line
    assert {path.name for path in (folder / ".hydra").iterdir()} == {"config.yaml", "overrides.yaml", "hydra.yaml"}
    assert wandb_server.runs == {}


@pytest.mark.slow
def test_another_runs_id_is_ignored_and_an_offline_run_is_published_once(wandb_server, shell, outputs, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "another")
    code, out, err = end(shell(TRAIN))
    assert (code, err) == (0, "")
    ((name, folder),) = folders(outputs).items()
    assert name == folder.name
    assert wandb_server.runs == {}
    (publish,) = re.findall(r"^publish +(python .+)$", out, flags=re.MULTILINE)
    for _ in range(2):
        code, _, err = end(shell(publish))
        assert code == 0, err
        assert list(wandb_server.runs) == [name]
        run = wandb_server.runs[name]
        assert run.rows == read(folder / "metrics.csv")
        assert (run.state, run.fields["displayName"], run.fields["groupName"]) == ("finished", name, "runs")
