"""The net of the lesson, small enough that every number in it can be followed by hand."""

from torch import Tensor, nn

from glassbox.model.size import check_sizes


class TinyNet(nn.Module):
    r"""Linear → ReLU → Linear, 2 → 8 → 1 in the lesson: 33 numbers in 4 tensors.

    With W₁ [H, D] = `fc1.weight`, b₁ [H] = `fc1.bias`, W₂ [C, H] = `fc2.weight`, b₂ [C] = `fc2.bias`:

    .. math::
        a = x W_1^T + b_1,   h = \max(a, 0),   z = h W_2^T + b_2

    The output z is a logit (or a value to predict), never a probability: the sigmoid is inside the loss.

    Args:
        in_features: Inputs D.
        hidden: Hidden units H.
        out_features: Outputs C; 1 for two classes and for a number.

    Raises:
        BadInput: A size is not a whole number ≥ 1.

    Example:
        >>> import torch
        >>> net = TinyNet()
        >>> net(torch.zeros(5, 2)).shape
        torch.Size([5, 1])
        >>> sum(p.numel() for p in net.parameters())
        33
    """

    def __init__(self, in_features: int = 2, hidden: int = 8, out_features: int = 1) -> None:
        super().__init__()
        check_sizes(in_features=in_features, hidden=hidden, out_features=out_features)
        self.fc1 = nn.Linear(in_features, hidden)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs z [B, C] of inputs x [B, D]."""
        a: Tensor = self.fc1(x)
        h: Tensor = self.relu(a)
        z: Tensor = self.fc2(h)
        return z
