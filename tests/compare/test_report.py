"""The report against pandas: every number that it shows, and that no text of a user becomes part of the page."""

import csv
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from glassbox.compare.leaderboard import leaderboard
from glassbox.compare.report import write_report
from glassbox.compare.run import read

EPOCHS = 5
LRS = (0.01, 0.1, 1.0)


class Page(HTMLParser):
    """The elements of a page, the text of its tables, and what its script draws."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.rows, self.texts, self.links, self.json = [], [], [], [], ""
        self.within = []
        self.feed(path.read_text(encoding="utf-8"))
        self.data = json.loads(self.json) if self.json else {"figures": [], "curves": None}

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, sorted(name for name, _ in attrs)))
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta", "link", "input", "br"):
            self.within.append((tag, dict(attrs).get("id")))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self.within and self.within.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tag, name = self.within[-1] if self.within else (None, None)
        if (tag, name) == ("script", "figures"):
            self.json += data
        elif tag not in ("script", "style"):
            self.texts.append(data.strip())
            if any(tag in ("td", "th") for tag, _ in self.within):
                self.rows[-1][-1] += data.strip()

    def figure(self, kind):
        return [one for one in self.data["figures"] if one["data"][0]["type"] == kind]


def curve(folder, values, name="val/loss"):
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("epoch", name), *enumerate(values)])


@pytest.fixture
def study(write_run, outputs):
    """Two optimizers, three learning rates, three seeds, of which sgd at 1.0 diverges."""
    rng = np.random.default_rng(0)
    rows = []
    for optimizer in ("adam", "sgd"):
        for lr in LRS:
            for seed in range(3):
                values = rng.uniform(0.1, 1.0, EPOCHS)
                lost = (optimizer, lr) == ("sgd", 1.0)
                more = {"status": "diverged", "fields": {"reason": "train/loss is nan at epoch 1"}} if lost else {}
                folder = write_run(None if lost else values.min(), optimizer=optimizer, lr=lr, seed=seed, **more)
                curve(folder, values)
                rows += [(optimizer, lr, seed, epoch, value) for epoch, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["optimizer", "lr", "seed", "epoch", "loss"])


def page(outputs, **more):
    runs = read([outputs / "demo"])
    path = outputs / "demo" / "report.html"
    write_report(path, "demo", runs, leaderboard(runs.runs), **more)
    return Page(path)


def best(frame):
    """Return the best value of each finished run."""
    finished = frame[~((frame["optimizer"] == "sgd") & (frame["lr"] == 1.0))]
    return finished.groupby(["optimizer", "lr", "seed"])["loss"].min()


def test_the_leaderboard_shows_the_means_and_the_lost(study, outputs):
    found = page(outputs)
    head, *rows = [row for row in found.rows if len(row) == 9]
    assert head == ["", "optimizer", "lr", "val/loss", "n", "against the best", "test/loss", "time", "without a value"]
    means = best(study).groupby(["optimizer", "lr"]).mean().sort_values()
    for row, ((optimizer, lr), mean) in zip(rows, means.items(), strict=False):
        assert row[1:3] == [optimizer, f"{lr:g}"]
        value = row[3].split()[0]
        assert float(value) == round(mean, len(value.partition(".")[2]))
    assert rows[-1] == ["", "sgd", "1", "", "0", "", "", "", "3 diverged"]
    assert ["diverged", "train/loss is nan at epoch 1", "3"] in [row[:3] for row in found.rows]


def test_curves_are_means_over_seeds_with_all_of_them_inside(study, outputs):
    curves = page(outputs).data["curves"]
    assert curves["epochs"] == [*range(EPOCHS)]
    assert [*curves["views"]] == ["config", "optimizer", "lr"]
    grouped = study.groupby(["optimizer", "lr", "epoch"])["loss"]
    for band in curves["bands"]:
        optimizer, lr = re.fullmatch(r"optimizer=(\w+) lr=(.+)", band["name"]).groups()
        for values, table in zip(
            band["values"]["val/loss"], (grouped.mean(), grouped.min(), grouped.max()), strict=True
        ):
            assert values == pytest.approx(table[optimizer, float(lr)].to_numpy(), rel=1e-4)
    assert len(curves["bands"]) == 5  # what diverged has no curve beside those that finished


def test_a_view_has_a_colour_per_level_of_its_factor(study, outputs):
    curves = page(outputs).data["curves"]
    for key, place in (("optimizer", 0), ("lr", 1)):
        found = {}
        for line in curves["views"][key]:
            level = curves["bands"][line["band"]]["name"].split()[place].partition("=")[2]
            found.setdefault(level, set()).add(line["color"])
            assert line["legend"] == level
        assert all(len(colors) == 1 for colors in found.values())
        assert len(set.union(*found.values())) == len(found)
    assert all(sum(line["first"] for line in lines) == len({line["legend"] for line in lines})
               for lines in curves["views"].values())  # fmt: skip


def test_many_configs_are_drawn_level_by_level(write_run, outputs):
    rng = np.random.default_rng(0)
    rows = []
    for optimizer in ("adam", "sgd"):
        for number in range(20):
            for seed in range(2):
                values = rng.uniform(0.1, 1.0, EPOCHS)
                curve(write_run(values.min(), optimizer=optimizer, lr=0.01 + number / 10, seed=seed), values)
                rows += [(optimizer, number, epoch, value) for epoch, value in enumerate(values)]
    frame = pd.DataFrame(rows, columns=["optimizer", "config", "epoch", "loss"])
    curves = page(outputs).data["curves"]
    means = frame.groupby(["optimizer", "config", "epoch"])["loss"].mean()
    bands = {curves["bands"][line["band"]]["name"]: line for line in curves["views"]["optimizer"]}
    assert sum(name.startswith("best") for name in bands) == 1
    for optimizer in ("adam", "sgd"):
        grouped = means[optimizer].groupby("epoch")
        middle, low, high = curves["bands"][bands[optimizer]["band"]]["values"]["val/loss"]
        for values, share in ((middle, 0.5), (low, 0.25), (high, 0.75)):
            assert values == pytest.approx(grouped.quantile(share).to_numpy(), rel=1e-4)
    assert len(curves["views"]["lr"]) == 8 + 1  # twenty numbers are cut into bins


def test_a_heat_map_has_the_mean_of_each_cell(study, outputs):
    (figure,) = page(outputs).figure("heatmap")
    layout, (trace,) = figure["layout"], figure["data"]
    table = best(study).groupby(["optimizer", "lr"]).mean().unstack()
    assert layout["yaxis"]["ticktext"] == [*table.index]
    assert [float(text) for text in layout["xaxis"]["ticktext"]] == [*table.columns]
    shown = [[float(text) if text else np.nan for text in row] for row in trace["text"]]
    assert shown == [pytest.approx(row, rel=5e-3, nan_ok=True) for row in table.to_numpy()]
    colour = [value for row in trace["z"] for value in row]
    order = [value for row in table.to_numpy() for value in row]
    assert np.argsort([np.inf if v is None else v for v in colour]).tolist() == np.argsort(order).tolist()
    (lost,) = layout["annotations"]
    assert (lost["x"], lost["y"], lost["text"]) == (2, 1, "3 diverged")


def test_sensitivity_has_the_best_config_and_the_mean_of_all(study, outputs, write_run):
    for seed in range(3):
        write_run(0.01 + seed / 1000, optimizer="adam", lr=0.1, init="xavier", seed=seed)
    found = page(outputs)
    (figure,) = [one for one in found.figure("scatter") if one["choices"]]
    adam = best(study)["adam"]
    assert [choice["name"] for choice in figure["choices"]] == ["the best of init", "mean over init, seed"]
    alone = adam.groupby("lr").mean()
    both = (adam[0.1].sum() + 0.01 + 0.011 + 0.012) / 6
    for choice, at in zip(figure["choices"], (0.011, both), strict=True):
        traces = [t for t, seen in zip(figure["data"], choice["seen"], strict=True) if seen]
        (trace,) = [trace for trace in traces if trace["name"] == "adam"]
        assert trace["x"] == [*LRS]
        assert trace["y"] == pytest.approx([alone[0.01], at, alone[1.0]], rel=1e-4)
    cells = {text for one in found.figure("heatmap") for row in one["data"][0]["text"] for text in row}
    assert f"{both:.3g}" in cells
    cross = [note for note in figure["layout"]["annotations"] if note["text"] == "×"]
    assert ["sgd<br>3 diverged" in note["hovertext"].replace("lr=1 ", "") for note in cross] == [True]


def test_parallel_coordinates_have_a_line_per_config(study, outputs):
    (figure,) = page(outputs).figure("parcoords")
    dimensions = {one["label"]: one for one in figure["data"][0]["dimensions"]}
    means = best(study).groupby(["optimizer", "lr"]).mean().sort_values()
    names = [dimensions["optimizer"]["ticktext"][place] for place in dimensions["optimizer"]["values"]]
    assert names == [optimizer for optimizer, _ in means.index]
    axis = dimensions["val/loss"]
    values = np.array(axis["values"])
    assert (10**values if "ticktext" in axis else values) == pytest.approx(means.to_numpy(), rel=1e-3)


def test_the_boundaries_are_those_of_the_best_and_the_worst(study, outputs):
    values = {}
    for run in read([outputs / "demo"]).finished:
        number = len(values)
        grid = np.linspace(-1, 1, 4)
        rows = {"points": np.zeros((2, 2)), "labels": np.array([0, 1]), "classes": np.array(["<a>", "b"])}
        names = np.array(["one", "two"])
        logits = np.full((4, 4), float(number)) + grid
        np.savez(run.folder / "boundary.npz", x=grid, y=grid, logits=logits, feature_names=names, **rows)
        values[run.name] = (run.values["val/loss"], 1 / (1 + np.exp(-logits[0])))
    found = page(outputs)
    ordered = sorted(values, key=lambda name: values[name][0])
    drawn = [one for one in found.figure("heatmap") if one["data"][0].get("zsmooth")]
    for name, figure in zip((ordered[0], ordered[-1]), drawn, strict=True):
        assert name in found.texts
        assert figure["data"][0]["z"][0] == pytest.approx(values[name][1], abs=1e-3)
        assert [trace["name"] for trace in figure["data"] if trace["type"] == "scatter"] == ["&lt;a&gt;", "b"]


def written(write_run, outputs, study, mark):
    """Write the report of a study in which every text of a user ends with a mark."""
    for seed in range(2):
        for option in (f"value{mark}", "other", "third"):
            config = {"option": option, f"key{mark}": option, "lr": 0.1 if option == "other" else 1.0, "seed": seed}
            folder = write_run(0.1 + seed, study=study, **config)
            curve(folder, [0.1, 0.2], name=f"metric{mark}")
            rows = {"points": np.zeros((2, 2)), "labels": np.array([0, 1]), "logits": np.ones((2, 2))}
            names = {"classes": np.array([f"class{mark}", "b"]), "feature_names": np.array([f"feature{mark}", "two"])}
            np.savez(folder / "boundary.npz", x=[0.0, 1.0], y=[0.0, 1.0], **rows, **names)
    failed = {"status": "failed", "fields": {"reason": f"reason{mark}", "device": f"device{mark}"}}
    write_run(study=study, option="lost", lr=2.0, seed=3, **failed)
    sweep = {"kind": f"kind{mark}", "command": ["train.py", f"command{mark}"], "question": f"question{mark}"}
    sweep |= {"notes": f"notes{mark}", "started": "then", "jobs": 7}
    runs = read([outputs / study])
    told = [(f"head{mark}", f"words{mark}")]
    path = outputs / f"{study}.html"
    more = {"told": told, "border": [f"border{mark}"]}
    write_report(
        path, f"title{mark}", runs, leaderboard(runs.runs, by=["option", f"key{mark}", "lr"]), sweeps=[sweep], **more
    )
    return Page(path)


def markup(content):
    """Yield every text that plotly is given, and may take for markup."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from markup(part)


