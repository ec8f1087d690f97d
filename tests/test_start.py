"""What only shows or refuses answers at once: it loads none of the heavy libraries."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from glassbox.config.place import ROOT

HEAVY = {"torch", "lightning", "wandb", "sklearn", "pandas", "matplotlib", "scipy", "torchmetrics", "numpy", "optuna"}
# Python runs this file first, wherever it finds it; it writes down what was loaded when the program ends.
SPY = "import atexit, os, sys; atexit.register(lambda: open(os.environ['SPY'], 'w').write(' '.join(sys.modules)))"


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("train.py --help", 0, "optimizer: adam, adamw, momentum, nesterov, rmsprop, sgd"),
        ("train.py --cfg job", 0, "lr: 0.01"),
        ("train.py lr=0.5 --cfg job --resolve -p optimizer", 0, "lr: 0.5"),
        ("train.py optimzer=adam", 2, "Error: optimzer=adam: unknown key 'optimzer', did you mean 'optimizer'?"),
        ("train.py optimizer=adma", 2, "Error: optimizer=adma: no such option, did you mean 'adam'?"),
        ("train.py lr=abc", 2, "Error: lr=abc: must be a finite number > 0"),
        ("train.py -m lr=abc,1", 2, "Error: lr=abc: must be a finite number > 0"),
        ("train.py rerun=nowhere", 2, "Error: nowhere is no run folder: it has no run.json"),
        ("explain.py --help", 0, "python scripts/explain.py quiz=true"),
        ("explain.py --cfg job", 0, "quiz: false"),
        ("explain.py stp=1", 2, "Error: stp=1: unknown key 'stp', did you mean 'step'?"),
    ],
)
def test_nothing_heavy_is_loaded(tmp_path, outputs, line, code, told):
    spy = tmp_path / "spy"
    spy.mkdir()
    (spy / "sitecustomize.py").write_text(SPY)
    environment = os.environ | {"PYTHONPATH": str(spy), "SPY": str(tmp_path / "loaded")}
    script, *argv = line.split()
    command = [sys.executable, str(ROOT / "scripts" / script), *argv]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    loaded = {name.partition(".")[0] for name in (tmp_path / "loaded").read_text().split()}
    assert "hydra" in loaded
    assert loaded & HEAVY == set()
    assert list(outputs.iterdir()) == []


@pytest.mark.slow
def test_a_sweep_loads_what_its_jobs_need_and_nothing_where_it_has_none_to_run(tmp_path, outputs):
    (tmp_path / "sitecustomize.py").write_text(SPY)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "SPY": str(tmp_path / "loaded")}
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "-m", "study=known", "seed=1,2", "data=moons"]
    loaded = []
    for words in (["max_epochs=1", "logger=csv"], ["max_epochs=1", "logger=csv"], ["max_epochs=1,2"]):
        subprocess.run([*command, *words, "report=false"], env=environment, check=True, capture_output=True)
        loaded.append({name.partition(".")[0] for name in (tmp_path / "loaded").read_text().split()})
    assert [found & {"torch", "wandb"} for found in loaded] == [{"torch"}, set(), {"torch", "wandb"}]


# The same for the searches for garbage: how many were made until the program ended, and how many after that.
COUNTER = """
import atexit, gc, os
looks = []
gc.callbacks.append(lambda phase, info: looks.append(phase))
counts = lambda: f"{len(looks)} {gc.get_freeze_count()} {len(gc.get_objects())}"
atexit.register(lambda: open(os.environ["SPY"], "w").write(counts()))
"""


@pytest.mark.slow
def test_a_program_hardly_looks_for_garbage_while_it_imports_and_when_it_ends(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(COUNTER)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "SPY": str(tmp_path / "counts")}
    found = {}
    for name, program in {
        "plain": "import torch",
        "ours": "from glassbox.config.terminal import exit_with; exit_with(lambda: bool(__import__('torch')) - 1)",
    }.items():
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)
        found[name] = [int(word) for word in (tmp_path / "counts").read_text().split()]
    assert found["ours"][0] < found["plain"][0] / 5
    assert found["ours"][1] > found["plain"][2] / 2, "what is frozen is not looked through"
    assert found["ours"][2] < found["plain"][2] / 10


@pytest.mark.parametrize("script", ["train.py", "evaluate.py", "explain.py", "bench.py"])
def test_a_python_without_the_project_is_told_in_one_line(script):
    # Without site-packages python finds the standard library alone, as one without the environment does.
    command = [sys.executable, "-I", "-S", str(ROOT / "scripts" / script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "make install" in line


@pytest.mark.skipif(shutil.which("python3", path="/usr/bin") is None, reason="there is no other python here")
def test_another_python(tmp_path):
    python = Path("/usr/bin/python3")
    done = subprocess.run(
        [python, "-I", ROOT / "scripts" / "train.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert len(done.stderr.splitlines()) == 1
    assert "make install" in done.stderr
