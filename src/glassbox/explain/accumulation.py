"""What `backward()` does to `p.grad`, and `zero_grad()` after it: gradients add up until they are cleared."""

from collections.abc import Iterator

from glassbox.explain.element import element, telling
from glassbox.explain.passes import NO_LOSS, passes
from glassbox.explain.table import Row
from glassbox.replay.check import Check, Grade
from glassbox.replay.step import Step


def accumulation(step: Step) -> Iterator[Row]:
    """Yield the rows on backward, which adds to p.grad and moves nothing, and on zero_grad, which leaves None.

    Args:
        step: The recorded step.
    """
    lines = (
        ("loss.backward(), twice", "grad += new: what is not cleared adds up"),
        ("optimizer.zero_grad()", "grad ← None, not 0: step() skips what has None"),
        ("loss.backward()", "fills p.grad, leaves p alone"),
    )
    made = passes(step)
    if made is None:
        yield from (Row((*line, "–"), Check(Grade.NOT_CHECKED, step.refused or NO_LOSS)) for line in lines)
        return
    name, place = telling(made.once)
    once, twice, again = (f"{float(grad[name][place]):+.6f}" for grad in (made.once, made.twice, made.again))
    yield Row((*lines[0], f"{element(name, place, '.grad')} = {once}, then {twice}"), made.doubled)
    left = len(made.once) - made.left
    yield Row((*lines[1], f"{left} of {len(made.once)} tensors have None; then backward() gives {again}"), made.cleared)
    total = sum(p.numel() for p in step.module.parameters())
    told = f"{made.moved} of {total} numbers moved by backward()"
    if step.stepped:
        changed = sum(int((step.after[name] != p).sum()) for name, p in step.before_update.items())
        told = f"{told}, {changed} by optimizer.step()"
    yield Row((*lines[2], told), made.still)
