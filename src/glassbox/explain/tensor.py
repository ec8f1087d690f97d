"""The fourth table: every tensor on the way through the step, and whether it is recorded."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from glassbox.explain.formula import named
from glassbox.explain.passes import live_loss
from glassbox.explain.table import Row, Table
from glassbox.replay.audit import Audit
from glassbox.replay.step import Named


def tensors(audit: Audit) -> Table:
    """Return the table of every tensor on the way: the batch, what each layer made, the loss, the parameters.

    Args:
        audit: The audited step.
    """
    step, loss = audit.step, live_loss(audit.step)
    rows = [_tensor(name, tensor) for name, tensor in batch_tensors(step.batch).items()]
    for name in named(audit.calls):
        call = name.call
        shape = "no tensor" if call.output is None else _shape(call.output)
        rows.append(Row((name.line, shape, str(call.requires_grad), call.grad_fn or "None", call.device)))
    if loss is not None and not any(call.produced for call in audit.calls):
        rows.append(_tensor("loss", loss))
    rows += [_tensor(name, parameter) for name, parameter in step.module.named_parameters()]
    columns = ("tensor", "shape", "requires_grad", "grad_fn", "device")
    note = "grad_fn is the operation that backward() goes back through; a parameter has none: the way ends there."
    return Table("Every tensor on the way", columns, rows, note)


def batch_tensors(batch: Any, name: str = "batch") -> Named:
    """Return every tensor in a batch, named by its place, as in `batch[0]`.

    Args:
        batch: A tensor, or lists, tuples and mappings of tensors.
        name: The name of the whole.
    """
    if isinstance(batch, Tensor):
        return {name: batch}
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(batch, Mapping):
        items = batch.items()
    elif isinstance(batch, Sequence) and not isinstance(batch, str):
        items = enumerate(batch)
    return {key: t for place, part in items for key, t in batch_tensors(part, f"{name}[{place!r}]").items()}


def grad_fn(tensor: Tensor) -> str:
    """Return the name of the operation that made a tensor, as in `AddmmBackward0`; "None" where none is recorded.

    Args:
        tensor: The tensor.
    """
    return "None" if tensor.grad_fn is None else type(tensor.grad_fn).__name__


def _tensor(name: str, tensor: Tensor) -> Row:
    return Row((name, _shape(tensor), str(tensor.requires_grad), grad_fn(tensor), str(tensor.device)))


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "one number"
