"""What the README says is so: its commands run, its options are there, and so are its files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassbox.config.place import CONF, ROOT
from glassbox.tracking.record import Record

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line.partition(" #")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]
MAKE = ["make train", "make test"]  # .ci/run itself is these


def test_it_is_short():
    assert len(README.splitlines()) <= 150


def test_its_options_are_those_of_conf():
    for group in (
        "data",
        "model",
        "init",
        "loss",
        "optimizer",
        "scheduler",
        "trainer",
        "logger",
        "callbacks",
        "launcher",
        "sweep",
        "experiment",
        "debug",
    ):
        (row,) = re.findall(rf"^\| `{group}` \| (.+) \|$", README, flags=re.MULTILINE)
        named = set(re.findall(r"\w+", re.sub(r"`[^`]*`|\([^)]*\)", "", row)))
        there = {path.stem for path in (CONF / group).glob("*.yaml")}
        assert there <= named, group
        for option in re.findall(r"(?:^|, )(\w+)(?= \(|,|;|$)", row):
            assert option in there, (group, option)


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    for path in re.findall(r"^(\w+)/ ", README, flags=re.MULTILINE):
        assert (ROOT / path).is_dir(), path


@pytest.mark.slow
def test_its_commands_run(outputs, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    frame.drop(columns=[]).to_csv(tmp_path / "new.csv", index=False)
    frame["label"] = np.where(frame.a > frame.b, "more", "less")
    frame.to_csv(tmp_path / "my.csv", index=False)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in COMMANDS:
        if command in MAKE:
            continue
        for name in ("my.csv", "new.csv", "predicted.csv", "first.csv"):
            command = re.sub(rf"(?<![\w/]){re.escape(name)}", str(tmp_path / name), command)
        for study in re.findall(r"outputs/(\w+)/RUN", command):
            newest = max((outputs / study).iterdir(), key=lambda folder: folder.stat().st_mtime)
            command = command.replace(f"outputs/{study}/RUN", str(newest))
        done = subprocess.run(command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert done.stderr == "", command
    assert len(pd.read_csv(tmp_path / "predicted.csv")) == 200
    records = [Record.read(file.parent) for file in outputs.glob("*/*/run.json")]
    assert len(records) >= 10
    assert {record["status"] for record in records} == {"finished"}
