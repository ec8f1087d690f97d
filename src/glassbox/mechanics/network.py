"""A chain of layers by hand: forward keeps what backward needs, backward applies the chain rule from the end."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

Parameters = Mapping[str, Tensor]  # "fc1.weight" → tensor, as in dict(net.named_parameters())


class Layer(Protocol):
    """What every file in `glassbox.mechanics.layer` has; y = forward(x, **parameters)."""

    @property
    def forward(self) -> Callable[..., Tensor]:
        """(x, **parameters) → y."""

    @property
    def backward(self) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
        """(∂L/∂y, x, y, **parameters) → (∂L/∂x, {name: ∂L/∂parameter})."""


class Chain:
    r"""Layers one after another; the parameters stay outside, so a chain is the same before and after an update.

    For layers f₁ … fₙ, x₀ the input and L a loss of xₙ:

    .. math::
        x_i = f_i(x_{i-1}, θ_i),   ∂L/∂x_{i-1} = (∂x_i / ∂x_{i-1})^T ∂L/∂x_i,   ∂L/∂θ_i = (∂x_i / ∂θ_i)^T ∂L/∂x_i

    Args:
        layers: Name and layer, first to last. The parameters of the layer `fc1` are those named `fc1.…`; a lone
            layer may have the empty name. A name may occur twice: the layer is shared, and its gradients add up.

    Example:
        Two inputs, one hidden unit, all five numbers 1, on one sample:

        >>> import torch
        >>> from glassbox.mechanics.layer import linear, relu
        >>> net = Chain([("fc1", linear), ("relu", relu), ("fc2", linear)])
        >>> shapes = {"fc1.weight": (1, 2), "fc1.bias": (1,), "fc2.weight": (1, 1), "fc2.bias": (1,)}
        >>> parameters = {name: torch.ones(shape) for name, shape in shapes.items()}
        >>> tape = net.forward(parameters, torch.tensor([[2.0, 3.0]]))
        >>> [x.tolist() for x in tape]
        [[[2.0, 3.0]], [[6.0]], [[6.0]], [[7.0]]]
        >>> gradients = net.backward(parameters, tape, torch.tensor([[1.0]]))
        >>> {name: gradient.tolist() for name, gradient in gradients.items()}
        {'fc1.weight': [[2.0, 3.0]], 'fc1.bias': [1.0], 'fc2.weight': [[6.0]], 'fc2.bias': [1.0]}
    """

    def __init__(self, layers: Sequence[tuple[str, Layer]]) -> None:
        self.layers = tuple(layers)

    def forward(self, parameters: Parameters, x: Tensor) -> list[Tensor]:
        """Return the tape [x₀, …, xₙ]: the input, and every layer's output.

        Args:
            parameters: Parameter name → tensor.
            x: x₀ [B, D].
        """
        tape = [x]
        for name, layer in self.layers:
            tape.append(layer.forward(tape[-1], **_of(name, parameters)))
        return tape

    def backward(self, parameters: Parameters, tape: Sequence[Tensor], grad: Tensor) -> dict[str, Tensor]:
        """Return parameter name → ∂L/∂parameter, in the order of the layers.

        Args:
            parameters: What `forward` was given.
            tape: What it returned.
            grad: ∂L/∂xₙ.
        """
        gradients: dict[str, Tensor] = {}
        for (name, layer), x, y in reversed(list(zip(self.layers, tape[:-1], tape[1:], strict=True))):
            grad, found = layer.backward(grad, x, y, **_of(name, parameters))
            new = {f"{name}.{key}".lstrip("."): gradient for key, gradient in found.items()}
            shared = {key: gradients[key] + new[key] for key in new if key in gradients}
            gradients = new | gradients | shared
        return gradients


def _of(name: str, parameters: Parameters) -> dict[str, Any]:
    """Return the parameters of one layer by their own names."""
    return {key.removeprefix(f"{name}."): p for key, p in parameters.items() if key.rpartition(".")[0] == name}
