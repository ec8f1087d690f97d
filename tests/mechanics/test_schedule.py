"""Every schedule by hand against torch's own, equal at every step of a whole run, and against its closed form."""

import math
import random

import pytest
import torch
from torch.optim import lr_scheduler

from glassbox.mechanics.schedule import constant, cosine, one_cycle, plateau, step, warmup_cosine
from glassbox.training.schedule import warmup_cosine as torchs_warmup_cosine

RATES = (0.1, 3e-4, 1.0, 0.7)
STEPS = 60
STAIRS = [{"step_size": 20, "gamma": 0.3}, {"step_size": 1, "gamma": 0.9}, {"step_size": 7, "gamma": 0.1}]
COSINES = [
    {"T_max": 60},
    {"T_max": 59, "eta_min": 1e-5},
    {"T_max": 7, "eta_min": 1e-4},
    {"T_max": 10},
    {"T_max": 1},
]
WARMUPS = [
    {"warmup_epochs": 5, "max_epochs": 60},
    {"warmup_epochs": 1, "max_epochs": 60, "start_factor": 0.01},
    {"warmup_epochs": 59, "max_epochs": 60, "start_factor": 1 / 3},
    {"warmup_epochs": 20, "max_epochs": 45, "start_factor": 1.0},
]
CYCLES = [
    {},
    {"pct_start": 0.5, "anneal_strategy": "linear"},
    {"pct_start": 0.1, "div_factor": 10.0, "final_div_factor": 100.0},
    {"three_phase": True, "base_momentum": 0.5, "max_momentum": 0.9},
    {"three_phase": True, "anneal_strategy": "linear", "pct_start": 0.4},
]
PLATEAUS = [
    {"patience": 2},
    {"factor": 0.3, "patience": 5},
    {"factor": 0.5, "patience": 0, "threshold": 0.05},
    {"patience": 1, "cooldown": 3, "min_lr": 1e-3},
    {"patience": 1, "threshold": 0.02, "threshold_mode": "abs", "eps": 1e-3},
]
TWINS = [
    (constant, lambda o: lr_scheduler.LambdaLR(o, lambda t: 1.0), {}),
    *((step, lr_scheduler.StepLR, options) for options in STAIRS),
    *((cosine, lr_scheduler.CosineAnnealingLR, options) for options in COSINES),
    *((warmup_cosine, torchs_warmup_cosine, options) for options in WARMUPS),
]
ids = [f"{schedule.__name__.rpartition('.')[2]}-{options}" for schedule, _, options in TWINS]
every_schedule = pytest.mark.parametrize(("schedule", "twin", "options"), TWINS, ids=ids)
every_rate = pytest.mark.parametrize("rate", RATES)


def closed_form(schedule, t, rate, step_size=1, gamma=1.0, T_max=1, eta_min=0.0, **warmup):
    if schedule is constant:
        return rate
    if schedule is step:
        return rate * gamma ** (t // step_size)
    if schedule is cosine:
        return eta_min + (rate - eta_min) * (1 + math.cos(math.pi * t / T_max)) / 2
    rise, total, start = warmup["warmup_epochs"], warmup["max_epochs"], warmup.get("start_factor", 0.1)
    if t < rise:
        return rate * (start + (1 - start) * t / rise)
    return rate * (1 + math.cos(math.pi * (t - rise) / (total - rise))) / 2


def run(schedule, rate, options):
    """Return the rate at every step."""
    lr, seen = rate, []
    for t in range(STEPS):
        lr = schedule.update(t, lr, base_lr=rate, **options)
        seen.append(lr)
    return seen


def optimizer_of(rate, **options):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate, **options)


@every_rate
@every_schedule
def test_is_torchs_at_every_step(schedule, twin, options, rate):
    optimizer, seen = optimizer_of(rate), []
    torchs = twin(optimizer, **options)
    for _ in range(STEPS):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        torchs.step()
    assert run(schedule, rate, options) == seen


@every_rate
@every_schedule
def test_is_its_closed_form(schedule, twin, options, rate):
    # A long way past the lowest point of a cosine, the small numbers there have lost some digits for good.
    expected = [closed_form(schedule, t, rate, **options) for t in range(STEPS)]
    assert run(schedule, rate, options) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@every_schedule
