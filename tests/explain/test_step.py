"""The step's table: names for what flows, formulas in these names, and numbers that are torch's."""

import io
import json

import pytest
import torch
from rich.console import Console
from torch import nn

from glassbox.config.compose import composed, task_values
from glassbox.config.explanation import record_step
from glassbox.config.job import prepare
from glassbox.config.place import CONF
from glassbox.errors import BadInput
from glassbox.explain.explanation import Explanation
from glassbox.explain.formula import named
from glassbox.explain.order import order
from glassbox.explain.parameter import parameters
from glassbox.explain.show import as_cells, print_explanation, to_json, verdict
from glassbox.explain.step import number, step_table, worst
from glassbox.explain.table import Row, Table
from glassbox.replay.audit import audit
from glassbox.replay.check import Check, Grade

OPTIONS = {"step": 0, "checkpoint": None}


def audited(*overrides, step=0):
    values = task_values(composed(CONF, "train", ["trainer=cpu", "logger=none", *overrides]))
    return audit(record_step(prepare(values, values), OPTIONS | {"step": step}))


def rows(audit, sample=0):
    return [(*row.cells, row.check and row.check.grade) for row in step_table(audit, sample).rows]


def test_what_flows_has_the_letters_of_the_lesson():
    calls = named(audited().calls)
    assert [(name.line, name.forward) for name in calls] == [
        ("a = net.fc1(x)", "a = x W' + b"),
        ("h = net.relu(a)", "h = max(a, 0)"),
        ("z = net.fc2(h)", "z = h W' + b"),
        ("loss = loss(z, y)", "loss = mean[(1 - y) z - log s(z)]"),
    ]
    assert [name.backward for name in calls] == [
        "dx = da W",
        "da = dh where a > 0",
        "dh = dz W",
        "dz = (s(z) - y) / n",
    ]


def test_letters_that_several_layers_need_are_numbered():
    calls = named(audited("model=mlp", "model.activation=tanh", "data=digits").calls)
    assert [name.forward for name in calls] == [
        "a1 = x W' + b",
        "h1 = tanh(a1)",
        "a2 = h1 W' + b",
        "h2 = tanh(a2)",
        "z = h2 W' + b",
        "loss = mean[log sum exp(z) - z[y]]",
    ]
    assert calls[1].backward == "da1 = dh1 (1 - h1^2)"
    assert [calls[2].parameter(key) for key in ("weight", "bias")] == ["dW = da2' h1", "db = sum of da2"]
    assert calls[4].backward == "dh2 = dz W"


def test_the_numbers_of_a_row_are_those_of_autograd():
    found = audited("seed=3")
    x, y = found.step.batch
    net = found.step.module.net
    z = net(x).detach().requires_grad_()
    nn.functional.binary_cross_entropy_with_logits(z, y).backward()
    told = {line[1]: line[2] for line in rows(found, sample=7)}
    assert told["dz = (s(z) - y) / n"] == f"dz[7,0] = {z.grad[7, 0].item():+.6f}"
    assert told["z = h W' + b"] == f"z[7,0] = {z[7, 0].item():+.6f}"
    assert (
        told["dW = da' x"] == f"net.fc1.weight.grad[0,0] = {found.step.gradients['net.fc1.weight'][0, 0].item():+.6f}"
    )


def test_batches_that_add_up_are_told():
    found = audited("trainer.accumulate_grad_batches=4")
    lines = rows(found)
    assert lines[0][2] == "kept: batch 4 of 4 is added"
    x, y = found.step.batch
    z = found.step.module.net(x)
    told = f"dz[0,0] = {((torch.sigmoid(z) - y) / len(x) / 4)[0, 0].item():+.6f}"
    assert ("loss.backward()", "dz = (s(z) - y) / n / 4 batches", told, None) in lines
    assert {line[3] for line in lines} <= {Grade.EXACT, None}
    assert found.step.stepped


def test_clipping_has_a_row_with_the_norms():
    found = audited("trainer.gradient_clip_val=0.05")
    (row,) = [line for line in rows(found) if line[0] == "clip by norm"]
    norm = torch.cat([g.flatten() for g in found.step.gradients.values()]).norm().item()
    assert row[1:] == ("g *= min(1, 0.05 / |g|)", f"|g| {norm:.6f} → 0.050000", Grade.EXACT)


