"""The last table: in which order the framework really calls things, beside the order of the lesson."""

from glassbox.explain.table import Row, Table
from glassbox.replay.step import Step

# The five lines of a loop by hand, in its order, and how each looks among the events of a step.
LESSON = (
    ("optimizer.zero_grad()", "optimizer.zero_grad()"),
    ("logits = model(x); loss = criterion(logits, y)", "loss = training_step(batch)"),
    ("loss.backward()", "loss.backward()"),
    ("optimizer.step()", "optimizer.step(): update"),
)


def order(step: Step) -> Table:
    """Return what was called, in order, with the line of the lesson's loop that does the same.

    Args:
        step: The recorded step.
    """
    numbers = {event: f"{position + 1}. {line}" for position, (line, event) in enumerate(LESSON)}
    rows = [Row((str(position + 1), event, numbers.get(event, ""))) for position, event in enumerate(step.events)]
    return Table(
        "The order in which Lightning calls things",
        ("#", "Lightning", "the lesson's loop"),
        rows,
        note=(
            "Lightning computes the loss before it clears the gradients, both inside optimizer.step(closure). It comes "
            "to the same, since backward() follows both."
        ),
    )