def test_rates_of_many_models_at_once(schedule, twin, options):
    rates = torch.tensor(RATES, dtype=torch.float64).reshape(-1, 1, 1)
    numbers = {key: value for key, value in options.items() if isinstance(value, float)}
    spread = {key: torch.full_like(rates, value) for key, value in numbers.items()}
    together = torch.stack(run(schedule, rates, options | spread)).squeeze((2, 3))
    apart = torch.tensor([run(schedule, rate, options) for rate in RATES], dtype=torch.float64).T
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-14)


@every_rate
@pytest.mark.parametrize("total_steps", [11, 60, 97])
@pytest.mark.parametrize("options", CYCLES, ids=str)
@pytest.mark.parametrize("adam", [False, True], ids=["momentum", "beta1"])
def test_one_cycle_is_torchs_at_every_step(options, total_steps, rate, adam):
    if adam:
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    else:
        optimizer = optimizer_of(rate, momentum=0.9)
    torchs = lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=total_steps, **options)
    for t in range(total_steps):
        (group,) = optimizer.param_groups
        seen = (group["lr"], group["betas"][0] if adam else group["momentum"])
        assert one_cycle.values(t, max_lr=rate, total_steps=total_steps, **options) == seen
        optimizer.step()
        if t < total_steps - 1:
            torchs.step()


def test_one_cycle_goes_where_the_paper_says():
    cycle = {"max_lr": 2.0, "total_steps": 101, "pct_start": 41 / 101, "div_factor": 10.0, "final_div_factor": 50.0}
    start, peak, end = (one_cycle.values(t, **cycle) for t in (0, 40, 100))
    assert start == pytest.approx((0.2, 0.95), rel=1e-12)
    assert peak == pytest.approx((2.0, 0.85), rel=1e-12)
    assert end == pytest.approx((0.004, 0.95), rel=1e-12)
    assert one_cycle.values(20, **cycle) == pytest.approx((1.1, 0.9), rel=1e-12)
    assert one_cycle.values(70, **cycle) == pytest.approx((1.002, 0.9), rel=1e-12)


def test_one_cycle_of_many_models_at_once():
    rates = torch.tensor(RATES, dtype=torch.float64).reshape(-1, 1, 1)
    for t in range(20):
        lr, momentum = one_cycle.values(t, max_lr=rates, total_steps=20)
        apart = [one_cycle.values(t, max_lr=rate, total_steps=20) for rate in RATES]
        assert lr.flatten().tolist() == pytest.approx([a.lr for a in apart], rel=1e-12)
        assert momentum == apart[0].momentum


def metrics(seed):
    """Return a metric that falls, stalls, jumps, repeats itself and is once not a number."""
    draw = random.Random(seed)
    seen = [math.exp(-t / 20) + 0.05 * draw.random() for t in range(STEPS)]
    return [*seen, seen[-1], seen[-1], math.nan, -seen[3], *seen]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("options", PLATEAUS, ids=str)
def test_plateau_is_torchs_at_every_epoch(options, mode):
    for seed, rate in enumerate(RATES):
        optimizer = optimizer_of(rate)
        torchs = lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, **options)
        state, falls = plateau.initial(rate, mode), 0
        for metric in metrics(seed):
            before = state.lr
            torchs.step(metric)
            state = plateau.update(metric, state, mode=mode, **options)
            assert state == (
                optimizer.param_groups[0]["lr"],
                torchs.best,
                torchs.num_bad_epochs,
                torchs.cooldown_counter,
            )
            falls += state.lr < before
        assert falls > 0 or rate < options.get("min_lr", options.get("eps", 0.0))


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("options", PLATEAUS, ids=str)
def test_plateau_of_many_models_at_once(options, mode):
    states = [plateau.initial(rate, mode) for rate in RATES]
    together = plateau.initial(torch.tensor(RATES, dtype=torch.float64), mode)
    for row in zip(*(metrics(seed) for seed in range(len(RATES))), strict=True):
        pairs = zip(row, states, strict=True)
        states = [plateau.update(metric, state, mode=mode, **options) for metric, state in pairs]
        together = plateau.update(torch.tensor(row, dtype=torch.float64), together, mode=mode, **options)
        for k, state in enumerate(states):
            assert tuple(float(field[k]) for field in together) == state


def rates(schedule):
    """Return what runs a schedule: each step a tuple of what it sets."""
    return lambda base_lr, **options: [(lr,) for lr in run(schedule, base_lr, options)]