def test_more_than_twelve_parameters_share_a_row():
    lines = rows(audited("model=mlp", "model.depth=8", "model.hidden=4"))
    assert ("", "", "and 6 more parameters", Grade.EXACT) in lines
    assert len(lines) < 60


def test_a_row_of_the_batch_that_is_not_there():
    with pytest.raises(BadInput, match=r"^sample=32: the batch has 32 rows, 0 to 31$"):
        step_table(audited(), sample=32)


def test_the_second_table_has_the_norms_and_the_ratio():
    found = audited("optimizer=sgd", "lr=0.1", "seed=2")
    for name, row in zip(found.step.after, parameters(found).rows, strict=True):
        before, after, grad = (getattr(found.step, kind)[name] for kind in ("before_update", "after", "clipped"))
        size, moved = before.norm().item(), (after - before).norm().item()
        assert row.cells[0] == name
        assert [float(cell) for cell in row.cells[2:5]] == pytest.approx([size, grad.norm().item(), moved], rel=1e-3)
        assert float(row.cells[5]) == pytest.approx(moved / size, rel=1e-2)
        assert moved == pytest.approx(0.1 * grad.norm().item(), rel=1e-4)  # SGD: p -= lr g


def test_lightnings_order_has_the_lessons_lines_in_it():
    table = order(audited().step)
    lessons = [row.cells[2] for row in table.rows if row.cells[2]]
    assert [line[0] for line in lessons] == ["2", "1", "3", "4"]
    assert table.rows[0].cells[1] == "on_train_batch_start"


def test_the_worst_of_some_checks():
    exact, rough, fine = Check(Grade.EXACT), Check(Grade.FD, error=1e-6), Check(Grade.FD, error=1e-9)
    unknown, wrong = Check(Grade.NOT_CHECKED, "why"), Check(Grade.DISAGREES, "cause", 1.0)
    assert worst({"a": exact, "b": fine, "c": rough}) is rough
    assert worst({"a": unknown, "b": rough}) is unknown
    assert worst({"a": wrong, "b": unknown}) is wrong


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.tensor(0.25), " = 0.250000"),
        (torch.tensor([[1.0, 2.0]]), "[0,0] = +1.000000"),  # one row for the whole batch, such as a position's
        (torch.arange(8.0).reshape(4, 2), "[3,0] = +6.000000"),
        (torch.zeros(0, 2), " has no numbers"),
    ],
)
def test_a_number_with_its_place(value, text):
    assert number(value, 3) == text


def shown():
    checked = [
        Check(Grade.EXACT),
        Check(Grade.NOT_CHECKED, "no hand rule for [x]"),
        Check(Grade.DISAGREES, "cause", 0.5),
    ]
    table = Table(
        "T [1]", ("line", "number", "by hand vs torch"), [Row((f"l{i}", "n"), c) for i, c in enumerate(checked)]
    )
    return Explanation(
        "title", [table, Table("U", ("a", "b"), [Row(("1", "2"))], note="note")], ["seen"], [("f:1", "x = 1")]
    )


def test_the_terminal_shows_grades_reasons_and_the_verdict():
    to = Console(file=io.StringIO(), width=120)
    print_explanation(shown(), to)
    text = to.file.getvalue()
    for part in (
        "T [1]",
        "EXACT",
        "DISAGREES 5e-01",
        "NOT CHECKED: no hand rule for [x]",
        "DISAGREES: cause",
        "seen",
        "x = 1",
    ):
        assert part in text
    assert text.rstrip().endswith("1 EXACT, 1 NOT CHECKED, 1 DISAGREES: 1 row disagrees with torch")
    assert not shown().agrees


def test_json_and_cells_say_the_same():
    told = json.loads(json.dumps(to_json(shown()), allow_nan=False))
    assert told["grades"] == {"EXACT": 1, "FD": 0, "NOT CHECKED": 1, "DISAGREES": 1}
    assert told["tables"][0]["rows"][2] == {"cells": ["l2", "n"], "grade": "DISAGREES", "reason": "cause", "error": 0.5}
    columns, lines = as_cells(shown().tables[0])
    assert columns == ["line", "number", "by hand vs torch"]
    assert lines[1] == ["l1", "n", "NOT CHECKED: no hand rule for [x]"]
    assert as_cells(shown().tables[1])[1] == [["1", "2"]]
    assert "no row disagrees" in verdict(Explanation("t", [Table("T", ("a", "b"), [Row(("1",), Check(Grade.EXACT))])]))
