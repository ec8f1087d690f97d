"""Record training batches of a real run as they happen, without changing the run."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import _MockOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from glassbox.errors import BadInput
from glassbox.replay.rng import capture
from glassbox.replay.step import Named, Step
from glassbox.replay.trace import loss_of
from glassbox.training.snapshot import snapshot

When = Callable[[pl.Trainer, int], bool]
HOOKS = (
    "backward",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "on_after_backward",
    "on_before_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "optimizer_step",
    "optimizer_zero_grad",
)


class Recorder(Callback):
    """Record chosen batches as `Step` and hand each over at its end.

    During a recorded batch the methods of the module and of its optimizer are covered by functions that look and then
    call the method itself; they are removed at the batch's end. Everything that is kept is a copy, and no random number
    is drawn: weights, metrics and generators of the run are the same bits with and without a recorder.

    Args:
        on_step: Called with each recorded step.
        when: Which batches to record: (trainer, batch_idx) → whether; all by default.
    """

    def __init__(self, on_step: Callable[[Step], None], when: When = lambda trainer, batch_idx: True) -> None:
        self.on_step = on_step
        self.when = when
        self._recording: _Recording | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse what has no one step that could be recorded.

        Raises:
            BadInput: The module optimizes by itself, or runs on several devices.
        """
        name = type(pl_module).__name__
        if not pl_module.automatic_optimization:
            raise BadInput(
                f"{name} uses manual optimization: it calls backward and step itself, in an order of its own, so there "
                "is no one step to do again"
            )
        if trainer.world_size > 1:
            raise BadInput(f"a step is recorded on one device, not on {trainer.world_size}: use trainer.devices=1")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a module without an optimizer; several are refused by Lightning.

        Raises:
            BadInput: There is no optimizer.
        """
        if isinstance(trainer.optimizers[0], _MockOptimizer):
            raise BadInput(f"{type(pl_module).__name__} has no optimizer: a step with exactly one can be done again")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin to record, if this batch is wanted."""
        self._stop()
        if self.when(trainer, batch_idx):
            self._recording = _Recording(trainer, pl_module, batch_idx)
            self._recording.cover()

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that it was called."""
        self._note("on_after_backward")

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Note that it was called."""
        self._note("on_before_optimizer_step")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Hand the step over."""
        self._note("on_train_batch_end")
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.uncover()
            step = recording.finish()
            if step is not None:
                self.on_step(step)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave the module as it was."""
        self._stop()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the module as it was, where the last batch was skipped."""
        self._stop()

    def _note(self, event: str) -> None:
        if self._recording is not None:
            self._recording.events.append(event)

    def _stop(self) -> None:
        if self._recording is not None:
            self._recording.uncover()
            self._recording = None


class _Recording:
    """One batch, while it happens."""

    def __init__(self, trainer: pl.Trainer, module: pl.LightningModule, batch_idx: int) -> None:
        self.trainer = trainer
        self.module = module
        self.batch_idx = batch_idx
        self.optimizer = trainer.optimizers[0]
        self.parameters = _named(module, self.optimizer)
        self.events = ["on_train_batch_start"]
        self.before: dict[str, Any] = {}
        self.step: Step | None = None
        self._covered: list[tuple[Any, str, Any]] = []

    def cover(self) -> None:
        """Put a function that looks in front of each method that the framework calls in a batch."""
        for name in ("optimizer_step", "training_step", "backward", "configure_gradient_clipping"):
            self._cover(self.module, name, getattr(self, f"_{name}"))
        self._cover(self.optimizer, "step", self._step)
        self._cover(self.optimizer, "zero_grad", self._noting("optimizer.zero_grad()"))
        for config in self.trainer.lr_scheduler_configs:
            self._cover(config.scheduler, "step", self._noting("scheduler.step()"))

    def uncover(self) -> None:
        """Take these functions away."""
        for owner, name, own in reversed(self._covered):
            if own is None:
                owner.__dict__.pop(name, None)
            else:
                owner.__dict__[name] = own
        self._covered.clear()

    def finish(self) -> Step | None:
        """Return the step, complete; None if there was no `training_step`."""
        step = self.step
        if step is None:
            return None
        step.events = self.events
        if not step.stepped:
            step.after = self._values()
            step.before_update = step.before_update or step.after
        return step

    def _cover(self, owner: Any, name: str, look: Callable[..., Any]) -> None:
        method, own = getattr(owner, name), owner.__dict__.get(name)

        @functools.wraps(method)
        def covering(*args: Any, **kwargs: Any) -> Any:
            return look(method, *args, **kwargs)

        if hasattr(method, "__wrapped__"):
            covering.__wrapped__ = method.__wrapped__  # Lightning looks one level deep for the names of arguments
        owner.__dict__[name] = covering
        self._covered.append((owner, name, own))

    def _noting(self, event: str) -> Callable[..., Any]:
        def look(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            self.events.append(event)
            return method(*args, **kwargs)

        return look

    def _optimizer_step(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._look_before()
        return method(*args, **kwargs)

    def _training_step(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._look_before()
        if self.step is None:
            self.step = self._begin(args)
        else:
            self.step.refused = "the optimizer runs training_step several times in one step"
        self.events.append("loss = training_step(batch)")
        output = method(*args, **kwargs)
        loss = loss_of(output)
        self.step.loss = None if loss is None else loss.detach().clone()
        return output

    def _backward(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.events.append("loss.backward()")
        output = method(*args, **kwargs)
        if self.step is not None:
            self.step.gradients = self._gradients()
            self.step.before_update = self._values()
        return output

    def _configure_gradient_clipping(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        clip = _clip(self.trainer)
        if clip is not None:
            self.events.append(f"clip gradients by {clip[0]} {clip[1]:g}")
        return method(*args, **kwargs)

    def _step(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Look at what the update is given, which is there once its closure has run, and at what it makes of it."""
        closure: Callable[[], Any] | None = kwargs.get("closure", args[0] if args else None)
        if closure is None:
            self._given()
            output = method(*args, **kwargs)
        else:
            self.events.append("optimizer.step(closure) begins")
            output = method(*args[1:], **(kwargs | {"closure": functools.partial(self._closure, closure)}))
            self.events.append("optimizer.step(closure) ends")
        if self.step is not None:
            self.step.after = self._values()
            self.step.state_after = self._state()
        return output

    def _closure(self, closure: Callable[[], Any]) -> Any:
        output = closure()
        self._given()
        return output

    def _given(self) -> None:
        self.events.append("optimizer.step(): update")
        if self.step is not None:
            self.step.stepped = True
            self.step.before_update = self._values()
            self.step.clipped = self._gradients()

    def _look_before(self) -> None:
        """Keep optimizer and gradients as they are at the batch's start."""
        if not self.before:
            self.before = {"groups": self._groups(), "state": self._state(), "stale": self._gradients()}

    def _begin(self, arguments: tuple[Any, ...]) -> Step:
        """Keep module, batch and generators as they are at the start of `training_step`."""
        rng = capture()
        module, copied, kept, refused = self._copies(arguments)
        plugin = self.trainer.precision_plugin
        return Step(
            number=self.trainer.global_step,
            batch_idx=self.batch_idx,
            module=module,
            batch=copied[0] if copied else None,
            arguments=copied,
            rng=rng,
            context=plugin.train_step_context,
            optimizer=type(self.optimizer),
            accumulate=self.trainer.accumulate_grad_batches,
            clip=_clip(self.trainer),
            scaler=getattr(plugin, "scaler", None) is not None,
            overridden=tuple(hook for hook in HOOKS if _overrides(self.module, hook)),
            kept=kept,
            refused=refused,
            **self.before,
        )

    def _copies(self, arguments: tuple[Any, ...]) -> tuple[nn.Module, tuple[Any, ...], tuple[str, ...], str]:
        """Return copies of module and arguments, what was left out of them, and why there are none."""
        self.uncover()
        try:
            if getattr(self.module, "_compiler_ctx", None) is not None:
                raise ValueError("it is compiled")
            return *snapshot(self.trainer, self.module, arguments), ""
        except Exception as error:  # noqa: BLE001  a user's own __deepcopy__ or __reduce__ may raise anything
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return self.module, arguments, (), f"{type(self.module).__name__} cannot be copied: {reason}"
        finally:
            self.cover()

    def _values(self) -> Named:
        return {name: p.detach().clone() for name, p in self.parameters.items()}

    def _gradients(self) -> Named:
        return {name: p.grad.detach().clone() for name, p in self.parameters.items() if p.grad is not None}

    def _groups(self) -> list[dict[str, Any]]:
        names = {id(p): name for name, p in self.parameters.items()}
        groups = [dict(group) for group in self.optimizer.param_groups]
        return [_copied(group) | {"params": [names[id(p)] for p in group.pop("params")]} for group in groups]

    def _state(self) -> dict[str, dict[str, Any]]:
        return {name: _copied(self.optimizer.state.get(p, {})) for name, p in self.parameters.items()}


def _named(module: nn.Module, optimizer: Optimizer) -> dict[str, nn.Parameter]:
    """Return the parameters of the module by name, then those that only the optimizer knows."""
    found = dict(module.named_parameters())
    known = {id(p) for p in found.values()}
    for number, group in enumerate(optimizer.param_groups):
        for position, p in enumerate(group["params"]):
            if id(p) not in known:
                found[f"param_groups[{number}][{position}]"] = p
    return found


def _copied(values: Any) -> dict[str, Any]:
    return {
        key: value.detach().clone() if isinstance(value, Tensor) else copy.copy(value)
        for key, value in dict(values).items()
        if key != "params"
    }


def _clip(trainer: pl.Trainer) -> tuple[str, float] | None:
    """Return how the trainer clips."""
    limit = trainer.gradient_clip_val
    if not limit or limit <= 0:
        return None
    how: Any = trainer.gradient_clip_algorithm
    return str(getattr(how, "value", how) or "norm"), float(limit)


def _overrides(module: pl.LightningModule, hook: str) -> bool:
    return getattr(type(module), hook, None) is not getattr(pl.LightningModule, hook, None)
