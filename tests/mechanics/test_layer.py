"""Every layer by hand against torch's autograd bit for bit, and against its derivative."""

import pytest
import torch

from glassbox.mechanics.layer import linear, relu, sigmoid, tanh

ROWS = (1, 2, 31, 32, 64)
both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
TWINS = [(relu, torch.relu), (tanh, torch.tanh), (sigmoid, torch.sigmoid)]
DERIVATIVES = {
    relu: lambda x: (x > 0).double(),
    tanh: lambda x: 1 / torch.cosh(x) ** 2,
    sigmoid: lambda x: torch.exp(-x) / (1 + torch.exp(-x)) ** 2,
}


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@both
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("hidden", [1, 8, 64])
@pytest.mark.parametrize("inputs", [1, 2, 30])
def test_linear_is_torchs_bit_for_bit(inputs, hidden, bias, dtype):
    for rows in ROWS:
        x, grad = draw(rows, inputs, dtype=dtype).requires_grad_(), draw(rows, hidden, dtype=dtype, seed=1)
        parameters = {"weight": draw(hidden, inputs, dtype=dtype, seed=2).requires_grad_()}
        if bias:
            parameters["bias"] = draw(hidden, dtype=dtype, seed=3).requires_grad_()
        y = torch.nn.functional.linear(x, **parameters)
        expected = torch.autograd.grad(y, [x, *parameters.values()], grad)
        with torch.no_grad():
            assert torch.equal(linear.forward(x, **parameters), y)
            grad_x, gradients = linear.backward(grad, x, y, **parameters)
        assert gradients.keys() == parameters.keys()
        assert all(map(torch.equal, [grad_x, *gradients.values()], expected))


@both
@pytest.mark.parametrize(("layer", "twin"), TWINS, ids=[twin.__name__ for _, twin in TWINS])
def test_activation_is_torchs_bit_for_bit(layer, twin, dtype):
    for rows in ROWS:
        for hidden in (1, 2, 8, 30, 64):
            x, grad = (5 * draw(rows, hidden, dtype=dtype)).requires_grad_(), draw(rows, hidden, dtype=dtype, seed=1)
            y = twin(x)
            (expected,) = torch.autograd.grad(y, x, grad)
            with torch.no_grad():
                assert torch.equal(layer.forward(x), y)
                grad_x, gradients = layer.backward(grad, x, y)
            assert gradients == {}
            assert torch.equal(grad_x, expected)


@pytest.mark.parametrize("layer", DERIVATIVES, ids=["relu", "tanh", "sigmoid"])
def test_activation_has_the_derivative_of_the_textbook(layer):
    x, grad = 3 * draw(32, 8), draw(32, 8, seed=1)
    grad_x, _ = layer.backward(grad, x, layer.forward(x))
    torch.testing.assert_close(grad_x, grad * DERIVATIVES[layer](x), rtol=1e-12, atol=1e-14)


def test_linear_is_the_sums_of_the_textbook():
    x, weight, bias, grad = draw(4, 3), draw(2, 3, seed=1), draw(2, seed=2), draw(4, 2, seed=3)
    y = linear.forward(x, weight, bias)
    grad_x, gradients = linear.backward(grad, x, y, weight, bias)
    expected = torch.stack([sum(weight[:, d] * x[b, d] for d in range(3)) + bias for b in range(4)])
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-14)
    for d in range(3):
        column = sum(grad[:, h] * weight[h, d] for h in range(2))
        torch.testing.assert_close(grad_x[:, d], column, rtol=1e-12, atol=1e-14)
        for h in range(2):
            entry = sum(grad[b, h] * x[b, d] for b in range(4))
            torch.testing.assert_close(gradients["weight"][h, d], entry, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradients["bias"], grad[0] + grad[1] + grad[2] + grad[3], rtol=1e-12, atol=1e-14)


@both
def test_relu_of_what_is_not_finite_is_torchs(dtype):
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([[-inf, -0.0, 0.0, inf, nan, 1.0, -1.0]], dtype=dtype, requires_grad=True)
    grad = torch.tensor([[inf, nan, inf, 1.0, 1.0, nan, nan]], dtype=dtype)
    y = torch.relu(x)
    (expected,) = torch.autograd.grad(y, x, grad)
    assert torch.equal(relu.forward(x.detach()).nan_to_num(7.0), y.detach().nan_to_num(7.0))
    assert torch.equal(relu.backward(grad, x.detach(), y.detach())[0].nan_to_num(7.0), expected.nan_to_num(7.0))
