"""The rival of W&B's client alone: it writes the rows that it is said to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from glassbox.bench.client import bare_client

ROWS = [{"epoch": epoch, "val/loss": 1 / (epoch + 1)} for epoch in range(3)]


@pytest.mark.slow
def test_the_client_alone_writes_every_row(tmp_path):
    assert bare_client(ROWS, 2, tmp_path) > 0
    seen = []
    for file in sorted(tmp_path.glob("wandb/offline-run-*/*.wandb")):
        command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(file)]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        items = [record["history"]["item"] for record in map(json.loads, lines) if record["type"] == "history"]
        seen.append([{key: value for key, value in item.items() if key[0] != "_"} for item in items])
    assert sorted(seen) == [[], ROWS, ROWS]
