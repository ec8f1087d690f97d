"""`wandb leet outputs/wandb`, W&B's terminal dashboard, in a terminal of its own over all that the template writes."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest

from glassbox.config.place import ROOT
from glassbox.publish.segment import ASIDE, segments
from glassbox.tracking.record import Record

pytestmark = pytest.mark.slow

COLUMNS, LINES = 400, 140  # room for whole names, and for every key of a config
PATIENCE = 60.0  # seconds; only a failing test waits so long
CURVES = ("train/loss", "val/accuracy")  # of the first page
DOWN, SELECT, QUIT = "\x1b[B", " ", "q"
SMALL = ["data=moons", "data.samples=50", "batch_size=10", "max_epochs=4", "pictures=false"]


class Terminal:
    """A command in a terminal.

    Args:
        command: The command.
    """

    def __init__(self, *command: str) -> None:
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(theirs)
        self._terminal = ours

    def press(self, keys: str) -> None:
        """Type keys."""
        os.write(self._terminal, keys.encode())

    def until(self, seen: Callable[[str], object]) -> str:
        """Read on until the screen is as it should be, and return it."""
        limit = time.monotonic() + PATIENCE
        while not seen(self.text):
            assert time.monotonic() < limit, self.text
            if select.select([self._terminal], [], [], 1.0)[0]:
                self._stream.feed(os.read(self._terminal, 65536))
        return self.text

    @property
    def text(self) -> str:
        """What the screen shows."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def end(self) -> int:
        """Wait for the end of the command and return its exit code."""
        return self._process.wait(PATIENCE)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.killpg(self._process.pid, signal.SIGKILL)  # the command is a wrapper of another
        self._process.wait()
        os.close(self._terminal)


@pytest.fixture
def written(train, outputs, wandb_server, publish):
    """What the template writes: a run, a sweep by W&B's client, one by the direct writer, and a run written afresh."""
    for more in (["launcher=basic", "study=one"], ["logger.writer=direct", "study=together"]):
        command = [sys.executable, str(ROOT / "scripts" / "train.py"), "-m", "optimizer=adam,sgd", *SMALL, *more]
        subprocess.run(command, check=True, capture_output=True)
    train(*SMALL, "study=plain")
    torn = train(*SMALL, "study=torn")
    (file,) = segments(outputs)[torn.name]
    file.write_bytes(file.read_bytes()[:-100])
    assert publish("torn") == 0
    assert [path.name for path in (outputs / "wandb" / ASIDE).iterdir()] == [file.parent.name]
    return [path.parent for path in outputs.glob("*/*/run.json")]


def test_it_lists_shows_and_quits(written, outputs):
    listed = [path.parent.name for paths in segments(outputs).values() for path in paths]
    assert len(listed) == len(written) == 6
    left = {folder.name: Record.read(folder) for folder in written}
    with Terminal(str(Path(sys.executable).with_name("wandb")), "leet", str(outputs / "wandb")) as terminal:
        text = terminal.until(lambda text: all(name in text for name in listed))
        assert "Runs [6 items]" in text
        while left:
            text = terminal.until(lambda text: shown(text, left))
            del left[shown(text, left)]
            terminal.press(DOWN + SELECT if left else "")
        text = terminal.until(lambda text: all(re.search(rf"│{key} +\[x: epoch\]", text) for key in CURVES))
        assert re.search("[⠁-⣿]{3}", text)  # they are drawn
        terminal.press(QUIT)
        assert terminal.end() == 0


def shown(text: str, records: dict[str, dict]) -> str | None:
    """Return which run the overview shows as its record has it; None where it shows none, or not yet."""
    text = " ".join(f"{text} ".split()) + " "
    for name, record in records.items():
        said = (
            f"Name: {name} ",
            "State: Finished ",
            f"│ choice.optimizer {record['config']['optimizer']} ",
            f"│ best/epoch {record['best']['epoch']:g} ",
            f"│ lr {record['config']['lr']:g} ",
        )
        if all(words in text for words in said):
            return name
    return None
