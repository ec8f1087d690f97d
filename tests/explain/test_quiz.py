"""The quiz: three questions whose right answers are the numbers of a recorded step, asked or just told."""

import io

import pytest
import torch
from rich.console import Console

from glassbox.config.compose import composed, task_values
from glassbox.config.job import prepare
from glassbox.config.place import CONF
from glassbox.explain.quiz import LETTERS, Question, ask, questions
from glassbox.explain.table import Row, Table
from glassbox.replay.audit import Audit, audit
from glassbox.replay.check import Check, Grade
from glassbox.training.recorder import Recorder


def audited(*overrides, batch=0):
    """Return the audit of one batch of a job of the project, as the Trainer makes it."""
    values = task_values(composed(CONF, "train", ["logger=none", "trainer=cpu", "callbacks=none", *overrides]))
    job, found = prepare(values, values), []
    job.trainer.callbacks.append(Recorder(found.append, when=lambda _, batch_idx: batch_idx == batch))
    job.trainer.fit_loop.max_epochs = 1
    job.trainer.fit(job.module, datamodule=job.datamodule)
    return audit(found[0])


@pytest.fixture
def live():
    return audited("lr=1e-3")


def test_every_question_has_three_choices_and_one_answer(live):
    asked = questions(live)
    assert len(asked) == 3
    assert len({question.text for question in asked}) == 3
    assert {question.answer for question in asked} == {0, 1, 2}  # no letter is right twice
    for question in asked:
        assert len(set(question.choices)) == 3
        assert question.evidence.rows
        assert all(row.check is None or row.check.grade is Grade.EXACT for row in question.evidence.rows)


def test_the_first_answer_is_what_by_hand_and_torch_have_in_common(live):
    question = questions(live)[0]
    loss, gradient, gradients, updates = question.evidence.rows
    assert loss.cells[1] == loss.cells[2] == f"{float(live.step.loss):.6f}"
    assert gradient.cells[0].startswith("net.fc1.weight.grad[")
    assert gradient.cells[1] == gradient.cells[2]
    assert gradients.cells[1] == updates.cells[1] == "4 tensors: 4 EXACT"
    assert question.why.startswith("Of 9 comparisons with this step, 9 EXACT. ")


def test_the_second_answer_is_a_parameter_before_and_after(live):
    before, after, stepped = questions(live)[1].evidence.rows
    assert [row.cells[1] for row in (before, after)] == ["None", stepped.cells[1]]
    assert float(after.cells[1]) != 0.0
    assert before.cells[2] == after.cells[2] != stepped.cells[2]
    moved = float(stepped.cells[2]) - float(after.cells[2])  # Adam's first step: lr against the gradient's sign
    assert moved == pytest.approx(-1e-3 if float(after.cells[1]) > 0 else 1e-3, abs=2e-6)


def test_the_third_answer_is_a_doubled_gradient(live):
    once, twice, again = questions(live)[2].evidence.rows
    name, _, place = questions(live)[2].evidence.columns[1].partition(".grad")
    index = tuple(int(i) for i in place.strip("[]").split(","))
    gradient = float(live.step.gradients[name][index])
    assert once.cells[1] == again.cells[1] == f"{gradient:+.6f}"
    assert twice.cells[1] == f"{2 * gradient:+.6f} = 2 × {gradient:+.6f}"


def test_the_generators_stay_as_they_are(live):
    state = torch.get_rng_state()
    questions(live)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_batch_that_only_adds_up_has_no_update():
    found = audited("trainer.accumulate_grad_batches=2")
    assert not found.step.stepped
    rows = questions(found)[1].evidence.rows
    assert [row.cells[0] for row in rows] == ["before loss.backward()", "after loss.backward()"]
    assert [row.cells[0] for row in questions(found)[0].evidence.rows][-1] == "every gradient"


def test_a_gradient_that_was_kept_is_shown():
    found = audited("trainer.accumulate_grad_batches=2", batch=1)
    before, after, stepped = questions(found)[1].evidence.rows
    assert float(before.cells[1]) != 0.0
    assert before.cells[1] != after.cells[1] == stepped.cells[1]


def test_a_clipped_gradient_is_shown_where_it_is_used():
    found = audited("trainer.gradient_clip_val=0.01")
    rows = questions(found)[1].evidence.rows
    name, _, place = questions(found)[1].evidence.columns[2].partition("[")
    index = tuple(map(int, place.strip("]").split(",")))
    told = [f"{float(made[name][index]):+.6f}" for made in (found.step.gradients, found.step.clipped)]
    assert [row.cells[1] for row in rows] == ["None", *told]
    assert told[0] != told[1]


def test_what_has_no_hand_rule_is_not_called_equal():
    found = audited("model=mlp", "model.batch_norm=true")
    rows = questions(found)[0].evidence.rows
    gradients = next(row for row in rows if row.cells[0] == "every gradient")
    assert "FD" in gradients.cells[1]
    assert gradients.check.grade is Grade.FD
    assert " FD. torch adds no mathematics" in questions(found)[0].why


def test_a_disagreement_is_shown(live):
    live.updates["net.fc1.bias"] = Check(Grade.DISAGREES, "wrong lr", 0.1)
    question = questions(live)[0]
    assert question.evidence.rows[-1].cells[1] == "4 tensors: 3 EXACT, 1 DISAGREES"
    assert question.evidence.rows[-1].check.reason == "wrong lr"
    assert "8 EXACT, 1 DISAGREES" in question.why


def test_a_step_without_a_loss_has_no_numbers(live):
    live.step.refused, live.step.loss, live.step.gradients = "it is compiled", None, {}
    asked = questions(Audit(live.step))
    assert [len(question.evidence.rows) for question in asked] == [0, 0, 0]
    assert asked[0].why.startswith("Of 0 comparisons with this step, none")


@pytest.fixture
def asked():
    table = Table("Evidence", ("what", "by hand vs torch"), [Row(("one [x]",), Check(Grade.EXACT))])
    return [Question(f"Question {i} [y]?", ("one", "two", "three"), i, f"Because {i}.", table) for i in range(3)]


def printed(asked, answers):
    to = Console(file=io.StringIO(), width=100)
    given = iter(answers or "")
    right = ask(asked, to, None if answers is None else lambda _: next(given))
    return right, to.file.getvalue()


def test_asks_and_counts(asked):
    right, text = printed(asked, ["a", "a", "c"])
    assert right == 2
    assert text.count("Right.") == 2
    assert text.count("No, it is b. Because 1.") == 1
    assert text.count("one [x]") == 3
    assert text.strip().endswith("2 of 3 right.")


@pytest.mark.parametrize(("answers", "right"), [("abc", 3), ("bca", 0)])
def test_right_is_right_and_wrong_is_wrong(asked, answers, right):
    assert printed(asked, answers)[0] == right


def test_asks_again_for_what_is_no_choice(asked):
    assert printed(asked[:1], ["d", "", "ab", " A "])[0] == 1


def test_asks_nothing_where_nobody_answers(asked):
    right, text = printed(asked, None)
    assert right == 0
    assert [f"{letter}: Because {i}." in text for i, letter in enumerate(LETTERS)] == [True] * 3
    assert "Question 0 [y]?" in text
    assert "right" not in text
