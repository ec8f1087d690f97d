"""The fast layout: linear and elementwise layers in a row, by hand, for all members at once.

The member axis K is the innermost in memory, and every operation runs along it. N samples, B batch, D inputs and H
outputs of a layer, C outputs of the net, P parameters. The chain rule is that of `glassbox.mechanics.network`.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, fx, nn

from glassbox.mechanics import network

aten = torch.ops.aten
ROWS = 64  # that are evaluated at once
WIDEST = 256  # numbers of a weight; with more, products of matrices are faster, for which vmap has the layout

# Elementwise layer → (∂L/∂y, x, y, the layer) → ∂L/∂x, by torch's own kernels: a mask of booleans, as in
# `mechanics.layer.relu`, takes as long as all the rest of a step.
BACKWARD: dict[type[nn.Module], Callable[[Tensor, Tensor, Tensor, Any], Tensor]] = {
    nn.Identity: lambda grad, x, y, f: grad,
    nn.ReLU: lambda grad, x, y, f: aten.threshold_backward(grad, y, 0),
    nn.LeakyReLU: lambda grad, x, y, f: aten.leaky_relu_backward(grad, x, f.negative_slope, False),
    nn.ELU: lambda grad, x, y, f: aten.elu_backward(grad, f.alpha, 1, 1, False, x),
    nn.GELU: lambda grad, x, y, f: aten.gelu_backward(grad, x, approximate=f.approximate),
    nn.SiLU: lambda grad, x, y, f: aten.silu_backward(grad, x),
    nn.Tanh: lambda grad, x, y, f: aten.tanh_backward(grad, y),
    nn.Sigmoid: lambda grad, x, y, f: aten.sigmoid_backward(grad, y),
    nn.Softplus: lambda grad, x, y, f: aten.softplus_backward(grad, x, f.beta, f.threshold),
}


class Elementwise(NamedTuple):
    """A layer without parameters that looks at every number alone."""

    layer: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """Return y, and leave x as it is, even if the layer works in place."""
        y: Tensor = self.layer(x.clone() if getattr(self.layer, "inplace", False) else x)
        return y

    def backward(self, grad: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return ∂L/∂x, and no parameter's gradient."""
        return BACKWARD[type(self.layer)](grad, x, y, self.layer), {}