def test_no_text_becomes_part_of_the_page(write_run, outputs):
    """The page has the elements and attributes that it has with harmless texts, and shows the others as they are."""
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&"
    harmless, page = (written(write_run, outputs, study, mark) for study, mark in (("a", "1"), ("b", evil)))
    assert page.elements == harmless.elements
    for name in ("value", "key", "metric", "reason", "device", "kind", "question", "notes", "title", "words", "border"):
        assert f"{name}1" in "|".join(harmless.texts)
        assert f"{name}{evil}" in "|".join(page.texts)
    drawn = [{**one, "choices": []} for one in page.data["figures"]]  # the names of choices are HTML's
    plots = [*markup(drawn), *markup({**page.data["curves"], "metrics": []})]
    for name in ("value", "key", "metric", "class", "feature"):
        assert any(f"{name}&lt;/script&gt;" in text for text in plots)
    assert not [text for text in plots if re.search(r"<(?!br>)", text.removesuffix("<extra></extra>"))]


def test_the_page_needs_nothing_from_elsewhere(study, outputs):
    found = page(outputs)
    assert found.links
    assert all(re.match(r"#|data:,$|[\w.%-]+/$", link) for link in found.links)
    assert ("meta", ["content", "http-equiv"]) in found.elements


def test_a_torn_line_and_runs_without_a_metric_are_told(study, outputs):
    folders = sorted(path.parent for path in outputs.glob("demo/*/metrics.csv"))
    with (folders[0] / "metrics.csv").open("a") as file:
        file.write("5,0.")
    (folders[1] / "metrics.csv").write_text("epoch,val/loss\n0,what\n")
    (folders[2] / "metrics.csv").write_text("epoch,val/auroc\n0,0.5\n")
    (outputs / "demo" / "torn").mkdir()
    (outputs / "demo" / "torn" / "run.json").write_text('{"schema": 2, ')
    found = page(outputs)
    text = " ".join(found.texts)
    assert "1 metrics.csv end within a line" in text
    assert "1 metrics.csv cannot be read" in text
    assert "1 records are left out" in text
    assert found.data["curves"]["metrics"] == ["val/loss", "val/auroc"]


def test_a_study_without_a_result_has_a_report(write_run, outputs):
    write_run(lr=0.1, seed=0, status="failed", fields={"reason": "OSError: full"})
    found = page(outputs)
    assert ["failed", "OSError: full", "1"] in [row[:3] for row in found.rows]
    assert found.data["figures"] == []


@pytest.mark.slow
def test_a_thousand_runs_fit_in_eight_megabytes(write_run, outputs):
    rng = np.random.default_rng(0)
    for optimizer in ("adam", "sgd", "rmsprop", "nesterov"):
        for init in ("xavier", "kaiming", "normal", "zeros"):
            for lr in np.geomspace(1e-4, 1, 8).tolist():
                for seed in range(8):
                    values = rng.uniform(size=100)
                    folder = write_run(values.min(), optimizer=optimizer, init=init, lr=lr, seed=seed)
                    curve(folder, values)
    page(outputs)
    assert (outputs / "demo" / "report.html").stat().st_size < 8_000_000
