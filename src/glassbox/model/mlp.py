"""A plain multilayer perceptron: any width, any depth."""

from torch import Tensor, nn

from glassbox.errors import BadInput
from glassbox.model.size import check_sizes

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}


class MLP(nn.Module):
    r"""A stack of `depth` hidden layers of equal width and a linear layer on top.

    With h₀ = x, activation φ and l = 1 … `depth`:

    .. math::
        h_l = dropout(φ(norm(h_{l-1} W_l^T + b_l))),   z = h_{depth} W^T + b

    where norm is batch normalisation if `batch_norm` and nothing otherwise. With `depth=0` the net is a linear model:
    logistic regression under cross-entropy, least squares under the squared error.

    Args:
        in_features: Inputs D.
        out_features: Outputs C.
        hidden: Width H of each hidden layer.
        depth: Number of hidden layers, ≥ 0.
        activation: φ, a key of `ACTIVATIONS`.
        dropout: Probability that a hidden unit is dropped in training, 0 ≤ p < 1.
        batch_norm: Whether hidden layers are batch-normalised before φ.

    Raises:
        BadInput: An argument is out of its range.

    Example:
        >>> import torch
        >>> net = MLP(2, 3, hidden=16, depth=2, activation="tanh")
        >>> net(torch.zeros(5, 2)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: int = 64,
        depth: int = 2,
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(in_features=in_features, hidden=hidden, out_features=out_features)
        if not isinstance(depth, int) or isinstance(depth, bool) or depth < 0:
            raise BadInput(f"model.depth={depth}: must be a whole number ≥ 0")
        if activation not in ACTIVATIONS:
            raise BadInput(f"model.activation={activation}: must be one of {', '.join(ACTIVATIONS)}")
        if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
            raise BadInput(f"model.dropout={dropout}: must be a probability p with 0 ≤ p < 1")
        if not isinstance(batch_norm, bool):
            raise BadInput(f"model.batch_norm={batch_norm}: must be true or false")
        layers: list[nn.Module] = []
        width = in_features
        for _ in range(depth):
            layers.append(nn.Linear(width, hidden))
            if batch_norm:
                layers.append(nn.BatchNorm1d(hidden))
            layers.append(ACTIVATIONS[activation]())
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            width = hidden
        layers.append(nn.Linear(width, out_features))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs z [B, C] of inputs x [B, D]."""
        z: Tensor = self.layers(x)
        return z