class Linear(NamedTuple):
    """y = x Wᵀ + b; x [B, D, K], W [H, D, K], b [H, K], y [B, H, K], and products of two of them [B, H, D, K]."""

    first: bool  # whether nobody asks for ∂L/∂x

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | float = 0.0) -> Tensor:
        """Return y."""
        return (x[:, None] * weight).sum(2) + bias

    def backward(
        self, grad: Tensor, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return ∂L/∂x, and the gradients by parameter name."""
        gradients = {"weight": (grad[:, :, None] * x[:, None]).sum(0)}
        if bias is not None:
            gradients["bias"] = grad.sum(0)
        return grad if self.first else (grad[:, :, None] * weight).sum(1), gradients


# The losses: mean losses [K] and their gradient [B, C, K], from outputs z and targets y [B, C, K].
def _bce_with_logits(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return ((1 - y) * z - nn.functional.logsigmoid(z)).mean((0, 1)), (torch.sigmoid(z) - y) / z[..., 0].numel()


def _mse(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return ((z - y) ** 2).mean((0, 1)), (z - y) * (2 / z[..., 0].numel())


def _cross_entropy(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    log_p = torch.log_softmax(z, 1)
    return -(y * log_p).sum(1).mean(0), (log_p.exp() - y) / len(z)


LOSSES = {nn.BCEWithLogitsLoss: _bce_with_logits, nn.MSELoss: _mse, nn.CrossEntropyLoss: _cross_entropy}
SETTINGS = {"reduction": "mean", "weight": None, "pos_weight": None, "ignore_index": -100}  # that these have


class Chain:
    """A net and its loss, if the net is a chain, as `Chain.of` tells; a `Net`.

    Example:
        >>> chain = Chain.of(nn.Sequential(nn.Linear(2, 1), nn.Tanh()), nn.MSELoss())
        >>> chain.output(torch.ones(3, 4), torch.ones(5, 2)).shape
        torch.Size([5, 1, 4])
    """

    def __init__(self, net: nn.Module, layers: list[tuple[str, nn.Module]], loss: nn.Module) -> None:
        self.names = [name for name, _ in net.named_parameters()]
        self.shapes = [p.shape for p in net.parameters()]
        forms = [Linear(i == 0) if type(f) is nn.Linear else Elementwise(f) for i, (_, f) in enumerate(layers)]
        self._chain = network.Chain([(name, form) for (name, _), form in zip(layers, forms, strict=True)])
        self._loss = LOSSES[type(loss)]
        self._smoothing: float | None = getattr(loss, "label_smoothing", None)
        self._classes = [layer for _, layer in layers if isinstance(layer, nn.Linear)][-1].out_features

    @classmethod
    def of(cls, net: nn.Module, loss: nn.Module) -> Self | None:
        """Return the chain that a net is; None if it is none, or the loss is not among `LOSSES`."""
        if type(loss) not in LOSSES or any(getattr(loss, key, value) != value for key, value in SETTINGS.items()):
            return None
        try:
            nodes = list(fx.symbolic_trace(net).graph.nodes)
        except Exception:  # noqa: BLE001  whatever a net of somebody else raises, it is no chain
            return None
        layers = [(node.target, net.get_submodule(node.target)) for node in nodes if node.op == "call_module"]
        in_a_row = all(node.args == (before,) and not node.kwargs for before, node in pairwise(nodes))
        known = all(type(layer) in (nn.Linear, *BACKWARD) for _, layer in layers)
        narrow = all(p.numel() <= WIDEST for p in net.parameters())
        used = {f"{name}.{key}" for name, layer in layers for key, _ in layer.named_parameters()}
        whole = len(layers) == len(nodes) - 2 and used == {name for name, _ in net.named_parameters()}
        return cls(net, layers, loss) if used and whole and in_a_row and known and narrow else None

    def place(self, theta: Tensor) -> Tensor:
        """Return parameters [P, K] with the members side by side in memory."""
        return theta.contiguous()

    def batches(self, x: Tensor, y: Tensor, order: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
        """Return the batches of all members, [B, D, K] and [B, C, K]; a class is a row of probabilities."""
        if self._smoothing is not None:
            hot = nn.functional.one_hot(y, self._classes).to(x.dtype)
            y = hot * (1 - self._smoothing) + self._smoothing / self._classes
        x, y = (part.T.index_select(1, order.reshape(-1)).view(-1, *order.shape).transpose(0, 1) for part in (x, y))
        return list(zip(torch.split(x, size), torch.split(y, size), strict=True))

    def gradient(self, theta: Tensor, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs [B, C, K], mean losses [K] and their gradients [P, K]."""
        parameters = self._parameters(theta)
        tape = self._chain.forward(parameters, batch[0])
        loss, grad = self._loss(tape[-1], batch[1])
        gradients = self._chain.backward(parameters, tape, grad)
        return tape[-1], loss, torch.cat([gradients[name].flatten(0, -2) for name in self.names])

    def output(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return what all members make of the same rows, [N, C, K]."""
        parameters = self._parameters(theta)
        return torch.cat([self._chain.forward(parameters, rows[..., None])[-1] for rows in torch.split(x, ROWS)])

    def _parameters(self, theta: Tensor) -> dict[str, Tensor]:
        """Return parameter name → its numbers, in its shape and K."""
        parts = torch.split(theta, [shape.numel() for shape in self.shapes])
        return {n: part.view(*shape, -1) for n, shape, part in zip(self.names, self.shapes, parts, strict=True)}
