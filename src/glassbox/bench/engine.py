"""One optimizer step of one of many models: a population against a loop over models, and against JAX."""

import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from glassbox.bench.rival import BATCH, LR
from glassbox.bench.table import Goal, report, rounds
from glassbox.mechanics.optimizer import adam
from glassbox.model import TinyNet
from glassbox.population.net import choose
from glassbox.population.order import Orders
from glassbox.population.step import Steps

MEMBERS = 512
ROWS = 1024
STEPS = ROWS // BATCH  # of an epoch
RAW_EPOCHS = 10

RAW = "raw PyTorch loop, slices"
EAGER = "population, eager"
SHARED = "population, compiled, 8 seeds"
OWN = "population, compiled, every seed another"
NORM = "population, compiled, with a LayerNorm"
JAX = "JAX, vmap over scan, jitted"


def engine(count: int = 9) -> bool:
    """Measure an optimizer step of one of 512 models: TinyNet, batch 32, Adam, float32, one core.

    A population's time has everything of an epoch's steps in it: the orders, the batches, losses and outputs of every
    step kept. JAX is given the orders ready-made. Compiling is not part of the times.

    Args:
        count: Number of rounds.

    Returns:
        Whether the goals are reached.
    """
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})  # also of threads that are started later
    torch.set_num_threads(1)
    x, y = torch.randn(ROWS, 2), torch.randint(2, (ROWS, 1)).float()
    norm = nn.Sequential(nn.Linear(2, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 1))
    own = range(MEMBERS)
    epochs: dict[str, Callable[[], object]] = {
        RAW: raw(x, y),
        EAGER: population(TinyNet(), x, y, own, compiled=False),
        SHARED: population(TinyNet(), x, y, [seed % 8 for seed in own], compiled=True),
        OWN: population(TinyNet(), x, y, own, compiled=True),
        NORM: population(norm, x, y, own, compiled=True),
    }
    goals = [Goal(NORM, RAW, 1 / 150), Goal(SHARED, RAW, 1 / 400), Goal(OWN, RAW, 1 / 300)]
    if importlib.util.find_spec("jax"):
        epochs[JAX] = scan(x, y)
        goals += [Goal(OWN, JAX, 1 / 4), Goal(OWN, JAX, 1 / 10)]
    else:
        print("JAX is not installed and is left out: `pip install jax` in this environment adds it")
    for name, epoch in epochs.items():
        started = time.perf_counter()
        epoch()
        print(f"{name}: first epoch {time.perf_counter() - started:.1f} s")
    taken = rounds({name: (lambda epoch=epoch: epoch) for name, epoch in epochs.items()}, count)  # type: ignore[misc]
    steps = {name: STEPS * (RAW_EPOCHS if name == RAW else MEMBERS) for name in taken}
    each = {name: [value / steps[name] for value in values] for name, values in taken.items()}
    os.sched_setaffinity(0, cores)
    title = f"One optimizer step of one of {MEMBERS} models, TinyNet, batch {BATCH}, Adam, one core: µs of CPU"
    return report(title, each, goals, unit="µs", scale=1e6)


def raw(x: Tensor, y: Tensor) -> Callable[[], None]:
    """Return some epochs of one model as the lesson trains it, on slices of permuted tensors."""
    model, criterion = TinyNet(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)

    def epochs() -> None:
        for _ in range(RAW_EPOCHS):
            order = torch.randperm(len(x))
            for x_batch, y_batch in zip(torch.split(x[order], BATCH), torch.split(y[order], BATCH), strict=True):
                optimizer.zero_grad()
                loss = criterion(model(x_batch), y_batch)
                loss.backward()
                optimizer.step()

    return epochs


def population(
    net: nn.Module, x: Tensor, y: Tensor, seeds: Sequence[int], compiled: bool
) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return an epoch of a population, each member with a learning rate of its own."""
    batched = choose(net, nn.BCEWithLogitsLoss())
    theta = torch.randn(sum(shape.numel() for shape in batched.shapes), len(seeds)) / 2
    theta = batched.place(theta)
    state: Any = adam.initial(theta)
    lr = torch.linspace(LR / 2, LR, len(seeds), dtype=torch.float64)
    orders, steps, number = Orders(len(x), seeds), Steps(batched, adam, compiled=compiled), 0

    @torch.no_grad()
    def epoch() -> tuple[Tensor, Tensor]:
        nonlocal theta, state, number
        order, number = orders.epoch(number), number + 1
        made = steps(theta, state, (x, y), order, [lr] * STEPS, BATCH, options={})
        theta, state = made.theta, made.state
        return torch.cat(made.outputs), torch.stack(made.losses)

    return epoch


def scan(x: Tensor, y: Tensor) -> Callable[[], Any]:
    """Return an epoch of the same models in JAX, as an expert writes it: one model's epoch, mapped over models."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import jax.numpy as jnp

    rows, targets = jnp.asarray(x.numpy()), jnp.asarray(y.numpy())

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        hidden = jax.nn.relu(x @ parameters["w1"].T + parameters["b1"])
        z = hidden @ parameters["w2"].T + parameters["b2"]
        return ((1 - y) * z - jax.nn.log_sigmoid(z)).mean(), z

    def step(carry: Any, order: Any) -> Any:
        parameters, m, v, t, lr = carry
        (value, z), grad = jax.value_and_grad(loss, has_aux=True)(parameters, rows[order], targets[order])
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grad)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grad)
        rate, root = lr / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
        parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), parameters, m, v)
        return (parameters, m, v, t, lr), (value, z)

    train = jax.jit(jax.vmap(lambda carry, order: jax.lax.scan(step, carry, order)))
    shapes = {"w1": (8, 2), "b1": (8,), "w2": (1, 8), "b2": (1,)}
    parameters = {name: jnp.asarray(torch.randn(MEMBERS, *shape).numpy() / 2) for name, shape in shapes.items()}
    zero = jax.tree.map(jnp.zeros_like, parameters)
    carry = parameters, zero, zero, jnp.zeros(MEMBERS), jnp.linspace(LR / 2, LR, MEMBERS)
    order = jnp.asarray(Orders(ROWS, range(MEMBERS)).epoch(0).T.reshape(MEMBERS, STEPS, BATCH).numpy())

    def epoch() -> Any:
        nonlocal carry
        carry, made = train(carry, order)
        jax.block_until_ready(carry)
        return made

    return epoch
