"""The report at the end of a sweep, and what compare.py --report and --png write."""

import json
import re

import pytest

from glassbox.config.comparison import _parser, compare
from glassbox.errors import BadInput

SMALL = ["data=moons", "data.samples=50", "batch_size=10", "max_epochs=2", "logger=csv", "study=mine"]
FAULT = ["+callbacks.fault._target_=mine.fault.Fault", "+callbacks.fault.seed=${seed}", "launcher=basic"]


def run(*words):
    return compare(_parser().parse_args(words))


@pytest.mark.slow
def test_a_sweep_that_fails_ends_with_a_report(multirun, faults, outputs, capsys):
    code, _ = multirun(*SMALL, *FAULT, "+callbacks.fault.raises=1", "seed=0,1")
    path = outputs / "mine" / "report.html"
    assert code == 1
    assert re.search(r"^report +outputs/mine/report\.html$", capsys.readouterr().out, re.MULTILINE)
    page = path.read_text()
    assert "1 finished, 1 failed" in page
    assert '<td class="failed">failed</td>' in page
    assert "-m data=moons" in page


@pytest.mark.slow
def test_the_report_of_a_sweep_has_the_numbers_of_the_table(multirun, outputs, capsys):
    code, made = multirun(*SMALL, "lr=0.01,0.1", "seed=0,1")
    assert code == 0
    page = (outputs / "mine" / "report.html").read_text()
    capsys.readouterr()
    run("mine")
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if re.match(r"[12] ", line)]
    cells = re.findall(r"<td>(.*?)</td>", page)
    assert len(lines) == len(made) / 2 == 2
    for line in lines:
        assert " ".join(line[2:5]) in cells  # mean ± half
    run("mine", "--json", "-")
    for group in json.loads(capsys.readouterr().out)["groups"]:
        assert any(re.match(r"[\d.]+ ± ", cell) and float(cell.split()[0]) == pytest.approx(group["val/loss"], abs=5e-3)
                   for cell in cells)  # fmt: skip


@pytest.mark.slow
def test_without_a_report_a_sweep_is_the_same(multirun, outputs, monkeypatch, capsys):
    code, _ = multirun(*SMALL, "seed=0,1", "report=false")
    assert (code, (outputs / "mine" / "report.html").exists()) == (0, False)
    capsys.readouterr()
    (outputs / "mine" / "report.html").mkdir()
    code, made = multirun(*SMALL, "seed=2,3")
    assert (code, len(made)) == (0, 2)
    assert "Warning: there is no report: IsADirectoryError" in capsys.readouterr().err


def test_compare_writes_the_report_and_says_where(write_run, outputs, capsys, tmp_path):
    for study, value in (("demo", 0.1), ("more", 0.2)):
        write_run(value, study=study, lr=value, seed=0)
    run("demo", "--report")
    assert capsys.readouterr().out.strip() == "outputs/demo/report.html"
    with pytest.raises(BadInput, match=r"^--report: of several studies, name the file: --report FILE$"):
        run("demo", "more", "--report")
    run("demo", "more", "--report", str(tmp_path / "both.html"))
    assert "<h1>demo, more</h1>" in (tmp_path / "both.html").read_text()


def test_a_place_that_cannot_be_written_is_told(write_run, outputs, tmp_path):
    write_run(0.1, lr=0.1, seed=0)
    (tmp_path / "file").touch()
    for word in ("--report", "--png"):
        place = str(tmp_path / "file" / "x")
        with pytest.raises(BadInput, match=rf"^Cannot write {re.escape(place)}: "):
            run("demo", word, place)
