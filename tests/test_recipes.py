"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from glassbox.config.place import ROOT
from glassbox.tracking.metrics_csv import read
from glassbox.tracking.record import Record

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL))
BLOCK = re.compile(r"(?:^(In )?`([^`\n]+)`\n)?^```(\w+)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy") / "project"
    for name in ("src", "conf", "scripts", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "local"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_there_are_four_recipes():
    assert list(RECIPES) == ["An optimizer", "An initialiser", "A data set", "Your own LightningModule and DataModule"]


@pytest.mark.slow
@pytest.mark.parametrize("title", RECIPES)
def test_recipe(title, copy, outputs):
    environment = os.environ | {
        "PYTHONPATH": str(copy / "src"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    written, ran = [], 0
    for changed, path, language, text in BLOCK.findall(RECIPES[title]):
        if language == "sh":
            subprocess.run(text, shell=True, cwd=copy, env=environment, check=True)
            ran += 1
        elif changed:
            project = (copy / path).read_text()
            (copy / path).write_text(re.sub(r"\[tool\.glassbox\]\n[^\n]*\n", text, project))
        else:
            (copy / path).parent.mkdir(exist_ok=True)
            (copy / path).write_text(text)
            written.append(path)
    assert ran == 1
    assert written
    (file,) = outputs.glob("*/*/run.json")
    rows = read(file.parent / "metrics.csv")
    assert Record.read(file.parent)["status"] == "finished"
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    assert "val/loss" in rows[0]
    again = [sys.executable, "scripts/evaluate.py", str(file.parent)]
    done = subprocess.run(again, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "test/loss" in done.stdout


@pytest.mark.slow
def test_the_catalogue_finds_what_the_recipes_add(copy, outputs):
    """A new file is tested by being there; run after the recipes, it finds theirs as well."""
    (copy / "conf" / "optimizer" / "adamax.yaml").write_text(
        "# Adam with the infinity norm.\n_target_: torch.optim.Adamax\nlr: ${lr}\n"
    )
    pytest_of = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-m", "slow or not slow"]
    command = [*pytest_of, "tests/test_catalogue.py", "-k", "adamax"]
    environment = os.environ | {"PYTHONPATH": str(copy / "src")}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
