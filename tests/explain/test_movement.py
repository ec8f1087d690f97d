"""How far a parameter moved, against torch and by hand."""

import pytest
import torch
from torch import nn

from glassbox.explain.movement import relative_update, total_norm, update_in_lr


def test_relative_update():
    before = torch.tensor([[3.0, 4.0]])
    assert relative_update(before, before + torch.tensor([[0.3, 0.4]])) == pytest.approx(0.1)
    assert relative_update(before, before) == 0.0
    assert relative_update(torch.zeros(1, 2), before) is None


def test_total_norm_is_torchs():
    parameters = [nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.randn(4))]
    for p in parameters:
        p.grad = torch.randn_like(p)
    expected = float(nn.utils.get_total_norm([p.grad for p in parameters]))
    assert total_norm({str(i): p.grad for i, p in enumerate(parameters)}) == pytest.approx(expected)


@pytest.mark.parametrize(("optimizer", "same"), [(torch.optim.Adam, True), (torch.optim.SGD, False)])
def test_update_in_lr(optimizer, same):
    p = nn.Parameter(torch.zeros(3))
    p.grad = torch.tensor([1e-4, -3.0, 0.0])
    optimizer([p], lr=0.5).step()
    update = update_in_lr(torch.zeros(3), p.detach(), p.grad, 0.5)
    assert update.tolist() == pytest.approx([1.0, 1.0] if same else [1e-4, 3.0], rel=1e-3)
