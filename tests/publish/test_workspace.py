"""The workspace of a study: what W&B shows by its keys is what compare.py says, computed here from what was sent."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from glassbox.compare.leaderboard import leaderboard
from glassbox.compare.run import read
from glassbox.config.place import ROOT
from glassbox.config.publication import _workspace
from glassbox.publish.upload import plan
from glassbox.tracking.record import Record

pytest.importorskip("wandb_workspaces")
pytestmark = pytest.mark.slow  # its import takes two seconds


def spec_of(study) -> dict:
    made = _workspace(plan(study), "me", "glassbox")
    return json.loads(made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))["section"]


def runset(spec: dict) -> dict:
    return spec["runSets"][0]


def panels(spec: dict) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for panel in spec["panelBankConfig"]["sections"][0]["panels"]:
        found.setdefault(panel["viewType"], []).append(panel["config"])
    return found


@pytest.fixture
def study(write_run, outputs):
    for optimizer in ("sgd", "adam"):
        for lr in (0.01, 0.1, 1.0):
            for seed in range(2):
                write_run(lr + seed, lr=lr, optimizer=optimizer, seed=seed)
    write_run(lr=0.1, optimizer="sgd", seed=2, status="diverged", fields={"exit_code": 4})
    write_run(lr=0.1, optimizer="sgd", seed=3, status="pruned")
    return outputs / "demo"


def test_it_has_the_factors_and_the_metric_of_the_leaderboard(study):
    spec = spec_of(study)
    shown = panels(spec)
    assert [key["name"] for key in runset(spec)["grouping"]] == ["choice.value.optimizer", "lr.value"]
    assert [config["metrics"] for config in shown["Run History Line Plot"]] == [["val/loss"], ["train/loss"]]
    for config in shown["Run History Line Plot"]:
        assert (config["xAxis"], config["groupBy"]) == ("epoch", "choice.value.optimizer")
        assert (config["groupAgg"], config["groupArea"]) == ("mean", "minmax")
    (parallel,) = shown["Parallel Coordinates Plot"]
    assert [(column["accessor"], column.get("log")) for column in parallel["columns"]] == [
        ("config:choice.value.optimizer", False),
        ("config:lr.value", True),
        ("summary:best/val/loss", None),
    ]
    (scatter,) = shown["Scatter Plot"]
    assert (scatter["xAxis"], scatter["yAxis"], scatter["xAxisLogScale"]) == (
        "config:lr.value",
        "summary:best/val/loss",
        True,
    )
    assert [config["targetKey"] for config in shown["Parameter Importance"]] == ["best/val/loss"]


def test_it_shows_the_runs_that_count(study):
    spec = spec_of(study)
    filters = [(part["key"]["name"], part["op"], part["value"]) for part in runset(spec)["filters"]["filters"]]
    (pruned,) = [path.parent.name for path in study.glob("*/run.json") if "pruned" in path.read_text()]
    assert filters == [("group", "=", "demo"), ("state", "=", "finished"), ("name", "NIN", [pruned])]


def test_runs_have_the_colour_of_their_optimizer(study):
    colours = spec_of(study)["customRunColors"]
    by_optimizer: dict[str, set[str]] = {}
    for folder in (path.parent for path in study.glob("*/run.json")):
        if folder.name in colours:
            by_optimizer.setdefault(Record.read(folder)["config"]["optimizer"], set()).add(colours[folder.name])
    assert sorted(map(len, by_optimizer.values())) == [1, 1]
    assert len(set.union(*by_optimizer.values())) == 2
    grouped = {key: colour for key, colour in colours.items() if "run-color-group" in key}
    for optimizer, found in by_optimizer.items():
        assert {colour for key, colour in grouped.items() if f"%22{optimizer}%22" in key} == found


def test_its_text_is_the_question_and_the_command_and_no_markup(study):
    sweep = {"question": "Is *adam* <b>better</b>?", "command": ["python", "scripts/train.py", "-m", "lr=0.1,1", "```"]}
    (study / "study.json").write_text(json.dumps({"sweeps": [sweep]}))
    (text,) = panels(spec_of(study))["Markdown Panel"]
    assert r"Is \*adam\* \<b\>better\</b\>?" in text["value"]
    assert "\n```\npython scripts/train.py -m lr=0.1,1 '` ` `'\n```\n" in text["value"]


def test_a_study_without_a_value_has_none(write_run, outputs):
    write_run(lr=0.1, status="failed", fields={"exit_code": 1})
    assert _workspace(plan(outputs / "demo"), "me", "glassbox") is None


def value(config: dict, key: str):
    """Return what W&B groups by: `optimizer.value.eps` is `eps` in `optimizer`."""
    for part in key.split("."):
        config = config if part == "value" else config[part]
    return config


SMALL = ["data=moons", "data.samples=50", "batch_size=10", "max_epochs=3", "pictures=false", "study=demo"]
GRID = ["-m", "optimizer=adam,sgd", "lr=0.01,0.1", "seed=0,1"]


@pytest.mark.parametrize("launcher", ["vectorized", "basic"])
def test_the_means_on_the_server_are_those_of_the_leaderboard(wandb_server, publish, outputs, launcher, capsys):
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *GRID, *SMALL, f"launcher={launcher}"]
    subprocess.run(command, check=True, capture_output=True)
    for words in ("demo: 8 sent\n", "demo: 0 sent, 8 there already\n"):
        assert publish("demo") == 0
        told = capsys.readouterr()
        assert (told.out.startswith(words), told.err) == (True, "")
    ((name, view),) = wandb_server.views.items()
    assert view["displayName"] == "demo"
    assert told.out.endswith(f"page  {wandb_server.url}/me/glassbox?nw={name.split('-')[1]}\n")
    spec = json.loads(view["spec"])["section"]
    keys = [key["name"] for key in runset(spec)["grouping"]]
    metric = panels(spec)["Parameter Importance"][0]["targetKey"]
    rows = [
        {key: value(run.config, key) for key in keys} | {metric: run.summary[metric], "test": run.summary["test/loss"]}
        for run in wandb_server.runs.values()
        if run.state == "finished"
    ]
    means = pd.DataFrame(rows).groupby(keys).mean()
    board = leaderboard(read([outputs / "demo"]).runs)
    assert len(board.ranked) == len(means) == 4
    for group in board.ranked:
        mean = means.loc[tuple(group.values[board.keys.index(key)] for key in ("optimizer", "lr"))]
        assert mean[metric] == pytest.approx(group.metric.mean, rel=1e-12)
        assert mean["test"] == pytest.approx(group.test.mean, rel=1e-12)
    for run in wandb_server.runs.values():
        assert len(run.rows) == 3
    text = panels(spec)["Markdown Panel"][0]["value"]
    assert f"python scripts/train.py {' '.join([*GRID, *SMALL])}" in text


def test_a_second_go_changes_the_workspace_and_makes_no_other(tracked, wandb_server, publish, capsys):
    tracked(optimizer="adam", seed=0)
    assert publish("demo") == 0
    first = dict(wandb_server.views)
    tracked(optimizer="sgd", seed=0)
    assert publish("demo") == 0
    assert {name: view["id"] for name, view in wandb_server.views.items()} == {n: v["id"] for n, v in first.items()}
    assert wandb_server.views != first
    tracked(study="other", seed=0)
    assert publish("demo", "other") == 0
    assert len(wandb_server.views) == 2


def test_without_the_library_the_runs_are_sent_and_a_line_says_how(tracked, wandb_server, publish, monkeypatch, capsys):
    monkeypatch.setattr("glassbox.publish.workspace.installed", lambda: False)
    tracked()
    assert publish("demo") == 0
    told = capsys.readouterr()
    assert (
        told.err == "A workspace needs wandb-workspaces: pip install 'glassbox[publish]', then the same command again\n"
    )
    assert told.out == f"demo: 1 sent\npage  {wandb_server.url}/me/glassbox\n"
    assert wandb_server.views == {}


def test_a_workspace_that_is_not_taken_is_told(tracked, wandb_server, publish, capsys):
    from wandb_server import Fault

    wandb_server.faults = [Fault("UpsertView2", 403)]
    tracked()
    assert publish("demo") == 1
    assert capsys.readouterr().err.startswith("The workspace of demo is not saved: ")
