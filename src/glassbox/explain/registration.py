"""Which parameters a module finds: what is set as an attribute, and not what a plain list hides."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from glassbox.explain.table import Row
from glassbox.replay.check import Check, Grade

SHOWN = 4  # parameters that are named


def registration(module: nn.Module) -> Iterator[Row]:
    """Yield the rows on which parameters are found, and which are not.

    Args:
        module: The module.
    """
    found, by_hand = dict(module.named_parameters()), registered(module)
    same = [*map(id, found.values())] == [*map(id, by_hand.values())] and list(found) == list(by_hand)
    check = Check(Grade.EXACT) if same else Check(Grade.DISAGREES, "named_parameters() gives other parameters")
    shown = [f"{name} {p.numel()}" for name, p in list(found.items())[:SHOWN]]
    shown += [f"{len(found) - SHOWN} more"] if len(found) > SHOWN else []
    told = f"{_count(found.values())} numbers in {len(found)} tensors: {', '.join(shown)}"
    yield Row(("model.parameters()", "finds what is set as an attribute", told), check)
    parts = layers(module)
    names = " and ".join(parts) if len(parts) < SHOWN else f"{next(iter(parts))} and {len(parts) - 1} more"
    plain, listed = nn.Module(), nn.Module()
    plain.layers = list(parts.values())  # type: ignore[assignment]
    listed.layers = nn.ModuleList(parts.values())
    seen, counted = _count(plain.parameters()), _count(listed.parameters())
    total = _count({id(p): p for part in parts.values() for p in registered(part).values()}.values())
    told = f"{names} in a plain list: {seen} of {total} numbers found; in an nn.ModuleList: {counted}"
    check = Check(Grade.DISAGREES, f"found {seen} and {counted} of {total} numbers")
    check = Check(Grade.EXACT) if (seen, counted) == (0, total) else check
    yield Row(("self.layers = [...]", "a plain list hides them; nn.ModuleList does not", told), check)


def registered(module: nn.Module) -> dict[str, nn.Parameter]:
    """Find parameters as registration does, by hand: what a module holds itself, then its children; each once.

    Args:
        module: The module.
    """
    found: dict[int, tuple[str, nn.Parameter]] = {}

    def walk(part: nn.Module, path: str) -> None:
        for key, parameter in part._parameters.items():
            if parameter is not None:
                found.setdefault(id(parameter), (path + key, parameter))
        for key, child in part._modules.items():
            if child is not None:
                walk(child, f"{path}{key}.")

    walk(module, "")
    return dict(found.values())


def unregistered(module: nn.Module) -> dict[str, int]:
    """Return how many numbers are in layers or parameters that a plain list, tuple or dict hides from `parameters()`.

    Args:
        module: The module; its submodules are searched, too.
    """
    known = {id(p) for p in module.parameters()}
    found = {}
    for owner, part in module.named_modules():
        for key, value in vars(part).items():
            items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            if key in ("_parameters", "_buffers", "_modules"):
                continue
            hidden = {
                id(p): p.numel()
                for item in items
                if isinstance(item, nn.Module | nn.Parameter)
                for p in (item.parameters() if isinstance(item, nn.Module) else (item,))
                if id(p) not in known
            }
            if hidden:
                found[f"{owner}.{key}".lstrip(".")] = sum(hidden.values())
    return found


def layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return the parts with parameters of the first module, from the top, that has two or more of them.

    Args:
        module: The module; two small layers stand in for one without layers.
    """
    path = ""
    while True:
        parts = {f"{path}{name}": part for name, part in module.named_children() if registered(part)}
        ((name, only),) = parts.items() if len(parts) == 1 else (("", nn.Module()),)
        if not any(registered(part) for part in only.children()):
            break
        module, path = only, f"{name}."
    with torch.device("meta"):  # draws no random numbers
        return parts or {"nn.Linear(2, 8)": nn.Linear(2, 8), "nn.Linear(8, 1)": nn.Linear(8, 1)}


def _count(parameters: Iterable[Tensor]) -> int:
    return sum(p.numel() for p in parameters)
