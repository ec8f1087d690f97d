"""Three questions about a training step, each answered by the numbers of a live one."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

from glassbox.explain.element import element, telling
from glassbox.explain.passes import passes
from glassbox.explain.show import print_table
from glassbox.explain.step import worst
from glassbox.explain.table import Row, Table
from glassbox.replay.audit import Audit
from glassbox.replay.check import Check, Grade
from glassbox.replay.compare import dense

LETTERS = "abc"
LAST = "by hand vs torch"


@dataclass(frozen=True)
class Question:
    """A question with three choices.

    Attributes:
        text: The question.
        choices: Three answers, one of them right.
        answer: The index of the right one.
        why: Why it is right, in a sentence or two.
        evidence: The numbers of the step that show it.
    """

    text: str
    choices: tuple[str, str, str]
    answer: int
    why: str
    evidence: Table


def questions(audit: Audit) -> list[Question]:
    """Return the three questions, answered by the numbers of a step.

    Args:
        audit: The audited step.
    """
    return [_framework(audit), _backward(audit), _clearing(audit)]


def ask(asked: Sequence[Question], console: Console, answer: Callable[[str], str] | None = None) -> int:
    """Ask questions, and show the answer of each.

    Args:
        asked: The questions.
        console: Where to print them.
        answer: Called with a prompt, returns a, b or c; None shows each answer at once.

    Returns:
        How many were answered right.
    """
    right = 0
    for number, question in enumerate(asked, 1):
        console.print(f"\n[bold]{number}. {escape(question.text)}[/bold]")
        for letter, choice in zip(LETTERS, question.choices, strict=True):
            console.print(f"   {letter}) {escape(choice)}")
        correct = LETTERS[question.answer]
        if answer is None:
            console.print(f"\n[green]{correct}[/green]: {escape(question.why)}")
        else:
            given = ""
            while given not in tuple(LETTERS):
                given = answer("a, b or c").strip().lower()
            right += given == correct
            told = "[green]Right.[/green]" if given == correct else f"[red]No, it is {correct}.[/red]"
            console.print(f"\n{told} {escape(question.why)}")
        print_table(question.evidence, console)
    if answer is not None:
        console.print(f"\n{right} of {len(asked)} right.")
    return right


def _framework(audit: Audit) -> Question:
    """Ask what torch spares; the answer is what by hand and torch have in common."""
    checks, rows = [*audit.gradients.values(), *audit.updates.values()], []
    for call in audit.calls:
        if call.produced and call.formula and call.output is not None:
            told = f"{float(call.output):.6f}"
            rows.append(Row(("loss", told if call.check.grade is Grade.EXACT else "–", told), call.check))
            checks.append(call.check)
    for name, gradient in audit.step.gradients.items():
        if name in audit.by_hand and name in audit.gradients:
            place = telling({name: dense(gradient)})[1]
            hand, torchs = (f"{float(dense(given)[place]):+.6f}" for given in (audit.by_hand[name], gradient))
            rows.append(Row((element(name, place, ".grad"), hand, torchs), audit.gradients[name]))
            break
    for what, found in (("every gradient", audit.gradients), ("every update", audit.updates)):
        if found:
            rows.append(Row((what, f"{len(found)} tensors: {_grades(found.values())}", ""), worst(found)))
    return Question(
        "This step was made by torch, and again by formulas written out where there are any. What is torch for?",
        (
            "It finds better gradients than the chain rule on paper does",
            "It keeps the books: the formulas' results, without writing them out for every net",
            "It takes longer steps than the formulas, and so learns in fewer of them",
        ),
        1,
        f"Of {len(checks)} comparisons with this step, {_grades(checks)}. torch adds no mathematics: it registers "
        "what is to be learnt, records what is computed, and derives the gradients from that.",
        Table("The same step, twice", ("number", "by hand", "torch", LAST), rows),
    )


def _grades(checks: Iterable[Check]) -> str:
    """Count checks by grade, as in `7 EXACT, 2 FD`."""
    counts = Counter(check.grade for check in checks)
    return ", ".join(f"{counts[grade]} {grade}" for grade in Grade if counts[grade]) or "none"


def _backward(audit: Audit) -> Question:
    """Ask what backward changes; the answer is a gradient and its parameter at three moments."""
    step, rows, columns = audit.step, [], ("moment", "p.grad", "p", LAST)
    gradients = {name: dense(gradient) for name, gradient in step.gradients.items()}
    if gradients:
        name, place = telling(gradients)
        columns = ("moment", element(name, place, ".grad"), element(name, place), LAST)
        start = dict(step.module.named_parameters())[name].detach()
        before = f"{float(dense(step.stale[name])[place]):+.6f}" if name in step.stale else "None"
        after = f"{float(gradients[name][place]):+.6f}"
        kept, moved = (made.get(name, start)[place] for made in (step.before_update, step.after))
        rows = [
            Row(("before loss.backward()", before, f"{float(start[place]):+.6f}")),
            Row(("after loss.backward()", after, f"{float(kept):+.6f}"), audit.moved),
        ]
        if name in audit.updates:
            given = f"{float(dense(step.clipped.get(name, gradients[name]))[place]):+.6f}"
            rows.append(Row(("after optimizer.step()", given, f"{float(moved):+.6f}"), audit.updates[name]))
    return Question(
        "loss.backward() has returned, and nothing else was called. What is new?",
        (
            "p.grad holds the slope of the loss along every parameter p",
            "Every parameter p has moved a little down the slope",
            "The loss is lower than before",
        ),
        0,
        "backward() goes through the recorded operations in reverse, by the chain rule, and leaves slopes in p.grad. "
        "The parameters stay the same numbers until optimizer.step() uses them.",
        Table("One parameter on its way through the step", columns, rows),
    )


def _clearing(audit: Audit) -> Question:
    """Ask what a forgotten zero_grad does; the answer is the doubled gradient."""
    made, rows, watched = passes(audit.step), [], "p.grad"
    if made is not None:
        name, place = telling(made.once)
        watched = element(name, place, ".grad")
        once, twice, again = (f"{float(grad[name][place]):+.6f}" for grad in (made.once, made.twice, made.again))
        rows = [
            Row(("backward() once", once)),
            Row(("backward() again, nothing cleared", f"{twice} = 2 × {once}"), made.doubled),
            Row(("zero_grad(), then backward()", again), made.cleared),
        ]
    return Question(
        "A loop leaves optimizer.zero_grad() out. Which gradient does its second step follow?",
        (
            "That of its own batch: backward() overwrites p.grad",
            "None: backward() refuses to run twice",
            "The sum of both batches' gradients: backward() adds to p.grad",
        ),
        2,
        "backward() adds, so that gradients of several batches can be gathered on purpose. The same batch twice gives "
        "exactly twice the gradient; zero_grad() starts each step from none.",
        Table("The same batch twice", ("on a copy of the module", watched, LAST), rows),
    )
