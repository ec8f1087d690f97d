"""Members of a population from the configs of runs alone, and these runs."""

from glassbox.config.compose import composed, task_values
from glassbox.config.job import Job, prepare
from glassbox.config.place import CONF
from glassbox.population.member import Cohort, Member


def job(*overrides: str) -> Job:
    """Return the job of a run alone."""
    values = task_values(composed(CONF, "train", ["logger=none", "trainer=cpu", *overrides]))
    return prepare(values, values)


def member(one: Job) -> Member:
    """Return the member that is to have the same result."""
    module = one.module
    weights = {name: p.detach().clone() for name, p in module.net.named_parameters()}
    scheduler = {} if module._scheduler is None else dict(module._scheduler.keywords)
    clip = one.values["trainer"]["gradient_clip_val"]
    return Member(one.values["seed"], weights, dict(module._optimizer.keywords), scheduler, clip)


def cohort(one: Job) -> Cohort:
    """Return what it shares with others."""
    module, values = one.module, one.values
    callbacks = values["callbacks"] or {}
    stopping = {k: v for k, v in callbacks.get("early_stopping", {}).items() if k[0] != "_"} or None
    checkpoint = callbacks.get("checkpoint")
    return Cohort(
        module.net,
        module.loss,
        values["loss"]["task"],
        module._optimizer.func,
        values["max_epochs"],
        values["batch_size"],
        None if module._scheduler is None else module._scheduler.func,
        module._interval,
        module._monitor,
        None if checkpoint is None else checkpoint["monitor"],
        "min" if checkpoint is None else checkpoint["mode"],
        stopping,
        values["trainer"]["gradient_clip_algorithm"],
        one.datamodule.target_scale,
        {key: values["trainer"][key] for key in ("accelerator", "precision", "deterministic")},
    )
