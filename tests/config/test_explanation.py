"""scripts/explain.py, in process: the step is the run's own, foreign modules are explained, faults are named."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from glassbox.config import build
from glassbox.config.explanation import explain
from glassbox.errors import BadInput
from glassbox.replay.check import Grade

FOREIGN = '''
"""Architectures of somebody else's, as plain Lightning on 8 x 8 images, and faults planted in them."""

from collections import UserDict

import lightning.pytorch as pl
import torch
from torch import nn


class Images(pl.LightningModule):
    """What the three have in common."""

    def __init__(self, lr):
        super().__init__()
        self.lr = lr
        self.net = self.build()

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self(x.view(-1, 8, 8)), y)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class CNN(Images):
    def build(self):
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))

    def forward(self, x):
        return self.net(x.unsqueeze(1))


class LSTM(Images):
    def build(self):
        self.head = nn.Linear(16, 10)
        return nn.LSTM(8, 16, batch_first=True)

    def forward(self, x):
        return self.head(self.net(x)[0][:, -1])


class Transformer(Images):
    def build(self):
        self.head = nn.Linear(8, 10)
        return nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)

    def forward(self, x):
        return self.head(self.net(x).mean(dim=1))


class Sparse(Images):
    """A sparse gradient, and a training_step that returns a mapping which is no dict."""

    def build(self):
        self.embed = nn.Embedding(17, 4, sparse=True)
        return nn.Linear(4, 10)

    def training_step(self, batch, batch_idx):
        x, y = batch
        codes = (4 * x.abs()).long().clamp(max=16)
        return UserDict(loss=nn.functional.cross_entropy(self.net(self.embed(codes).mean(dim=1)), y))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Tiny(Images):
    """A small net by known layers, whose copies below have one fault each."""

    def build(self):
        self.fc1, self.relu, self.fc2 = nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)
        self.loss = nn.CrossEntropyLoss()

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self.fc2(self.relu(self.fc1(x))), y)


class NoZeroGrad(Tiny):
    def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
        """Forget it."""


class WrongBeta(Tiny):
    def optimizer_step(self, epoch, batch_idx, optimizer, closure):
        optimizer.param_groups[0]["betas"] = (0.9, 0.9)
        super().optimizer_step(epoch, batch_idx, optimizer, closure)
        optimizer.param_groups[0]["betas"] = (0.9, 0.999)


class Detached(Tiny):
    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self.fc2(self.relu(self.fc1(x)).detach()), y)


class Nothing(Tiny):
    def training_step(self, batch, batch_idx):
        return None


class NotANumber(Tiny):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) * float("nan")


class Manual(Tiny):
    def __init__(self, lr):
        super().__init__(lr)
        self.automatic_optimization = False


class Two(Tiny):
    def configure_optimizers(self):
        return [torch.optim.SGD(self.fc1.parameters(), lr=0.1), torch.optim.SGD(self.fc2.parameters(), lr=0.1)]
