"""Clipping by hand against torch.nn.utils, bit for bit, and against its definition."""

import math

import pytest
import torch

from glassbox.mechanics.clip import by_norm, by_value

SHAPES = {"fc1.weight": (8, 2), "fc1.bias": (8,), "fc2.weight": (1, 8), "fc2.bias": (1,), "big": (65, 33)}


def gradients(dtype, scale):
    generator = torch.Generator().manual_seed(0)
    return {
        name: scale * torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        for name, shape in SHAPES.items()
    }


def parameters(grads):
    params = [torch.nn.Parameter(torch.zeros_like(grad)) for grad in grads.values()]
    for param, grad in zip(params, grads.values(), strict=True):
        param.grad = grad.clone()
    return params


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("foreach", [False, True], ids=["single", "foreach"])
@pytest.mark.parametrize("scale", [1.0, 1e-4], ids=["clipped", "not clipped"])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
def test_by_norm_is_torchs_bit_for_bit(norm_type, scale, foreach, dtype):
    grads = gradients(dtype, scale)
    params = parameters(grads)
    expected = torch.nn.utils.clip_grad_norm_(params, 0.5, norm_type, foreach=foreach)
    clipped, norm = by_norm(grads, 0.5, norm_type)
    assert torch.equal(norm, expected)
    assert all(torch.equal(clipped[name], p.grad) for name, p in zip(SHAPES, params, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("foreach", [False, True], ids=["single", "foreach"])
def test_by_value_is_torchs_bit_for_bit(foreach, dtype):
    grads = gradients(dtype, 1.0)
    params = parameters(grads)
    torch.nn.utils.clip_grad_value_(params, 0.3, foreach=foreach)
    clipped = by_value(grads, 0.3)
    assert all(torch.equal(clipped[name], p.grad) for name, p in zip(SHAPES, params, strict=True))


@pytest.mark.parametrize(("scale", "limit"), [(1.0, 0.5), (1e-4, 0.5), (1.0, 1e9)])
def test_by_norm_is_its_definition(scale, limit):
    grads = gradients(torch.float64, scale)
    flat = torch.cat([grad.flatten() for grad in grads.values()])
    length = math.sqrt(sum(x * x for x in flat.tolist()))
    clipped, norm = by_norm(grads, limit)
    assert norm.item() == pytest.approx(length, rel=1e-12)
    for name, grad in grads.items():
        torch.testing.assert_close(clipped[name], grad * min(1.0, limit / (length + 1e-6)), rtol=1e-12, atol=1e-14)


def test_by_value_is_its_definition():
    grads = gradients(torch.float64, 1.0)
    for name, clipped in by_value(grads, 0.3).items():
        expected = [max(-0.3, min(0.3, x)) for x in grads[name].flatten().tolist()]
        assert clipped.flatten().tolist() == expected
