"""The steps of an epoch against torch.optim, one model at a time; and compiled against eager."""

import pytest
import torch
from torch import Tensor, nn

from glassbox.mechanics.optimizer import adam
from glassbox.model import TinyNet
from glassbox.population.net import Net, choose
from glassbox.population.order import Orders
from glassbox.population.setting import has_compiler
from glassbox.population.step import BLOCK, Stepped, Steps

K, B = 32, 8
N = B * (BLOCK + 2) + 3  # a whole block, and one that ends with a smaller batch
LR = torch.linspace(0.001, 0.1, K, dtype=torch.float64)
NORMED = nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 1))

COMPILER = pytest.mark.skipif(not has_compiler(), reason="there is no C++ compiler")


def made(net: Net, start: Tensor, data: tuple[Tensor, Tensor], order: Tensor, compiled: bool, epochs: int) -> Stepped:
    """Return the last of some epochs."""
    steps, theta = Steps(net, adam, compiled=compiled), net.place(start)
    state = adam.initial(theta)
    with torch.no_grad():
        for _ in range(epochs):
            rates = [LR / step for step in range(1, len(order.split(B)) + 1)]
            one = steps(theta, state, data, order, rates, B, options={})
            theta, state = one.theta, one.state
    return one


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, from importing its compiler
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=[pytest.mark.slow, COMPILER])])
@pytest.mark.parametrize("net", [TinyNet(2, 4), NORMED], ids=["chain", "vmap"])
def test_epochs_are_those_of_torch(net: nn.Module, compiled: bool) -> None:
    torch.manual_seed(0)
    net, loss = net.double(), nn.BCEWithLogitsLoss()
    x, y = torch.randn(N, 2, dtype=torch.float64), torch.randint(2, (N, 1)).double()
    start = torch.randn(sum(p.numel() for p in net.parameters()), K, dtype=torch.float64)
    order = Orders(N, range(K)).epoch(0)
    found = made(choose(net, loss), start, (x, y), order, compiled, epochs=2)
    for k in (0, 1, K - 1):
        nn.utils.vector_to_parameters(start[:, k].clone(), net.parameters())
        optimizer = torch.optim.Adam(net.parameters())
        for _ in range(2):
            outputs, losses = [], []
            for step, rows in enumerate(order[:, k].split(B), 1):
                optimizer.param_groups[0]["lr"] = float(LR[k] / step)
                before = nn.utils.parameters_to_vector(net.parameters()).detach()
                optimizer.zero_grad()
                output = net(x[rows])
                value = loss(output, y[rows])
                value.backward()
                optimizer.step()
                outputs.append(output.detach())
                losses.append(value.detach())
        after = nn.utils.parameters_to_vector(net.parameters()).detach()
        grad = torch.cat([p.grad.flatten() for p in net.parameters()])
        norms = torch.stack([grad.norm(), before.norm(), (after - before).norm()])
        mine = found.theta[:, k], [o[..., k] for o in found.outputs], [v[k] for v in found.losses], found.norms[:, k]
        torch.testing.assert_close(mine, (after, outputs, losses, norms), rtol=1e-9, atol=1e-12)
