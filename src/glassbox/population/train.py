"""A cohort made ready, and its chunks trained one after another."""

from collections.abc import Callable, Sequence

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor

from glassbox.data.module import TableModule
from glassbox.population.evaluation import evaluation
from glassbox.population.hyper_parameter import RULES, of_optimizer, of_scheduler, spread
from glassbox.population.member import Cohort, Member, Snapshot, Trained
from glassbox.population.module import Kept, Population
from glassbox.population.net import choose
from glassbox.population.order import Orders
from glassbox.population.schedule import Schedule
from glassbox.population.setting import Setting
from glassbox.population.step import Steps, compiled_apart
from glassbox.training.boundary import grid
from glassbox.training.metric import NAMES
from glassbox.training.trainer import NoProfiler, hush


class Program:
    """A cohort ready to be trained; its chunks share what is compiled.

    Args:
        cohort: What the members share.
        datamodule: What they train on.
        setting: What decides the last bits.
    """

    def __init__(self, cohort: Cohort, datamodule: TableModule, setting: Setting) -> None:
        self.cohort = cohort
        self.setting = setting
        self.datamodule = datamodule
        self.net = choose(cohort.net, cohort.loss)
        self.rule = RULES[cohort.optimizer]
        self._steps = len(datamodule.train_dataloader())  # of an epoch
        self.steps = Steps(self.net, self.rule, cohort.clip_algorithm, setting.compiled)
        self.device = self._trainer().strategy.root_device
        self._evaluate = evaluation(self.net, cohort.loss, cohort.batch_size)
        self._validate = self._evaluate
        if setting.compiled:
            self._validate = compiled_apart(self._evaluate)

    def train(self, members: Sequence[Member], progress: Callable[[int], None] = lambda done: None) -> list[Trained]:
        """Train a chunk.

        Args:
            members: At most `setting.width` members.
            progress: Told after each epoch how many epochs of members are done, or will not be needed.

        Returns:
            What became of each, on the CPU.

        Raises:
            ValueError: There are more members than places, or they differ where they may not.
        """
        if not 0 < len(members) <= self.setting.width:
            raise ValueError(f"{len(members)} members do not fit {self.setting.width} places")
        hush()
        torch.set_num_threads(self.setting.threads)
        device = self.device
        population = self._population(members, device, progress)
        self._trainer().fit(population.train())
        judged = population.last if self.cohort.monitor is None else population.best
        x, y = self._data("test", device)
        with torch.no_grad():
            population.eval()
            test = population.values(*self._evaluate(judged.theta, x, y), y.reshape(-1, 1)).T.tolist()
            logits = self._logits(judged.theta)
        best, last = self._snapshots(population.best), self._snapshots(population.last)
        table = torch.stack(population.table).permute(2, 0, 1).tolist()
        made = zip(range(len(members)), table, best, last, test, strict=False)
        return [self._trained(population, *one, logits) for one in made]

    def _trainer(self) -> pl.Trainer:
        return pl.Trainer(
            **self.cohort.trainer,
            devices=1,
            max_epochs=self.cohort.max_epochs,
            num_sanity_val_steps=0,
            plugins=[LightningEnvironment()],
            profiler=NoProfiler(),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    def _population(
        self, members: Sequence[Member], device: torch.device, progress: Callable[[int], None]
    ) -> Population:
        cohort, varied = self.cohort, self.setting.varied
        places = [*members, *[members[0]] * (self.setting.width - len(members))]
        train, val = self._data("train", device), self._data("val", device)
        columns = {id(m): torch.cat([m.weights[name].flatten() for name in self.net.names]) for m in members}
        theta = torch.stack([columns[id(m)] for m in places], dim=1).to(device, train[0].dtype)
        theta = self.net.place(theta)
        options = of_optimizer(cohort, places, varied, device)
        lr = options.pop("lr")
        schedule = Schedule(
            cohort.scheduler,
            of_scheduler(places, varied),
            lr.cpu() if isinstance(lr, Tensor) else lr,
            cohort.interval,
            steps=self._steps,
            members=len(places),
        )
        return Population(
            cohort,
            self.steps,
            self._validate,
            theta,
            self.rule.initial(theta),
            options=options,
            clip=spread([m.clip for m in places], "clip" in varied, "clip", device),
            schedule=schedule,
            orders=Orders(len(train[0]), [m.seed for m in places], device),
            train=train,
            val=val,
            members=len(members),
            progress=progress,
        )

    def _data(self, part: str, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return features and targets of a part, in the order of the table."""
        x, y = getattr(self.datamodule, f"{part}_dataloader")().tensors
        return x.to(device), y.to(device)

    def _logits(self, theta: Tensor) -> Tensor | None:
        """Return outputs on the grid of the boundary [2500, C, K]; None where there is none to draw."""
        data = self.datamodule
        if data.in_features != 2 or data.table.classes is None:
            return None
        raw = data.standardize(grid(data.table.features))
        return self.net.output(theta, raw.to(theta.device, theta.dtype)).cpu()

    def _snapshots(self, kept: Kept) -> list[Snapshot | None]:
        """Return each member's own share of what was kept; None of whom nothing was."""
        names, shapes = self.net.names, self.net.shapes
        sizes = [shape.numel() for shape in shapes]

        def named(column: Tensor) -> dict[str, Tensor]:
            parts = zip(names, torch.split(column, sizes), shapes, strict=True)
            return {name: part.view(shape).clone() for name, part, shape in parts}

        state = kept.state._asdict()
        steps = self._steps if "step" in state else 0
        columns = kept.theta.T.contiguous().cpu()
        states = {
            key: value.T.contiguous().cpu() for key, value in state.items() if value is not None and key != "step"
        }
        return [
            Snapshot(
                epoch,
                named(columns[member]),
                {key: named(value[member]) for key, value in states.items()},
                steps * (epoch + 1),
                float(kept.lr[member]),
            )
            if epoch >= 0
            else None
            for member, epoch in enumerate(kept.epoch.tolist())
        ]

    def _trained(
        self,
        population: Population,
        member: int,
        table: list[list[float]],
        best: Snapshot | None,
        last: Snapshot | None,
        test: list[float],
        logits: Tensor | None,
    ) -> Trained:
        assert last is not None
        rows = {
            epoch: dict(zip(population.keys, row, strict=True)) for epoch, row in enumerate(table[: last.epoch + 1])
        }
        reason = population.reasons.get(member)
        if reason is not None:
            return Trained(rows, "diverged", reason, best, last, {}, None)
        tested = dict(zip((f"test/{name}" for name in ("loss", *NAMES[self.cohort.task])), test, strict=True))
        own = None if logits is None else logits[..., member].clone()
        return Trained(rows, "finished", None, best, last, tested, own)
