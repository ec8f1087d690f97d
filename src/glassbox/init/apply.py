"""Initialise a whole net with one initialiser and one seed."""

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from glassbox.errors import BadInput


@torch.no_grad()
def apply(net: nn.Module, initialise: Callable[..., Tensor], seed: int) -> None:
    """Initialise the weight of every layer of a net; the biases of these layers become 0.

    A layer is any module with a parameter `weight` of at least two axes: Linear, Conv, Embedding. Scales and shifts of
    norms stay as they are. Weights are drawn in the order of `net.modules()` from one generator, which no other draw
    touches: the same net, initialiser and seed give the same weights, whatever ran before.

    Args:
        net: The net; changed in place.
        initialise: Called as `initialise(weight, generator=generator)`; one that draws nothing may lack `generator`,
            such as `torch.nn.init.ones_`.
        seed: Seed of the generator.

    Raises:
        BadInput: No layer has such a weight, or the initialiser refuses its hyper-parameters or gives NaN or inf.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> apply(net, nn.init.ones_, seed=0)
        >>> net.weight.tolist(), net.bias.tolist()
        ([[1.0, 1.0]], [0.0])
    """
    generator = torch.Generator().manual_seed(seed)
    draws = {"generator": generator} if "generator" in inspect.signature(initialise).parameters else {}
    layers = [layer for layer in net.modules() if _has_weight(layer)]
    if not layers:
        raise BadInput(f"init: {type(net).__name__} has no layer whose weight could be set; use init=default")
    for layer in layers:
        weight, bias = layer.weight, getattr(layer, "bias", None)
        assert isinstance(weight, nn.Parameter)
        try:
            initialise(weight, **draws)
        except RuntimeError as error:
            raise BadInput(f"init: {' '.join(str(error).split())}") from error
        if not bool(torch.isfinite(weight).all()):
            raise BadInput("init: gives weights that are not finite; look at its gain, mean and std")
        if isinstance(bias, Tensor):
            nn.init.zeros_(bias)


def _has_weight(layer: nn.Module) -> bool:
    weight = layer._parameters.get("weight")
    return weight is not None and weight.dim() >= 2