'''


@pytest.fixture
def explained(tmp_path, outputs, monkeypatch, capsys):
    """Give a function that explains a step and returns (exit code, what the JSON file says)."""
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "__init__.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(build, "trusted_packages", lambda: (*build.TRUSTED, "foreign"))

    def run(*argv: str):
        code = explain([*argv, f"json={tmp_path / 'out.json'}"])
        return code, json.loads((tmp_path / "out.json").read_text())

    yield run
    sys.modules.pop("foreign", None)


def foreign(name: str) -> list[str]:
    return ["data=digits", f"model._target_=foreign.{name}", "~model.hidden", "+model.lr=${lr}"]


def cells(told, title):
    (table,) = [table for table in told["tables"] if table["title"] == title]
    return table["rows"]


def row(told, line):
    return next(row for row in cells(told, "One training step") if row["cells"][0].startswith(line))


def test_tinynet_is_exact_in_every_row(explained):
    code, told = explained("optimizer=adam", "lr=1e-3")
    assert code == 0
    assert told["grades"] == {"EXACT": told["grades"]["EXACT"], "FD": 0, "NOT CHECKED": 0, "DISAGREES": 0}
    assert row(told, "optimizer.zero_grad()")["cells"][2] == "4 tensors, 33 numbers cleared"
    assert {line.get("grade", "EXACT") for line in cells(told, "One training step")} == {"EXACT"}
    assert len(cells(told, "How far each parameter moved")) == 4


def test_the_lines_that_the_readme_shows_are_printed(capsys):
    readme = (build.ROOT / "README.md").read_text()
    (excerpt,) = re.findall(r"^```\n( z = .*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    assert explain(["optimizer=adam", "lr=1e-3"]) == 0
    printed = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    for line in excerpt.splitlines():
        assert " ".join(line.split()) in printed


@pytest.mark.parametrize("step", [0, 1, 13])
def test_the_step_is_that_of_the_run(explained, train, step):
    """Its numbers are those of the lesson's loop on the same batches in the same order."""
    from torch import nn

    from glassbox.config.compose import composed, task_values
    from glassbox.config.job import prepare
    from glassbox.config.place import CONF
    from glassbox.model import TinyNet

    _, told = explained(f"step={step}", "optimizer=momentum", "lr=0.1", "sample=5")
    data = prepare(*[task_values(composed(CONF, "train", ["trainer=cpu"]))] * 2).datamodule
    x, y = data.train_dataloader().tensors
    batches = [batch for epoch in range(2) for batch in data._sampler.order(epoch).split(32)]
    torch.manual_seed(0)
    model, criterion = TinyNet(2), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for batch in batches[: step + 1]:
        optimizer.zero_grad()
        a = model.fc1(x[batch])
        loss = criterion(model(x[batch]), y[batch])
        loss.backward()
        before = model.fc1.weight[0, 0].item()
        optimizer.step()
    assert row(told, "loss = ")["cells"][2] == f"loss = {loss.item():.6f}"
    assert row(told, "a = net.fc1(x)")["cells"][2] == f"a[5,0] = {a[5, 0].item():+.6f}"
    moved = f"net.fc1.weight[0,0] {before:.6f} → {model.fc1.weight[0, 0].item():.6f}"
    assert row(told, "optimizer.step()")["cells"][2] == moved


@pytest.mark.parametrize("name", ["CNN", "LSTM", "Transformer"])
def test_foreign_architectures_are_explained(explained, name):
    code, told = explained(*foreign(name), "step=2")
    assert code == 0
    grades = told["grades"]
    assert grades["DISAGREES"] == 0
    assert grades["FD"] > 0
    assert {line["grade"] for line in cells(told, "How far each parameter moved")} == {"EXACT"}
    gradients = [line for line in cells(told, "One training step") if ".grad[" in line["cells"][2]]
    assert gradients
    assert all(line["grade"] == "FD" and line["error"] < 1e-5 for line in gradients)


def test_a_sparse_gradient_in_a_mapping_is_explained(explained):
    code, told = explained(*foreign("Sparse"), "step=1")
    assert code == 0
    sparse, *others = cells(told, "How far each parameter moved")
    assert (sparse["cells"][0], sparse["reason"]) == ("embed.weight", "no hand rule for a sparse gradient")
    assert float(sparse["cells"][4]) == pytest.approx(0.01 * float(sparse["cells"][3]), rel=1e-2)  # SGD: p -= lr g
    assert {line["grade"] for line in others} == {"EXACT"}


@pytest.mark.parametrize(
    ("name", "cause"),
    [("NoZeroGrad", "stale gradient"), ("WrongBeta", "beta2=0.9,"), ("Detached", "detached graph")],
)
def test_a_planted_fault_disagrees_and_is_named(explained, name, cause):
    code, told = explained(*foreign("Tiny"), "step=1")
    assert code == 0
    assert told["grades"]["FD"] == told["grades"]["NOT CHECKED"] == told["grades"]["DISAGREES"] == 0
    code, told = explained(*foreign(name), "step=1")
    assert code == 1
    wrong = [line for table in told["tables"] for line in table["rows"] if line.get("grade") == Grade.DISAGREES]
    assert any(cause in line["reason"] for line in wrong), [line["reason"] for line in wrong]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (foreign("Nothing"), "training_step returned nothing"),
        (foreign("NotANumber"), "training_step returned nan"),
        (foreign("Manual"), "Manual uses manual optimization"),
        (foreign("Two"), "Two has several optimizers"),
        (["step=-1"], "step=-1: must be a whole number ≥ 0"),
        (["step=99999", "max_epochs=2"], "step=99999: the run ends after 22 steps"),
        (["sample=32"], "sample=32: the batch has 32 rows, 0 to 31"),
        (["quiz=maybe"], "quiz=maybe: must be true or false"),
        (["quiz=true"], "quiz=true only asks: leave code, json and logger out"),
        (["stp=3"], "stp=3: unknown key 'stp', did you mean 'step'?"),
        (["optimizer=adm"], "optimizer=adm: no such option, did you mean 'adam'?"),
        (["lr=-1"], "lr=-1: must be a finite number > 0"),
        (["checkpoint=nowhere"], "nowhere is no run folder"),
        (["logger=csv"], "explain.py logs to W&B or not at all"),
        (["-m", "lr=1,2"], "explain.py explains one step"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_a_line(explained, outputs, argv, message):
    with pytest.raises(BadInput) as caught:
        explained(*argv)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert list(outputs.glob("*/*")) == []


@pytest.mark.slow
def test_from_a_checkpoint_the_next_step_is_explained(explained, train):
    folder = train("max_epochs=3", "optimizer=adam", "lr=0.02", "logger=csv", "trainer=cpu")
    from glassbox.training.checkpoint import load

    saved = load(folder / "checkpoints" / "best.ckpt")
    code, told = explained(f"checkpoint={folder}")
    assert code == 0
    weight = saved["state_dict"]["net.fc1.weight"]
    first = next(
        line for line in cells(told, "One training step") if line["cells"][2].startswith("net.fc1.weight[0,0] ")
    )
    assert f"[0,0] {weight[0, 0].item():.6f} →" in first["cells"][2]
    assert told["grades"]["DISAGREES"] == 0
    with pytest.raises(BadInput, match="would change the numbers"):
        explained(f"checkpoint={folder}", "lr=0.5")


def test_nothing_is_written_unless_it_is_asked_for(outputs, monkeypatch, tmp_path):
    before = set(tmp_path.rglob("*"))
    assert explain([]) == 0
    left = set(tmp_path.rglob("*")) - before
    assert [path for path in left if ".cache" not in path.parts] == []


@pytest.mark.slow
def test_with_wandb_the_tables_are_logged(explained, outputs):
    code, told = explained("logger=wandb", "logger.writer=direct")
    assert code == 0
    (run,) = outputs.glob("wandb/offline-run-*")
    files = [json.loads(path.read_text()) for path in run.rglob("*.table.json")]
    assert len(files) == len(told["tables"])
    logged = [row for file in files for row in file["data"]]
    assert [*row(told, "optimizer.zero_grad()")["cells"], "EXACT"] in logged


@pytest.mark.slow
def test_code_shows_the_functions_that_were_used(explained):
    _, told = explained("code=true", "optimizer=rmsprop")
    assert any("rmsprop" in where for where in told["sources"])
    assert any("linear" in where for where in told["sources"])
    for where, text in told["sources"].items():
        file = Path(build.ROOT / where.partition(":")[0])
        assert text in file.read_text()
    assert explained()[1]["sources"] == {}


def test_the_quiz_answers_with_numbers(capsys):
    assert explain(["quiz=true"]) == 0
    assert capsys.readouterr().out.count("?") >= 3


def test_zeros_are_seen_in_words(explained):
    _, told = explained("data=xor", "init=zeros")
    assert any("same gradient" in sentence for sentence in told["observations"])
    assert math.isclose(float(row(told, "loss = ")["cells"][2].split()[-1]), math.log(2), abs_tol=1e-6)


@pytest.mark.slow
def test_the_command_ends_with_1_where_a_row_disagrees(tmp_path):
    """In a copy of the project that trusts the package with the fault, through the real command line."""
    copy = tmp_path / "project"
    for name in ("src", "conf", "scripts"):
        shutil.copytree(build.ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "local"))
    project = (build.ROOT / "pyproject.toml").read_text()
    (copy / "pyproject.toml").write_text(project.replace("trusted_packages = []", 'trusted_packages = ["foreign"]'))
    (copy / "src" / "foreign.py").write_text(FOREIGN)
    environment = os.environ | {"PYTHONPATH": str(copy / "src")}
    for name, code, cause in (
        ("Tiny", 0, "no row disagrees"),
        ("NoZeroGrad", 1, "stale gradient: zero_grad was skipped"),
    ):
        command = [sys.executable, "scripts/explain.py", *foreign(name), "step=1"]
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (code, ""), done.stderr
        assert cause in done.stdout
