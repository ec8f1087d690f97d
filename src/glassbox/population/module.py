"""The LightningModule of a population: one `training_step` is an epoch of all members."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from glassbox.mechanics.number import Number
from glassbox.population.decision import Best, Stopping, divergence
from glassbox.population.member import Cohort
from glassbox.population.net import Net
from glassbox.population.order import Orders
from glassbox.population.schedule import Schedule
from glassbox.population.step import Step
from glassbox.training.metric import NAMES, metrics

Data = tuple[Tensor, Tensor]


class Kept:
    """Parameters and optimizer state of the members, each from an epoch of its own.

    Args:
        theta: Parameters [P, K].
        state: The optimizer's state.

    Attributes:
        epoch: Epochs [K], -1 before the first.
        lr: The learning rates that the optimizers then had [K].
    """

    def __init__(self, theta: Tensor, state: Any) -> None:
        self.theta = theta
        self.state = state
        self.epoch = torch.full((theta.shape[1],), -1)
        self.lr = torch.zeros(theta.shape[1], dtype=torch.float64)

    def take(self, which: Tensor, theta: Tensor, state: Any, epoch: int, lr: Number) -> None:
        """Take those of some members as they are now.

        Args:
            which: Whether to take a member [K], on the CPU.
            theta: Parameters [P, K].
            state: The optimizer's state.
            epoch: The epoch that ends.
            lr: The learning rates that the optimizers now have.
        """
        if not bool(which.any()):
            return
        self.epoch[which] = epoch
        self.lr = torch.where(which, torch.as_tensor(lr, dtype=torch.float64), self.lr)
        which = which.to(theta.device)
        self.theta = torch.where(which, theta, self.theta)
        self.state = type(state)(*(_chosen(which, new, old) for new, old in zip(state, self.state, strict=True)))


class Population(pl.LightningModule):
    """Many members of one cohort, trained together.

    The Trainer places, switches train/eval and no_grad, and counts epochs; it needs one batch of any kind per epoch.

    Args:
        cohort: What the members share.
        net: The net of all members.
        step: The step of all members.
        theta: Parameters [P, K] at the start.
        state: The optimizer's state at the start.
        options: The optimizer's hyper-parameters but for lr.
        clip: The clipping limit, a number, a tensor [K] or None.
        schedule: Learning rates.
        orders: Orders of the samples.
        train: Features [N, D] and targets of the training rows.
        val: The same of the validation rows.
        members: Their number; further places repeat one.
        progress: Told after each epoch how many epochs of members are done, or will not be needed.

    Attributes:
        table: Per epoch the values of `keys` [M, K], float64, on the CPU.
        keys: Names of the values of a row.
        ended: Member → the last epoch of it, where it was stopped.
        reasons: Member → why it diverged.
        best: The members at their best epochs.
        last: The members at their last epochs.
    """

    def __init__(
        self,
        cohort: Cohort,
        net: Net,
        step: Step,
        theta: Tensor,
        state: Any,
        *,
        options: Mapping[str, Any],
        clip: Number | None,
        schedule: Schedule,
        orders: Orders,
        train: Data,
        val: Data,
        members: int,
        progress: Callable[[int], None],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.module = cohort.net
        self.cohort, self.members = cohort, members
        self.net_, self.step, self.theta, self.state = net, step, theta, state
        self.options, self.clip, self.schedule, self.orders = options, clip, schedule, orders
        self.data = {"train": train, "val": val}
        self.progress = progress
        names = ("loss", *NAMES[cohort.task])
        self.keys = [f"{stage}/{name}" for stage in ("val", "train") for name in names]
        self.keys += ["train/lr", "train/grad_norm", "train/update_ratio"]
        self.table: list[Tensor] = []
        self.ended: dict[int, int] = {}
        self.reasons: dict[int, str] = {}
        self.best, self.last = Kept(theta, state), Kept(theta, state)
        self._best = Best(cohort.mode)
        self._stopping = Stopping(**cohort.stopping) if cohort.stopping else None

    def configure_optimizers(self) -> list[Any]:
        """Return none: the update is made by hand."""
        return []

    def train_dataloader(self) -> list[int]:
        """Return one batch of nothing: the data are here already."""
        return [0]

    def val_dataloader(self) -> list[int]:
        """Return one batch of nothing."""
        return [0]

    def training_step(self, batch: int, batch_idx: int) -> None:
        """Make all steps of an epoch."""
        x, y = self.data["train"]
        order, rates = self.orders.epoch(self.current_epoch), self.schedule.epoch()
        self._lr = rates[0]
        steps = torch.split(order, self.cohort.batch_size)
        kept = []
        for number, (rows, lr) in enumerate(zip(steps, _on(x.device, rates), strict=True), 1):
            made = self.step(
                self.theta,
                self.state,
                (x, y),
                rows,
                lr,
                options=self.options,
                clip=self.clip,
                measured=number == len(steps),
            )
            self.theta, self.state = made.theta, made.state
            kept.append((made.output, made.loss))
        outputs, losses = zip(*kept, strict=True)
        target = y.reshape(len(y))[order]
        self._train = self._values(torch.stack(losses), [len(rows) for rows in steps], torch.cat(outputs), target)
        self._norms = made.norms

    def validation_step(self, batch: int, batch_idx: int) -> None:
        """Evaluate all members; the Trainer has set eval() and no_grad()."""
        self._val = self.evaluate(self.theta, *self.data["val"])

    def evaluate(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return loss and metrics [M, K] of all members on the same rows.

        Args:
            theta: Parameters [P, K].
            x: Features [N, D].
            y: Targets [N] or [N, 1].
        """
        output = self.net_.output(theta, x)
        size = self.cohort.batch_size
        loss = torch.func.vmap(self.cohort.loss, in_dims=(-1, None))
        batches = list(zip(torch.split(output, size), torch.split(y, size), strict=True))
        losses = torch.stack([loss(part, target) for part, target in batches])
        return self._values(losses, [len(target) for _, target in batches], output, y.reshape(len(y), 1))

    def on_train_epoch_end(self) -> None:
        """Write the row of each member, and decide who is best and who stops."""
        assert self._norms is not None
        values = torch.cat([self._val, self._train, self._norms]).cpu()  # the epoch's one wait for the device
        metric = dict(zip(self.keys, values, strict=False))
        grad, size, change = values[-3:].double()
        lr = torch.as_tensor(self._lr, dtype=torch.float64).expand_as(grad)
        ratio = torch.where(size > 0, change / size, torch.nan)
        self.table.append(torch.cat([values[:-3].double(), torch.stack([lr, grad, ratio])]))
        self._decide(metric, self.current_epoch)
        self.schedule.observe(metric[self.cohort.scheduler_monitor].double())
        epochs = self.cohort.max_epochs
        running = self.members - len(self.ended)
        self.progress(self.members * epochs - running * (epochs - self.current_epoch - 1))
        self.trainer.should_stop = running == 0

    def _decide(self, metric: Mapping[str, Tensor], epoch: int) -> None:
        """Keep the best, and stop whom Lightning would stop; places that repeat a member go on to the end."""
        running = torch.arange(len(metric["train/loss"])) < self.members
        running[list(self.ended)] = False
        now = self.theta, self.state, epoch, self.schedule.rate
        if self.cohort.monitor is not None:
            self.best.take(running & self._best.better(metric[self.cohort.monitor]), *now)
        diverged = divergence(metric["train/loss"], metric["val/loss"])
        stops = torch.zeros_like(running)
        stops[list(diverged)] = True
        if self._stopping is not None:
            stops |= self._stopping.stops(metric[self._stopping.monitor])
        stops &= running
        self.last.take(running if epoch + 1 == self.cohort.max_epochs else stops, *now)
        for member in torch.nonzero(stops).flatten().tolist():
            self.ended[member] = epoch
            if member in diverged:
                self.reasons[member] = f"{diverged[member]} at epoch {epoch}"

    def _values(self, losses: Tensor, rows: Sequence[int], output: Tensor, target: Tensor) -> Tensor:
        """Return loss and metrics [M, K], from the mean losses of batches [T, K] and their rows."""
        weight = torch.tensor(rows, dtype=output.dtype, device=output.device)
        loss = (losses * weight[:, None]).sum(dim=0) / sum(rows)
        found = metrics(self.cohort.task, output, target, self.cohort.target_scale)
        return torch.stack([loss, *found.values()])


def _on(device: torch.device, rates: list[Number]) -> Sequence[Number]:
    """Return rates where they are used, moved there together."""
    if isinstance(rates[0], Tensor):
        return torch.stack([torch.as_tensor(rate) for rate in rates]).to(device).unbind()
    return rates


def _chosen(which: Tensor, new: Any, old: Any) -> Any:
    """Return what is new of some members, and what is old of the others; counts and None are the same for all."""
    if not isinstance(new, Tensor) or new.dim() == 0:
        return new
    return torch.where(which, new, old) if isinstance(old, Tensor) else new
