"""W&B's file by both writers: entry by entry, and by W&B's own readers, the client's is the direct one."""

import json
import math
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import wandb
from PIL import Image
from wandb.proto import wandb_internal_pb2 as proto
from wandb.sdk import wandb_setup

from glassbox.config.place import ROOT
from glassbox.errors import BadInput, GlassboxError
from glassbox.tracking import wandb_file, wandb_run
from glassbox.tracking.metrics_csv import read
from glassbox.tracking.wandb_file import TESTED, FileRun
from glassbox.tracking.wandb_log import BLOCK, Log
from glassbox.tracking.wandb_log import entries as read_entries
from glassbox.tracking.wandb_run import WandbRun

WANDB = str(Path(sys.executable).with_name("wandb"))
NAN, INF = math.nan, math.inf
ROWS = {
    0: {"train/loss": NAN, "val/loss": INF, "val/a/b": 1.0, "other": 2.5, "val/turns": 1.0, "train/count": 3},
    1: {"train/loss": 1.5, "val/loss": 2.0, "val/a/b": 1e300, "val/turns": NAN, "other": 0.1 + 0.2},
    3: {"train/loss": NAN, "val/loss": -INF, "val/a/b": -0.0, "val/turns": 2.0, "other": NAN, "late": 3.0},
}
ABOUT = {
    "name": "name-abc123",
    "study": "study",
    "config": {
        "lr": 0.1,
        "optimizer": {"betas": [0.9, 0.99], "limits": [INF, {"x": NAN}]},
        "api_key": "hunter2",
        "empty": {},
        "é": "a\nb",
        "none": None,
        "true": True,
    },
    "tags": ["a", "https://me:hunter2@host"],
    "notes": "why " * 20000,  # longer than two blocks of the file
}
SUMMARY = {"test/loss": 0.25, "test/auroc": NAN, "test/mae": INF}
CLOCK = {"_timestamp", "_runtime"}


def write(outputs: Path, writer: str, code: int | None = 3, entity: str | None = "me") -> Path:
    """Follow a run as it trains and return W&B's file; without a code, it is not ended."""
    run = WandbRun(outputs / ABOUT["study"] / ABOUT["name"], entity=entity, writer=writer)
    run.start(**ABOUT)
    for epoch, row in ROWS.items():
        run.log(row, epoch)
    run.summary(SUMMARY)
    run.image("boundary", picture(outputs.parent))
    if code is None:
        run.run._log.close()  # what the system does
    else:
        run.close(code)
    if writer == "client":
        wandb.teardown()  # it ends a run before its file is whole
    return file_of(outputs)


def picture(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20), "red").save(folder / "boundary.png")
    return folder / "boundary.png"


def file_of(outputs: Path) -> Path:
    (file,) = outputs.glob("wandb/offline-run-*-*/run-*.wandb")
    return file


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same failed run by the client and by the direct writer."""
    folder = tmp_path_factory.mktemp("both")
    with pytest.MonkeyPatch.context() as environment:
        for key in [key for key in os.environ if key.startswith("WANDB_")]:
            environment.delenv(key)
        environment.setenv("WANDB_ERROR_REPORTING", "false")
        return {writer: write(folder / writer / "outputs", writer) for writer in ("client", "direct")}


def entries(path: Path) -> list[bytes]:
    """Return the entries of a file, by its description: blocks of 32 KiB, parts with a checksum in front."""
    content, found, parts = path.read_bytes(), [], b""
    assert content[:7] == b":W&B\xe1\xbe\x00"
    place = 7
    while place < len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        check, size, kind = struct.unpack_from("<IHB", content, place)
        part = content[place + 7 : place + 7 + size]
        assert zlib.crc32(bytes([kind]) + part) == check
        place += 7 + size
        parts = parts + part if kind in (3, 4) else part
        if kind in (1, 4):
            found.append(parts)
    return found


def records(path: Path) -> list[proto.Record]:
    return [proto.Record.FromString(entry) for entry in entries(path)]


def values(items) -> dict[str, object]:
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def plain(tree):
    """Return a tree in which every number is the text of its float: 3 is 3.0, -0.0 is 0, and NaN is equal to NaN."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(value) for value in tree]
    return repr(float(tree) + 0.0) if isinstance(tree, int | float) and not isinstance(tree, bool) else tree


