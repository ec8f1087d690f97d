"""The LightningModule of a population: one `training_step` is an epoch of all members."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from glassbox.mechanics.number import Number
from glassbox.population.decision import Best, Stopping, divergence
from glassbox.population.evaluation import Evaluate
from glassbox.population.member import Cohort
from glassbox.population.order import Orders
from glassbox.population.schedule import Schedule
from glassbox.population.step import Steps
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
        steps: The steps of all members.
        evaluate: Their evaluation.
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
        steps: Steps,
        evaluate: Evaluate,
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
        self.module = cohort.net  # for the Trainer, which switches it
        self.cohort, self.members = cohort, members
        self.steps, self.evaluate, self.theta, self.state = steps, evaluate, theta, state
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
        made = self.steps(
            self.theta,
            self.state,
            (x, y),
            order,
            _on(x.device, rates),
            self.cohort.batch_size,
            options=self.options,
            clip=self.clip,
        )
        self.theta, self.state = made.theta, made.state
        output = torch.cat([part.movedim(-1, 0) for part in made.outputs], dim=1).movedim(0, -1)  # as metrics like it
        target = y.reshape(-1).index_select(0, order.T.reshape(-1)).view(order.T.shape).T
        self._train = self.values(output, torch.stack(made.losses), target)
        self._norms = made.norms

    def validation_step(self, batch: int, batch_idx: int) -> None:
        """Evaluate all members; the Trainer has set eval() and no_grad()."""
        x, y = self.data["val"]
        self._val = self.values(*self.evaluate(self.theta, x, y), y.reshape(-1, 1))

    def values(self, output: Tensor, losses: Tensor, target: Tensor) -> Tensor:
        """Return loss and metrics [M, K].

        Args:
            output: Outputs [N, C, K].
            losses: Mean losses of their batches [T, K].
            target: Targets [N, K], or [N, 1] where all members have the same.
        """
        rows = torch.full((len(losses), 1), self.cohort.batch_size, dtype=output.dtype, device=output.device)
        rows[-1] = len(output) - (len(losses) - 1) * self.cohort.batch_size
        loss = (losses * rows).sum(dim=0) / len(output)
        found = metrics(self.cohort.task, output, target, self.cohort.target_scale)
        return torch.stack([loss, *found.values()])

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
