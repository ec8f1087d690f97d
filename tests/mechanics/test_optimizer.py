"""Every optimizer by hand against torch's own bit for bit, against the paper, and for many models at once."""

import math
from functools import partial

import pytest
import torch

from glassbox.mechanics.optimizer import adam, adamw, rmsprop, sgd

STEPS = 12
DECAY = {"weight_decay": 0.1}
SGD = [
    {"lr": 0.1},
    {"lr": 0.1, **DECAY},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, **DECAY},
    {"lr": 0.1, "momentum": 0.7, "nesterov": True, **DECAY},
]
RMSPROP = [
    {"lr": 0.01},
    {"lr": 0.01, "alpha": 0.9, "eps": 1e-3, **DECAY},
    {"lr": 0.01, "momentum": 0.9},
    {"lr": 0.01, "centered": True},
    {"lr": 0.01, "alpha": 0.8, "momentum": 0.9, "centered": True, **DECAY},
]
ADAM = [
    {"lr": 0.01},
    {"lr": 0.01, "weight_decay": 0.0},
    {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, **DECAY},
    {"lr": 0.01, "amsgrad": True},
    {"lr": 0.01, "betas": (0.3, 0.5), "amsgrad": True, **DECAY},
]
TWINS = [
    *((sgd, torch.optim.SGD, options) for options in SGD),
    *((rmsprop, torch.optim.RMSprop, options) for options in RMSPROP),
    *((adam, torch.optim.Adam, options) for options in ADAM),
    *((adamw, torch.optim.AdamW, options) for options in ADAM),
]
every_setting = pytest.mark.parametrize(
    ("optimizer", "twin", "options"), TWINS, ids=[f"{twin.__name__}-{options}" for _, twin, options in TWINS]
)


def start(*shape, dtype=torch.float64):
    """Return a parameter and the gradients of every step."""
    generator = torch.Generator().manual_seed(1)
    param = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    grads = torch.randn((STEPS, *shape), generator=generator, dtype=torch.float64).to(dtype)
    return param, grads


def by_hand(optimizer, param, grads, **options):
    """Return the parameter after every step."""
    state, seen = optimizer.initial(param), []
    for grad in grads:
        param, state = optimizer.update(param, grad, state, **options)
        seen.append(param)
    return torch.stack(seen)


def by_torch(twin, param, grads, foreach=False, **options):
    """Return the parameter after every step of torch's optimizer."""
    param, seen = torch.nn.Parameter(param.clone()), []
    optimizer = twin([param], foreach=foreach, **options)
    for grad in grads:
        param.grad = grad.clone()
        optimizer.step()
        seen.append(param.detach().clone())
    return torch.stack(seen)