def cycle(**options):
    return [one_cycle.values(t, **options) for t in range(97)]


def states(lr, mode, scale, **options):
    state, seen = plateau.initial(lr, mode), []
    for metric in metrics(0):
        state = plateau.update(metric * scale, state, mode=mode, **options)
        seen.append(state)
    return seen


def members(names, *rows):
    return [dict(zip(names.split(), row, strict=True)) for row in rows]


FLEETS = {
    "constant": (rates(constant), members("base_lr", [0.1], [3e-4], [1.0])),
    "step": (
        rates(step),
        members("base_lr step_size gamma", [0.1, 20, 0.3], [3e-4, 1, 0.9], [1.0, 7, 0.1], [0.7, 100, 0.5]),
    ),
    "cosine": (
        rates(cosine),
        members(
            "base_lr T_max eta_min", [0.1, 10, 0.0], [3e-4, 59, 1e-5], [1.0, 7, 1e-4], [0.7, 1, 0.0], [0.2, 90, 0.1]
        ),
    ),
    "warmup_cosine": (
        rates(warmup_cosine),
        members(
            "base_lr warmup_epochs max_epochs start_factor",
            *([0.1, 5, 60, 0.1], [3e-4, 1, 90, 0.01], [1.0, 59, 62, 1 / 3], [0.7, 20, 45, 1.0], [0.2, 3, 10, 0.5]),
        ),
    ),
    "plateau": (
        states,
        members(
            "lr scale factor patience threshold cooldown min_lr eps",
            [0.1, 1.0, 0.1, 2, 1e-4, 0, 0.0, 1e-8],
            [3e-4, 0.3, 0.3, 5, 0.05, 2, 1e-5, 1e-6],
            [1.0, 2.0, 0.5, 0, 0.02, 3, 1e-3, 1e-3],
            [0.7, -1.0, 0.9, 1, 0.0, 7, 0.1, 0.05],
        ),
    ),
    "one_cycle": (
        cycle,
        members(
            "max_lr total_steps pct_start base_momentum max_momentum div_factor final_div_factor",
            [0.1, 60, 0.3, 0.85, 0.95, 25.0, 1e4],
            [3e-4, 11, 0.2, 0.5, 0.9, 10.0, 100.0],
            [1.0, 97, 0.1, 0.8, 0.99, 4.0, 1e3],
            [0.7, 24, 0.45, 0.0, 0.95, 25.0, 10.0],
        ),
    ),
}
FLAGS = {
    "plateau": [{"mode": mode, "threshold_mode": by} for mode in ("min", "max") for by in ("rel", "abs")],
    "one_cycle": [{"three_phase": three, "anneal_strategy": by} for three in (False, True) for by in ("cos", "linear")],
}
VARIED = [
    pytest.param(name, names, flags, id=f"{name}-{'all' if len(names) > 1 else names[0]}-{flags}")
    for name, (_, rows) in FLEETS.items()
    for names in dict.fromkeys([tuple(rows[0]), *((key,) for key in rows[0])])
    for flags in FLAGS.get(name, [{}])
]


@pytest.mark.parametrize(("name", "names", "flags"), VARIED)
def test_models_that_differ_in_any_number_go_as_they_would_alone(name, names, flags):
    trace, rows = FLEETS[name]
    rows = [rows[0] | {key: row[key] for key in names} for row in rows]
    columns = {key: [row[key] for row in rows] for key in names}
    spread = {}
    for key, column in columns.items():
        dtype = torch.int64 if isinstance(column[0], int) else torch.float64
        spread[key] = torch.tensor(column, dtype=dtype).reshape(-1, 1, 1)
    together = [
        [torch.as_tensor(value, dtype=torch.float64).expand(len(rows), 1, 1).flatten().tolist() for value in seen]
        for seen in trace(**(rows[0] | spread | flags))
    ]
    apart = [trace(**row, **flags) for row in rows]
    expected = [[list(field) for field in zip(*seen, strict=True)] for seen in zip(*apart, strict=True)]
    # Only a cosine may differ, in its last digit, between a number and a tensor.
    if name in ("constant", "step", "plateau") or flags.get("anneal_strategy") == "linear":
        assert together == expected
    together, expected = (torch.tensor(values, dtype=torch.float64) for values in (together, expected))
    torch.testing.assert_close(together, expected, rtol=1e-12, atol=0.0)
