"""Every experiment gives the numbers that its file expects, by the command that its file names."""

import re
import shlex
import subprocess
import sys
import time

import pytest

from glassbox.config.place import CONF, ROOT
from glassbox.tracking.record import Record

EXPERIMENTS = sorted((CONF / "experiment").glob("*.yaml"))


def notes(path, word):
    return re.findall(rf"^# {word}: +(.+)$", path.read_text(), flags=re.MULTILINE)


def test_there_are_three_questions():
    assert len(EXPERIMENTS) >= 3


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_file_says_what_it_asks_and_expects(path):
    for word in ("Question", "Answer", "Command", "Time"):
        assert len(notes(path, word)) == 1, word
    assert notes(path, "Expect")


@pytest.mark.slow
@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_it_gives_what_it_expects(path, outputs):
    (command,), (seconds,) = notes(path, "Command"), notes(path, "Time")
    words = shlex.split(command)
    assert words[:2] == ["python", "scripts/train.py"]
    started = time.monotonic()
    subprocess.run([sys.executable, *words[1:]], cwd=ROOT, check=True)
    # The stated time is that of a quiet machine.
    assert time.monotonic() - started < 5 * float(seconds.split()[0])
    folders = [file.parent for file in outputs.glob("*/*/run.json")]
    for line in notes(path, "Expect"):
        expected = re.fullmatch(r"(\S+) ([\d.]+) to ([\d.]+)(?: if (.+))?", line)
        key, low, high, condition = expected.groups()
        chosen = [folder for folder in folders if fits(folder, condition)]
        assert chosen, line
        for folder in chosen:
            assert float(low) <= Record.read(folder)["test"][key] <= float(high), (folder.name, line)


def fits(folder, condition):
    overrides = (folder / ".hydra" / "overrides.yaml").read_text()
    return all(
        re.search(rf"^- {re.escape(word)}$", overrides, flags=re.MULTILINE) for word in (condition or "").split()
    )