def textbook_sgd(w, grads, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    v = None
    for grad in grads:
        g = grad + weight_decay * w
        v = g if v is None else momentum * v + (1 - dampening) * g
        w = w - lr * (g + momentum * v if nesterov else v)
        yield w


def textbook_rmsprop(w, grads, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    mean_square = mean = step = torch.zeros_like(w)
    for grad in grads:
        g = grad + weight_decay * w
        mean_square = alpha * mean_square + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        deviation = torch.sqrt(mean_square - mean**2 if centered else mean_square)
        step = momentum * step + g / (deviation + eps)
        w = w - lr * step
        yield w


def textbook_adam(w, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=None, amsgrad=False, decoupled=False):
    decay = (0.01 if decoupled else 0.0) if weight_decay is None else weight_decay
    m = v = largest = torch.zeros_like(w)
    for t, grad in enumerate(grads, 1):
        g = grad if decoupled else grad + decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = torch.maximum(largest, v)
        m_hat = m / (1 - betas[0] ** t)
        v_hat = (largest if amsgrad else v) / (1 - betas[1] ** t)
        w = w - lr * m_hat / (torch.sqrt(v_hat) + eps) - (lr * decay * w if decoupled else 0.0)
        yield w


TEXTBOOK = {
    sgd: textbook_sgd,
    rmsprop: textbook_rmsprop,
    adam: textbook_adam,
    adamw: partial(textbook_adam, decoupled=True),
}


@pytest.mark.parametrize("foreach", [False, True], ids=["single", "foreach"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (8, 2), (13, 33)], ids=str)
@every_setting
def test_is_torchs_optimizer_bit_for_bit(optimizer, twin, options, shape, dtype, foreach):
    param, grads = start(*shape, dtype=dtype)
    assert torch.equal(
        by_hand(optimizer, param, grads, **options), by_torch(twin, param, grads, foreach=foreach, **options)
    )


@every_setting
def test_is_the_formula_of_the_paper(optimizer, twin, options):
    param, grads = start(8, 2)
    expected = torch.stack(list(TEXTBOOK[optimizer](param, grads, **options)))
    torch.testing.assert_close(by_hand(optimizer, param, grads, **options), expected, rtol=1e-12, atol=1e-12)


@every_setting
def test_the_state_is_torchs(optimizer, twin, options):
    param, grads = start(8, 2)
    state, theirs = optimizer.initial(param), torch.nn.Parameter(param.clone())
    twins = twin([theirs], **options)
    for grad in grads:
        param, state = optimizer.update(param, grad, state, **options)
        theirs.grad = grad
        twins.step()
    for key, value in twins.state[theirs].items():
        assert value is None or torch.equal(value, torch.as_tensor(getattr(state, key), dtype=value.dtype))


@every_setting
def test_changes_none_of_its_arguments(optimizer, twin, options):
    param, grads = start(8, 2)
    _, state = optimizer.update(param, grads[0], optimizer.initial(param), **options)
    before = [x.clone() if isinstance(x, torch.Tensor) else x for x in (param, grads[1], *state)]
    optimizer.update(param, grads[1], state, **options)
    for old, now in zip(before, (param, grads[1], *state), strict=True):
        assert torch.equal(old, now) if isinstance(old, torch.Tensor) else old == now


K = 5


def spread(value, k, where=None):
    """Return model k's own value of a hyper-parameter; or all K of them, as a tensor for the axis of the models."""
    if isinstance(value, bool):
        return value
    if isinstance(value, tuple):
        return tuple(spread(each, k, where) for each in value)
    of = [value * (1 - 0.1 * i) for i in range(K)]
    return of[k] if where is None else torch.tensor(of, dtype=torch.float64).reshape(where)


@pytest.mark.parametrize(("axis", "shape"), [(0, (K, 1, 1)), (1, (K, 1)), (2, (K,))], ids=["first", "middle", "last"])
@every_setting
def test_models_at_once_are_models_one_by_one(optimizer, twin, options, axis, shape):
    param, grads = start(8, 2, K)
    apart = [
        by_hand(optimizer, param[..., k], grads[..., k], **{key: spread(v, k) for key, v in options.items()})
        for k in range(K)
    ]
    together = by_hand(
        optimizer,
        param.movedim(-1, axis),
        grads.movedim(-1, axis + 1),
        **{key: spread(v, None, shape) for key, v in options.items()},
    )
    torch.testing.assert_close(together, torch.stack(apart, dim=axis + 1), rtol=1e-12, atol=1e-13)


@every_setting
def test_works_under_vmap(optimizer, twin, options):
    param, grads = start(K, 8, 2)
    names = list(options)

    def trained(param, grads, *values):
        return by_hand(optimizer, param, grads, **dict(zip(names, values, strict=True)))

    values = [spread(v, None, (K,)) for v in options.values()]
    axes = [None if isinstance(v, bool) else 0 for v in values]
    together = torch.func.vmap(trained, in_dims=(0, 1, *axes))(param, grads, *values)
    apart = [
        by_hand(optimizer, param[k], grads[:, k], **{key: spread(v, k) for key, v in options.items()}) for k in range(K)
    ]
    torch.testing.assert_close(together, torch.stack(apart), rtol=1e-12, atol=1e-13)


@every_setting
def test_precise_hyper_parameters_cost_float32_no_accuracy(optimizer, twin, options):
    param, grads = start(8, 2, dtype=torch.float32)
    tensors = {key: spread(v, None, (K, 1, 1)) for key, v in options.items()}
    together = by_hand(optimizer, param.expand(K, 8, 2), grads.unsqueeze(1).expand(STEPS, K, 8, 2), **tensors)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together[:, 0], by_torch(twin, param, grads, **options), rtol=2e-6, atol=1e-6)


def test_a_model_without_momentum_among_others_has_no_dampening():
    param, grads = start(2, 3)
    options = {"lr": 0.1, "dampening": 0.3}
    momentum = torch.tensor([[0.0], [0.9]], dtype=torch.float64)
    together = by_hand(sgd, param, grads, momentum=momentum, **options)
    for k in range(2):
        alone = by_torch(torch.optim.SGD, param[k], grads[:, k], momentum=momentum[k].item(), **options)
        torch.testing.assert_close(together[:, k], alone, rtol=1e-12, atol=1e-13)


def test_adams_first_step_is_the_learning_rate_in_size():
    param, grads = start(8, 2)
    first, _ = adam.update(param, grads[0], adam.initial(param), lr=0.01, eps=0.0)
    torch.testing.assert_close(first, param - 0.01 * grads[0].sign(), rtol=1e-12, atol=0.0)


def test_adamws_decay_halves_a_weight_without_gradient_as_told():
    param, state = torch.ones(1, dtype=torch.float64), adamw.initial(torch.ones(1, dtype=torch.float64))
    for _ in range(round(math.log(2) / (0.001 * 0.1))):
        param, state = adamw.update(param, torch.zeros_like(param), state, lr=0.001, weight_decay=0.1)
    assert param.item() == pytest.approx(0.5, rel=1e-3)
