"""The optimizer of a member as torch would have it, for its checkpoint."""

from typing import Any

import torch
from torch import nn

from glassbox.population.member import Cohort, Member, Snapshot

# torch keeps these tensors only under an option of that name, which the hand rules carry always.
ONLY_WITH = {"momentum_buffer": "momentum", "grad_avg": "centered", "max_exp_avg_sq": "amsgrad"}


def optimizer_state(cohort: Cohort, member: Member, snapshot: Snapshot) -> dict[str, Any]:
    """Return the `state_dict` that the optimizer of the member's run alone has at a snapshot.

    Args:
        cohort: It knows the optimizer and the scheduler.
        member: Its hyper-parameters.
        snapshot: The member at the end of an epoch.

    Example:
        >>> cohort = Cohort(nn.Linear(1, 1), nn.MSELoss(), "regression", torch.optim.SGD, 1, 1)
        >>> weights = {"weight": torch.ones(1, 1)}
        >>> state = optimizer_state(cohort, Member(0, weights, {"lr": 0.1}), Snapshot(0, weights, {}, 0, 0.1))
        >>> state["state"], state["param_groups"][0]["lr"]
        ({}, 0.1)
    """
    make: Any = cohort.optimizer
    optimizer: torch.optim.Optimizer = make([nn.Parameter(w) for w in snapshot.weights.values()], **member.optimizer)
    if cohort.scheduler is not None:
        cohort.scheduler(optimizer, **member.scheduler)  # it notes rates of its own in the optimizer
    (group,) = optimizer.param_groups
    group["lr"] = snapshot.lr
    kept = {key: value for key, value in snapshot.state.items() if key not in ONLY_WITH or group[ONLY_WITH[key]]}
    step = {"step": torch.tensor(float(snapshot.steps))} if snapshot.steps else {}
    state = [step | {key: value[name] for key, value in kept.items()} for name in snapshot.weights]
    return optimizer.state_dict() | {"state": {number: own for number, own in enumerate(state) if own}}
