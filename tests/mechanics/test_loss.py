"""Every loss by hand against torch's bit for bit, and against the formula of the textbook."""

import pytest
import torch

from glassbox.mechanics.loss import bce_with_logits, cross_entropy, mse

TWINS = [
    (bce_with_logits, torch.nn.BCEWithLogitsLoss()),
    (mse, torch.nn.MSELoss()),
    (cross_entropy, torch.nn.CrossEntropyLoss()),
]
every_loss = pytest.mark.parametrize(("loss", "twin"), TWINS, ids=[type(twin).__name__ for _, twin in TWINS])


def batch(loss, rows, columns, dtype=torch.float64, scale=3.0):
    """Return logits [B, C] and what the loss compares them with."""
    generator = torch.Generator().manual_seed(rows + columns)
    logits = scale * torch.randn((rows, columns), generator=generator, dtype=torch.float64).to(dtype)
    if loss is cross_entropy:
        return logits, torch.randint(columns, (rows,), generator=generator)
    target = torch.rand((rows, columns), generator=generator, dtype=torch.float64).to(dtype)
    return logits, target.round() if loss is bce_with_logits else target


def textbook_bce_with_logits(z, y):
    p = 1 / (1 + torch.exp(-z))
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).sum() / z.numel(), (p - y) / z.numel()


def textbook_mse(z, y):
    return sum((z - y).flatten() ** 2) / z.numel(), 2 * (z - y) / z.numel()


def textbook_cross_entropy(z, k):
    p = torch.exp(z) / torch.exp(z).sum(1, keepdim=True)
    loss, grad = torch.zeros(()).double(), p.clone()
    for row, true in enumerate(k):
        loss -= torch.log(p[row, true])
        grad[row, true] -= 1
    return loss / len(k), grad / len(k)


TEXTBOOK = {bce_with_logits: textbook_bce_with_logits, mse: textbook_mse, cross_entropy: textbook_cross_entropy}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("factor", [1.0, 1 / 3], ids=["whole", "third"])
@every_loss
def test_is_torchs_loss_bit_for_bit(loss, twin, factor, dtype):
    for rows in (1, 2, 31, 32, 64):
        for columns in (1, 2, 10, 30):
            logits, target = batch(loss, rows, columns, dtype, scale=20.0)
            logits.requires_grad_()
            expected = twin(logits, target)
            (gradient,) = torch.autograd.grad(expected * factor, logits)
            with torch.no_grad():
                assert torch.equal(loss.forward(logits, target), expected)
                assert torch.equal(loss.backward(logits, target, factor), gradient)
                assert torch.equal(loss.backward(logits, target, torch.tensor(factor, dtype=dtype)), gradient)


@every_loss
def test_is_the_formula_of_the_textbook(loss, twin):
    logits, target = batch(loss, 32, 5)
    expected, gradient = TEXTBOOK[loss](logits, target)
    torch.testing.assert_close(loss.forward(logits, target), expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(loss.backward(logits, target), gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_logits_of_any_size_have_a_finite_loss(dtype):
    logits = torch.tensor([[-1000.0], [1000.0], [-1000.0], [1000.0]], dtype=dtype)
    target = torch.tensor([[0.0], [0.0], [1.0], [1.0]], dtype=dtype)
    assert bce_with_logits.forward(logits, target) == 500.0
    assert bce_with_logits.backward(logits, target).flatten().tolist() == [0.0, 0.25, -0.25, 0.0]