def told(path: Path) -> tuple[list[object], dict[str, object]]:
    """Return what the records of a file say, but what two runs cannot have in common; and the summary at the end."""
    said, summary = [], {}
    for number, record in enumerate(records(path), 1):
        assert record.num == number
        kind = record.WhichOneof("record_type")
        part = getattr(record, kind)
        if kind == "summary":
            summary |= values(part.update)
        elif kind == "history":
            row = values(part.item)
            assert row.keys() > CLOCK
            said.append((part.step.num, {key: row[key] for key in row.keys() - CLOCK}))
        elif kind == "header":
            said.append(part.version_info.min_consumer)
        elif kind == "run":
            said.append(values(part.config.update))
            for name in ("start_time", "telemetry", "config"):
                part.ClearField(name)
            said.append(str(part))
        elif kind != "telemetry":
            part.ClearField("_info")
            if kind == "exit":
                part.ClearField("runtime")
            said.append((kind, str(part)))
    for key in ("_wandb", "_wandb.runtime", "_runtime", "_timestamp"):
        summary.pop(key, None)
    return plain(said), plain(summary)


def test_entry_by_entry_it_is_the_clients_file(both):
    client, direct = told(both["client"]), told(both["direct"])
    assert direct[0] == client[0]
    assert direct[1] == client[1]
    assert len(client[0]) == 11  # header, config, the rest of the run, metrics, rows, the picture, the exit code
    assert b"hunter2" not in both["direct"].read_bytes()


def test_a_run_that_is_killed_leaves_rows_and_summary(tmp_path, both):
    killed = told(write(tmp_path / "killed" / "outputs", "direct", code=None))
    said, summary = told(both["client"])
    assert killed[0] == said[:-1]
    assert killed[1] == {key: value for key, value in summary.items() if not key.startswith(("test/", "boundary"))}


def test_a_log_of_the_clients_entries_is_the_clients_file_byte_for_byte(tmp_path, both):
    path = both["client"]
    log = Log(tmp_path / "again")
    for entry in entries(path):
        log.append(entry)
    log.close()
    assert log.path.stat().st_size > 2 * BLOCK
    assert log.path.read_bytes() == path.read_bytes()
    assert read_entries(path) == (entries(path), True)


def test_of_a_torn_log_what_is_whole_is_read(tmp_path):
    log = Log(tmp_path / "log")
    written = [b"a" * (BLOCK - 30), b"b" * 5, b"c" * (2 * BLOCK), b"d"]
    ends = []
    for entry in written:
        log.append(entry)
        ends.append(log.path.stat().st_size)
    log.close()
    content = log.path.read_bytes()
    for cut in [*range(7, len(content), 997), *ends, *(end - 1 for end in ends), *(end + 3 for end in ends[:-1])]:
        (tmp_path / "cut").write_bytes(content[:cut])
        whole = sum(end <= cut for end in ends)
        rest = content[max(end for end in (7, *ends) if end <= cut) : cut]
        assert read_entries(tmp_path / "cut") == (written[:whole], not rest.strip(b"\0")), cut
    for place in (3, ends[0] + 8, ends[1] + 100):
        (tmp_path / "bad").write_bytes(content[:place] + b"x" + content[place + 1 :])
        found, whole = read_entries(tmp_path / "bad")
        assert found == written[: len(found)]
        assert not whole


@pytest.mark.parametrize("left", range(-1, 9))
def test_entries_come_back_wherever_a_block_ends(tmp_path, left):
    log = Log(tmp_path / "log")
    written = [b"a" * (BLOCK - 7 - 7 - left), b"", b"b", b"c" * (2 * BLOCK), b"d" * BLOCK, b"e"]
    for entry in written:
        log.append(entry)
    log.close()
    assert entries(log.path) == written


def leet(file: Path, *flags: str) -> str:
    command = [WANDB, "leet", "inspect", *flags, "--json", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_leet_reads_the_same(both):
    seen = []
    for file in both.values():
        said = json.loads(leet(file, "--summary"))
        assert said["summary"].pop("_timestamp") > 1e9
        assert said["summary"].pop("_runtime") >= 0  # whole seconds, which the clients of a busy machine take, too
        for key in ("file", "last_write", "start_time"):
            said.pop(key)
        rows = [json.loads(line) for line in leet(file).splitlines()]
        items = [row["history"]["item"] for row in rows if row["type"] == "history"]
        seen.append((said, [{key: value for key, value in item.items() if key not in CLOCK} for item in items]))
    assert seen[0] == seen[1]
    assert (seen[1][0]["state"], seen[1][0]["exit_code"], len(seen[1][1])) == ("failed", 3, 3)


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 3])
def test_sync_uploads_the_same(tmp_path, wandb_server, code):
    seen = []
    for writer in ("client", "direct"):
        file = write(tmp_path / writer / "outputs", writer, code, entity=None)
        done = subprocess.run([WANDB, "sync", str(file.parent)], capture_output=True, text=True, check=True)
        assert "Finished syncing" in done.stderr + done.stdout
        assert file.with_name(f"{file.name}.synced").exists()
        run = wandb_server.runs.pop(ABOUT["name"])
        assert run.files[run.summary["boundary"]["path"]] == picture(tmp_path).read_bytes()
        seen.append(plain([run.state, run.exit_code, sorted(run.files), run.fields, run.rows, run.config, run.summary]))
    for _, _, _, fields, _, config, summary in seen:
        fields.pop("config")  # the text of what follows
        config["_wandb"].pop("t")  # what W&B counts about the use of its client
        config["_wandb"]["m"].sort(key=lambda metric: sorted(metric.items()))
        assert all(summary.pop(key) for key in ("_timestamp", "_runtime", "_wandb"))  # whole seconds
    assert seen[0] == seen[1]
    place = seen[1][6]["boundary"]["path"]
    files = ["config.yaml", place, "wandb-summary.json"]
    assert seen[1][:3] == [("failed" if code else "finished"), plain(code), files]
    assert len(seen[1][4]) == 3


