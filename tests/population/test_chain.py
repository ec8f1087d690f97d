"""The chain layout against the same nets one by one, by torch's modules and autograd; float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from glassbox.model import MLP, TinyNet
from glassbox.model.mlp import ACTIVATIONS
from glassbox.population.chain import Chain

K, N, B, D = 5, 40, 7, 3
RTOL = 1e-12


class Backwards(nn.Module):
    """Its layers are not registered in the order in which they are called, some without bias, one in place."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2, bias=False)
        self.first = nn.Linear(D, 4)
        self.softplus = nn.Softplus(beta=3.0, threshold=1.0)
        self.elu = nn.ELU(alpha=0.5, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.elu(self.first(self.softplus(x))))


class Shared(nn.Module):
    """One layer is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.tanh, self.last = nn.Linear(D, D), nn.Tanh(), nn.Linear(D, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(self.tanh(self.layer(x))))


NETS: dict[str, Callable[[], nn.Module]] = {
    "tinynet": lambda: TinyNet(D, 4, 2),
    "linear": lambda: MLP(D, 2, depth=0),
    "deep": lambda: MLP(D, 2, hidden=4, depth=3, activation="tanh"),
    "backwards": Backwards,
    "gelu by tanh": lambda: nn.Sequential(nn.Linear(D, 2), nn.GELU(approximate="tanh"), nn.Identity()),
    "leaky": lambda: nn.Sequential(nn.Linear(D, 4), nn.LeakyReLU(0.3, inplace=True), nn.Linear(4, 2)),
    "shared": Shared,
} | {name: lambda name=name: MLP(D, 2, hidden=4, depth=2, activation=name) for name in ACTIVATIONS}
LOSSES = {
    "bce": nn.BCEWithLogitsLoss(),
    "mse": nn.MSELoss(),
    "cross entropy": nn.CrossEntropyLoss(),
    "smooth": nn.CrossEntropyLoss(label_smoothing=0.2),
}


def data(loss: nn.Module) -> tuple[Tensor, Tensor]:
    """Return rows x [N, D], and targets of the loss for two outputs."""
    x = torch.randn(N, D, dtype=torch.float64)
    if isinstance(loss, nn.CrossEntropyLoss):
        return x, torch.randint(2, (N,))
    return x, torch.rand(N, 2, dtype=torch.float64)


def alone(net: nn.Module, loss: nn.Module, theta: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output, loss and gradient of one member, by torch."""
    net = net.double()
    nn.utils.vector_to_parameters(theta.contiguous(), net.parameters())
    output = net(x)
    value = loss(output, y)
    gradients = torch.autograd.grad(value, list(net.parameters()))
    return output.detach(), value.detach(), torch.cat([grad.flatten() for grad in gradients])


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("name", NETS)
def test_members_are_as_alone(name: str, loss: nn.Module) -> None:
    torch.manual_seed(0)
    net = NETS[name]()
    chain = Chain.of(net, loss)
    assert chain is not None
    assert chain.names == [name for name, _ in net.named_parameters()]
    assert chain.shapes == [p.shape for p in net.parameters()]
    theta = chain.place(torch.randn(sum(p.numel() for p in net.parameters()), K, dtype=torch.float64))
    x, y = data(loss)
    order = torch.stack([torch.randperm(N) for _ in range(K)], dim=1)
    for rows, batch in zip(order.split(B), chain.batches(x, y, order, B), strict=True):  # the last has 5 rows
        output, value, grad = chain.gradient(theta, batch)
        for k in range(K):
            expected = alone(net, loss, theta[:, k], x[rows[:, k]], y[rows[:, k]])
            torch.testing.assert_close((output[..., k], value[k], grad[:, k]), expected, rtol=RTOL, atol=1e-15)
    everything = torch.stack([alone(net, loss, theta[:, k], x, y)[0] for k in range(K)], dim=-1)
    torch.testing.assert_close(chain.output(theta, x), everything, rtol=RTOL, atol=1e-15)


def test_a_member_that_diverges_changes_no_other_bit() -> None:
    torch.manual_seed(0)
    net = MLP(D, 2, hidden=4, depth=2, activation="relu")
    chain = Chain.of(net, nn.BCEWithLogitsLoss())
    assert chain is not None
    theta = torch.randn(sum(p.numel() for p in net.parameters()), K)
    sick = theta.clone()
    sick[:, 1], sick[:, 3] = torch.nan, torch.inf
    x, y = (part.float() for part in data(nn.BCEWithLogitsLoss()))
    (batch,) = chain.batches(x, y, torch.randint(N, (B, K)), B)
    for healthy, other in zip(chain.gradient(theta, batch), chain.gradient(sick, batch), strict=True):
        assert torch.equal(healthy[..., ::2], other[..., ::2])
        assert not other[..., 1::2].isfinite().any()


class Skip(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(D, D), nn.Linear(D, D)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x))


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(D, 2), nn.Linear(D, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) if x.sum() > 0 else self.two(x)


NO_CHAINS: dict[str, nn.Module] = {
    "softmax": nn.Sequential(nn.Linear(D, 2), nn.Softmax(dim=1)),
    "dropout": MLP(D, 2, dropout=0.5),
    "batch norm": MLP(D, 2, batch_norm=True),
    "subclass": nn.Sequential(Skip(D, D)),
    "tied": Tied(),
    "control flow": Branch(),
    "wide": MLP(D, 2, hidden=17, depth=2),
    "no parameters": nn.Sequential(nn.ReLU()),
    "normalised": nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(D, 2))),
}


@pytest.mark.parametrize("net", NO_CHAINS.values(), ids=NO_CHAINS)
def test_other_nets_are_no_chains(net: nn.Module) -> None:
    assert Chain.of(net, nn.MSELoss()) is None


@pytest.mark.parametrize(
    "loss",
    [
        nn.L1Loss(),
        nn.MSELoss(reduction="sum"),
        nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0])),
        nn.BCEWithLogitsLoss(weight=torch.tensor([2.0])),
        nn.CrossEntropyLoss(ignore_index=1),
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0])),
    ],
    ids=str,
)
def test_other_losses_make_no_chain(loss: nn.Module) -> None:
    assert Chain.of(TinyNet(D, 4, 2), loss) is None
