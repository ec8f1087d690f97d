"""Each row of the history arrives once, whatever the server or the machine does; counted on a stand-in for W&B."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glassbox.config.place import ROOT
from glassbox.errors import BadInput, GlassboxError
from glassbox.publish.segment import ASIDE, Segment, segments
from glassbox.tracking.metrics_csv import read
from glassbox.tracking.record import Record, now

ROWS = 300
WANDB = str(Path(sys.executable).with_name("wandb"))
pytestmark = pytest.mark.slow


def there(server, folder: Path) -> list[dict[str, float]]:
    """Return the rows of a run on the server, each with its number in the file that W&B keeps."""
    lines = [json.loads(line) for line in server.runs[folder.name].lines["wandb-history.jsonl"]]
    assert [line["_step"] for line in lines] == list(range(len(lines)))
    return server.runs[folder.name].rows


def test_a_clean_run_goes_as_it_is_and_once(tracked, wandb_server, publish, outputs, capsys):
    folder = tracked(ROWS)
    (file,) = segments(outputs)[folder.name]
    content = file.read_bytes()
    for words in ("demo: 1 sent\n", "demo: 0 sent, 1 there already\n"):
        assert publish("demo") == 0
        assert words in capsys.readouterr().out
        run = wandb_server.runs[folder.name]
        assert there(wandb_server, folder) == read(folder / "metrics.csv")
        assert (run.state, run.fields["groupName"], run.summary["best/val/loss"]) == ("finished", "demo", 0.25)
    assert segments(outputs)[folder.name] == [file]
    assert file.read_bytes() == content
    assert sum("file_stream" in request for request in wandb_server.requests) == 2


STREAM = "file_stream"
FAULTS = {
    "500": [(STREAM, 500), ("UpsertBucket", 500), ("upload", 500)],
    "502": [(STREAM, 502), ("UpsertBucket", 502), ("Runs", 502)],
    "429": [(STREAM, 429)],
    "connection dropped": [(STREAM, None), ("UpsertBucket", None), (STREAM, None), ("Runs", None)],
    "acknowledgement lost": [(STREAM, None, True)] * 2 + [("UpsertBucket", None, True)],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_every_row_arrives_once_whatever_the_server_does(tracked, wandb_server, publish, faults):
    from wandb_server import Fault

    folder = tracked(ROWS)
    wandb_server.faults = [Fault(*fault) for fault in faults]
    assert publish("demo") == 0
    assert wandb_server.faults == []
    assert there(wandb_server, folder) == read(folder / "metrics.csv")
    assert wandb_server.runs[folder.name].state == "finished"


@pytest.mark.parametrize("kept", [0, 1, 137, ROWS])
def test_what_was_broken_off_goes_on_behind_the_rows_that_are_there(tracked, wandb_server, publish, kept, capsys):
    folder = tracked(ROWS)
    assert publish("demo") == 0
    run = wandb_server.runs[folder.name]
    del run.lines["wandb-history.jsonl"][kept:]
    run.exit_code = None  # it was never told the end
    capsys.readouterr()
    assert publish("demo") == 0
    assert capsys.readouterr().out.startswith("demo: 1 sent\n")
    assert there(wandb_server, folder) == read(folder / "metrics.csv")
    assert (run.state, run.summary["best/val/loss"], run.summary["epoch"]) == ("finished", 0.25, ROWS - 1)


@pytest.mark.parametrize("at", [1, 2], ids=["first rows", "all rows"])
def test_a_kill_in_the_middle_doubles_nothing(tracked, wandb_server, publish, outputs, monkeypatch, at):
    folders = [tracked(ROWS, seed=seed) for seed in range(2)]
    command = [sys.executable, str(ROOT / "scripts" / "publish.py"), "demo"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    respond, seen = wandb_server.respond, []

    def kill(method, path, body):
        answer = respond(method, path, body)
        if STREAM in path:
            seen.append(path)
            if len(seen) == at:
                os.kill(process.pid, signal.SIGKILL)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(wandb_server, "respond", kill)
        assert process.wait() == -signal.SIGKILL
    marks = [Segment.read(segments(outputs)[folder.name][0]).mark.exists() for folder in folders]
    assert not all(marks)
    assert publish("demo") == 0
    for folder in folders:
        assert there(wandb_server, folder) == read(folder / "metrics.csv")
        assert wandb_server.runs[folder.name].state == "finished"


WRITTEN = {
    "torn": {"status": "interrupted", "fields": {"exit_code": 137}, "parts": [(0, ROWS - 20)]},
    "resumed": {"parts": [(0, 180), (120, ROWS)]},
    "no file": {"parts": []},
    "older": {"older": True},
}


@pytest.mark.parametrize("how", WRITTEN)
def test_what_is_torn_or_in_parts_is_written_afresh(tracked, wandb_server, publish, outputs, how, capsys):
    folder = tracked(ROWS, **WRITTEN[how])
    old = {path.name: path.read_bytes() for path in segments(outputs).get(folder.name, [])}
    if how == "torn":
        (file,) = segments(outputs)[folder.name]
        file.write_bytes(file.read_bytes()[:-9])
        old[file.name] = file.read_bytes()
    (folder / "boundary.png").write_bytes((ROOT / "docs" / "boundary.png").read_bytes())
    assert publish("demo") == 0
    assert "1 sent (1 written afresh: 1 " in capsys.readouterr().out
    (file,) = segments(outputs)[folder.name]
    segment = Segment.read(file)
    assert segment.tells(Record.read(folder))
    assert {path.name for path in (outputs / "wandb").iterdir()} <= {ASIDE, ".publishing", file.parent.name}
    kept = {path.name: path.read_bytes() for path in (outputs / "wandb" / ASIDE).glob("*/*.wandb")}
    assert kept == old
    run = wandb_server.runs[folder.name]
    assert there(wandb_server, folder) == read(folder / "metrics.csv")
    assert run.files[run.summary["boundary"]["path"]] == (folder / "boundary.png").read_bytes()
    assert run.state == ("failed" if how == "torn" else "finished")
    command = [WANDB, "leet", "inspect", "--summary", "--json", str(file)]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (said["run_id"], said["state"], said["step"]) == (folder.name, run.state, ROWS - 1)
    assert publish("demo") == 0
    assert "0 sent, 1 there already" in capsys.readouterr().out
    assert len(there(wandb_server, folder)) == ROWS


def test_a_torn_run_that_was_synced_by_hand_is_completed(tracked, wandb_server, publish, outputs):
    folder = tracked(ROWS, status="interrupted", parts=[(0, 100)])
    subprocess.run([WANDB, "sync", str(segments(outputs)[folder.name][0])], check=True, capture_output=True)
    assert len(there(wandb_server, folder)) == 100
    assert publish("demo") == 0
    assert there(wandb_server, folder) == read(folder / "metrics.csv")


def test_what_is_missing_is_told_and_the_next_go_completes_it(tracked, wandb_server, publish, capsys):
    from wandb_server import Fault

    folders = [tracked(seed=seed) for seed in range(3)]
    wandb_server.faults = [Fault(f"{folders[1].name}/{STREAM}", 400)]  # no client tries that again
    assert publish("demo") == 1
    told = capsys.readouterr()
    assert told.out.startswith("demo: 2 sent\n")
    assert told.err.splitlines()[0].startswith(f"Missing: {folders[1].name}: the server has 0 of 3 rows")
    assert told.err.splitlines()[1:] == ["1 of 3 runs are missing; the same command goes on"]
    assert publish("demo") == 0
    assert capsys.readouterr().out.startswith("demo: 1 sent, 2 there already\n")
    assert [len(there(wandb_server, folder)) for folder in folders] == [3] * 3


def test_a_run_that_still_runs_is_left_out_and_told(tracked, wandb_server, publish, capsys):
    ended, running = tracked(seed=0), tracked(seed=1)
    Record(running, Record.read(running)).update(status="running", heartbeat=now())
    assert publish("demo") == 0
    assert capsys.readouterr().err == f"demo: {running.name}: still running, left out\n"
    assert list(wandb_server.runs) == [ended.name]


def test_more_than_there_should_be_is_told(tracked, wandb_server, publish, capsys):
    folder = tracked()
    assert publish("demo") == 0
    lines = wandb_server.runs[folder.name].lines["wandb-history.jsonl"]
    lines += lines
    assert publish("demo") == 1
    assert "the server has 6 rows of 3: delete the run there and publish it again" in capsys.readouterr().err


def test_project_and_entity_are_those_of_the_command(tracked, wandb_server, publish, capsys):
    folder = tracked()
    assert publish("demo", "--project", "other", "--entity", "me") == 0
    assert wandb_server.runs[folder.name].fields["project"] == "other"
    assert f"page  {wandb_server.url}/me/other" in capsys.readouterr().out
    assert publish("demo", "--project", "other") == 0
    assert "1 there already" in capsys.readouterr().out


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_told(tracked, wandb_server, publish, monkeypatch, status):
    tracked()
    wandb_server.refusal = status
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    with pytest.raises(BadInput, match=r"^http://127.0.0.1:\d+ refuses the key: .*invalid API key; run `wandb login"):
        publish("demo")
    assert wandb_server.runs == {}


def test_a_server_that_is_not_there_is_told(tracked, publish, monkeypatch):
    tracked()
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    with pytest.raises(
        GlassboxError, match=r"^http://127.0.0.1:9 does not answer: .*refused; nothing was sent$"
    ) as error:
        publish("demo")
    assert error.value.exit_code == 1