@pytest.mark.slow
def test_the_environment_counts_for_both(tmp_path, monkeypatch):
    settings = wandb_setup.singleton().settings  # W&B reads the environment once
    preset = {"entity": "us", "run_job_type": "probe", "run_tags": ("t",), "run_notes": "n", "host": "h"}
    for key, value in preset.items():
        monkeypatch.setattr(settings, key, value)
    monkeypatch.setitem(ABOUT, "tags", [])
    monkeypatch.setitem(ABOUT, "notes", None)
    said = [told(write(tmp_path / writer / "outputs", writer, entity=None))[0] for writer in ("direct", "client")]
    assert said[0] == said[1]
    assert 'entity: "us"' in said[0][2]


@pytest.mark.parametrize("writer", [pytest.param("client", marks=pytest.mark.slow), "direct"])
def test_a_run_is_written_at_once(tmp_path, writer):
    followed = write(tmp_path / "a" / "outputs", "direct", entity=None)
    run = WandbRun(tmp_path / "b" / "outputs" / ABOUT["study"] / ABOUT["name"], writer=writer)
    times = [1e9 + 7.5 * epoch for epoch in ROWS]
    run.start(**ABOUT, started=1e9 - 1)
    run.log_all(ROWS, 1e9 - 1, times)
    run.summary(SUMMARY)
    run.image("boundary", picture(tmp_path))
    run.close(3)
    wandb.teardown()
    path = file_of(tmp_path / "b" / "outputs")
    assert told(path) == told(followed)
    if writer == "direct":
        begun = next(record.run.start_time for record in records(path) if record.HasField("run"))
        assert begun.seconds == 1e9 - 1
        rows = [values(record.history.item) for record in records(path) if record.HasField("history")]
        assert [(row["_timestamp"], row["_runtime"]) for row in rows] == [(t, t - 1e9 + 1) for t in times]
        last = [values(record.summary.update) for record in records(path) if record.HasField("summary")]
        assert [summary["_runtime"] for summary in last] == [23]


@pytest.mark.parametrize(
    ("mode", "version", "reason"),
    [
        ("offline", "0.31.99", f"wandb is 0.31.99, and the format of its file is known of {TESTED[-1]}"),
        ("disabled", None, "logger.mode=disabled needs it"),
    ],
)
def test_elsewhere_the_client_writes_and_says_so_once(outputs, monkeypatch, capsys, mode, version, reason):
    wandb_run._tell.cache_clear()
    if version:
        monkeypatch.setattr(wandb_file, "TESTED", TESTED)
        monkeypatch.setattr(wandb, "__version__", version)
    for number in range(2):
        run = WandbRun(outputs / "study" / f"a-{number}", mode=mode, writer="direct")
        run.start(**ABOUT | {"name": f"a-{number}"})
        assert not isinstance(run.run, FileRun)
        run.close(0)
    assert capsys.readouterr().err == f"logger.writer=direct: W&B's client writes the run, since {reason}\n"


def test_the_tested_version_is_the_installed_one():
    pinned = re.search(r"(?m)^wandb==(.+)$", (ROOT / "constraints.txt").read_text())[1]
    assert pinned in TESTED
    assert wandb_file.untested() is None


def test_what_it_cannot_write_is_told(outputs):
    with pytest.raises(BadInput, match=r"logger.writer=fast: must be client or direct"):
        WandbRun.check(writer="fast")
    run = WandbRun(outputs / "study" / "a-1", writer="direct")
    run.start(**ABOUT)
    with pytest.raises(GlassboxError, match=r"photo: logger.writer=direct writes numbers only"):
        run.experiment.log({"photo": wandb.Image(Image.new("L", (2, 2)))})
    run.close(0)


def test_a_run_of_train_is_followed(train, outputs):
    small = ["data=moons", "data.samples=50", "batch_size=10", "max_epochs=3"]
    folder = train(*small, "logger.writer=direct", "pictures=false")
    said = [record.history for record in records(file_of(outputs)) if record.HasField("history")]
    rows = [{key: value for key, value in values(row.item).items() if key[0] != "_"} for row in said]
    assert rows == read(folder / "metrics.csv")
    assert list((outputs / "wandb").iterdir()) == [file_of(outputs).parent]
