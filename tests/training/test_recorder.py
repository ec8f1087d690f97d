"""A recorder sees every batch as it was, its audit is exact, and the run's bits are those of a run without it."""

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from glassbox.config.compose import composed, task_values
from glassbox.config.job import prepare
from glassbox.config.place import CONF
from glassbox.errors import BadInput
from glassbox.replay.audit import audit
from glassbox.replay.check import Grade
from glassbox.replay.rng import capture
from glassbox.training.recorder import Recorder
from glassbox.training.trainer import NoProfiler, hush, place, seed_all

BATCHES = 60
MLP = ("model=mlp", "model.hidden=8")
ONE_CYCLE = ("scheduler=one_cycle", "scheduler.cycle_momentum=true")
MOMENTUM = ("optimizer=nesterov", "optimizer.weight_decay=0.01", "lr=0.1")
# setting → overrides, and the grade of the gradients where not all have a hand rule
JOBS = {
    "adam": ((), Grade.EXACT),
    "sgd": (("optimizer=sgd", "lr=0.1"), Grade.EXACT),
    "momentum": (("optimizer=momentum", "optimizer.dampening=0.1", "lr=0.1"), Grade.EXACT),
    "nesterov, weight decay": (MOMENTUM, Grade.EXACT),
    "rmsprop": (("optimizer=rmsprop",), Grade.EXACT),
    "rmsprop centred, momentum": (
        ("optimizer=rmsprop", "optimizer.centered=true", "optimizer.momentum=0.9", "lr=1e-3"),
        Grade.EXACT,
    ),
    "adamw amsgrad": (("optimizer=adamw", "optimizer.amsgrad=true"), Grade.EXACT),
    "adam weight decay": (("optimizer.weight_decay=0.01",), Grade.EXACT),
    "dropout": ((*MLP, "model.dropout=0.3"), Grade.FD),
    "batch norm": ((*MLP, "model.batch_norm=true"), Grade.FD),
    "tanh": ((*MLP, "model.activation=tanh"), Grade.EXACT),
    "clip by norm": (("trainer.gradient_clip_val=0.05",), Grade.EXACT),
    "clip by value": (
        ("trainer.gradient_clip_val=0.01", "trainer.gradient_clip_algorithm=value"),
        Grade.EXACT,
    ),
    "accumulate 4": (("trainer.accumulate_grad_batches=4",), Grade.EXACT),
    "accumulate 3, clip": (("trainer.accumulate_grad_batches=3", "trainer.gradient_clip_val=0.05"), Grade.EXACT),
    "one cycle": (ONE_CYCLE, Grade.EXACT),
    "one cycle, momentum": ((*ONE_CYCLE, *MOMENTUM), Grade.EXACT),
    "bf16-mixed": (("trainer.precision=bf16-mixed",), Grade.FD),
    "64-true": (("trainer.precision=64-true",), Grade.EXACT),
    "cross entropy": (("data=digits", "trainer.limit_train_batches=10"), Grade.EXACT),
    "mse": (("data=diabetes", "max_epochs=8"), Grade.EXACT),
}
# The others are `slow`; tests/replay/test_update.py has every optimizer without Lightning.
QUICK = ("adam", "batch norm", "accumulate 4")


def built(*overrides):
    common = ("logger=none", "trainer=cpu", "callbacks=none", "max_epochs=6")
    values = task_values(composed(CONF, "train", [*common, *overrides]))
    return prepare(values, values)


def fitted(overrides, folder, callback=None):
    """Run a job; return its weights, the rows of its epochs, and the state of the generators after it."""
    job = built(*overrides)
    place(job.trainer, folder)
    if callback is not None:
        job.trainer.callbacks.append(callback)
    seed_all(3)
    job.trainer.fit(job.module, datamodule=job.datamodule)
    return job.module.state_dict(), job.curves.rows, capture()


def assert_exact(found, grade=Grade.EXACT):
    """Assert that everything of an audited step is exact, but gradients as good as `grade`."""
    told = {
        "loss": found.loss,
        "stale": found.stale,
        "moved": found.moved,
        **{f"gradient of {name}": check for name, check in found.gradients.items()},
        **{f"update of {name}": check for name, check in found.updates.items()},
        **({"clipping": found.clipping} if found.clipping else {}),
    }
    for what, check in told.items():
        allowed = (Grade.EXACT, grade) if what.startswith("gradient") else (Grade.EXACT,)
        assert check.grade in allowed, f"{what} of batch {found.step.number}: {check}"
    assert found.gradients
    assert bool(found.updates) == found.step.stepped
    assert (found.clipping is not None) == (found.step.clip is not None and found.step.stepped)


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def same_generators(one, two):
    return torch.equal(one["torch"], two["torch"]) and one["python"] == two["python"]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in JOBS])
def test_every_batch_is_exact_and_the_run_is_the_same_bits(name, tmp_path):
    overrides, grade = JOBS[name]
    seen = []

    def look(step):
        seen.append(audit(step, finite_differences=grade is Grade.FD and len(seen) in (0, 40)))

    recorder = Recorder(look, when=lambda trainer, batch_idx: len(seen) < BATCHES)
    weights, rows, generators = fitted(overrides, tmp_path, recorder)
    plain, plain_rows, plain_generators = fitted(overrides, tmp_path)
    assert same(weights, plain)
    assert rows == plain_rows
    assert same_generators(generators, plain_generators)
    assert len(seen) == BATCHES
    for number, found in enumerate(seen):
        assert_exact(
            found, Grade.EXACT if grade is Grade.EXACT else Grade.FD if number in (0, 40) else Grade.NOT_CHECKED
        )
    if grade is Grade.FD:
        assert all(Grade.FD in {check.grade for check in seen[n].gradients.values()} for n in (0, 40))
    assert all(found.updates for found in seen) == ("accumulate" not in name)
    if "clip" in name:
        assert any(not same(found.step.clipped, found.step.gradients) for found in seen if found.step.stepped)
    if "one cycle" in name:
        assert len({str(found.step.groups) for found in seen}) == BATCHES


class Small(pl.LightningModule):
    """A net of the user's own, with metrics of its own and random numbers from everywhere."""

    def __init__(self, optimizer=torch.optim.SGD, **options):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 6), nn.Tanh())
        self.head = nn.Linear(6, 1)
        self.loss = nn.MSELoss()
        self.optimizer, self.options = optimizer, {"lr": 0.05, **options}
        self.seen = []

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = self.loss(self.head(self.body(x)), y)
        self.seen.append(float(loss.detach()))
        self.log("loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.print("one more step")
        return {"loss": loss, "rows": len(x)}

    def configure_optimizers(self):
        return self.optimizer(self.parameters(), **self.options)


class TwoGroups(Small):
    def configure_optimizers(self):
        groups = [
            {"params": self.body.parameters(), "lr": 0.01, "weight_decay": 0.1},
            {"params": self.head.parameters(), "betas": (0.5, 0.9)},
        ]
        return torch.optim.AdamW(groups, lr=0.05)


class Frozen(Small):
    def __init__(self, **options):
        super().__init__(torch.optim.Adam, **options)
        self.body[0].requires_grad_(False)


class Reads(Small):
    """Its loss depends on the trainer, as an annealed weight does, and it writes to the trainer."""

    def training_step(self, batch, batch_idx):
        x, y = batch
        weight = self.trainer.training / (1 + self.global_step + self.current_epoch)
        noise = torch.randn_like(x) * weight
        metrics = self.trainer.callback_metrics
        metrics["steps"] = metrics.get("steps", torch.tensor(0.0)) + 1
        return self.loss(self.head(self.body(x + noise)), y)


def loader(rows=40):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 2, generator=generator)
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True).sin()), batch_size=8, shuffle=True)


def trainer(folder, *callbacks, **options):
    hush()
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        profiler=NoProfiler(),
        **{"max_steps": BATCHES, "max_epochs": -1, **options},
    )


def trained(make, folder, *callbacks, **options):
    seed_all(1)
    module = make()
    seed_all(1)
    fit = trainer(folder, *callbacks, **options)
    fit.fit(module, loader())
    return module, {key: float(value) for key, value in fit.callback_metrics.items()}


pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'train_dataloader' does not have many workers", "ignore:GPU available"
)


@pytest.mark.parametrize("make", [TwoGroups, Frozen, Reads])
def test_a_module_of_ones_own_is_exact_and_the_run_is_the_same_bits(make, tmp_path, capsys):
    steps = []

    def look(step):
        steps.append(step)
        audit(step)

    module, metrics = trained(make, tmp_path, Recorder(look))
    printed = capsys.readouterr().out
    found = [audit(step) for step in steps]  # again after the run, when the trainer has gone on
    assert capsys.readouterr().out == ""
    plain, plain_metrics = trained(make, tmp_path)
    assert same(module.state_dict(), plain.state_dict())
    assert (module.seen, metrics, printed) == (plain.seen, plain_metrics, capsys.readouterr().out)
    assert len(found) == BATCHES
    for item in found:
        assert_exact(item)
    names = {name for name, p in module.named_parameters() if p.requires_grad}
    assert set(found[0].gradients) == names
    assert set(found[0].updates) == {name for name, _ in module.named_parameters()}


def test_the_order_of_calls_is_the_real_one(tmp_path):
    class Scheduled(Small):
        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
            return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    steps = []
    recorder = Recorder(steps.append, when=lambda trainer, batch_idx: trainer.global_step == 1)
    trained(Scheduled, tmp_path, recorder, max_steps=4, accumulate_grad_batches=2, gradient_clip_val=0.5)
    first, second = steps
    assert first.events == [
        "on_train_batch_start",
        "loss = training_step(batch)",
        "optimizer.zero_grad()",
        "loss.backward()",
        "on_after_backward",
        "on_train_batch_end",
    ]
    assert second.events == [
        "on_train_batch_start",
        "optimizer.step(closure) begins",
        "loss = training_step(batch)",
        "loss.backward()",
        "on_after_backward",
        "on_before_optimizer_step",
        "clip gradients by norm 0.5",
        "optimizer.step(): update",
        "optimizer.step(closure) ends",
        "scheduler.step()",
        "on_train_batch_end",
    ]
    assert (first.stepped, second.stepped, first.number, second.number) == (False, True, 1, 1)


def test_nothing_is_left_on_module_optimizer_or_scheduler(tmp_path):
    class Stops(Small):
        def on_train_batch_start(self, batch, batch_idx):
            return -1 if self.global_step == 3 else None

    covered = {"training_step", "optimizer_step", "backward", "configure_gradient_clipping"}
    module = Stops()
    fit = trainer(tmp_path, Recorder(lambda step: None), max_epochs=2, max_steps=-1)
    fit.fit(module, loader())
    assert not covered & set(vars(module))
    assert "zero_grad" not in vars(fit.optimizers[0])

    class Breaks(Small):
        def training_step(self, batch, batch_idx):
            raise RuntimeError("no")

    broken = Breaks()
    with pytest.raises(RuntimeError, match="no"):
        trainer(tmp_path, Recorder(lambda step: None)).fit(broken, loader())
    assert not covered & set(vars(broken))


def test_what_has_no_one_step_is_refused(tmp_path):
    class Manual(Small):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

    class Two(Small):
        def configure_optimizers(self):
            return [torch.optim.SGD(self.body.parameters(), 0.1), torch.optim.SGD(self.head.parameters(), 0.1)]

    class Without(Small):
        def configure_optimizers(self):
            return None

    with pytest.raises(BadInput, match="Manual uses manual optimization"):
        trainer(tmp_path, Recorder(print)).fit(Manual(), loader())
    with pytest.raises(RuntimeError, match="multiple optimizers is only supported with manual"):  # by Lightning
        trainer(tmp_path, Recorder(print)).fit(Two(), loader())
    with pytest.raises(BadInput, match="Without has no optimizer"), pytest.warns(UserWarning, match="no optimizer"):
        trainer(tmp_path, Recorder(print)).fit(Without(), loader())


class Lambda(Small):
    def __init__(self):
        super().__init__()
        self.net = lambda x: self.head(self.body(x))

    def training_step(self, batch, batch_idx):
        return self.loss(self.net(batch[0]), batch[1])


class Uncopied(nn.Module):
    def __deepcopy__(self, memo):
        raise RuntimeError("a handle of a file")


class Handle(Small):
    def __init__(self):
        super().__init__()
        self.handle = Uncopied()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Lambda, "Lambda cannot be copied: net is a function that refers to the module itself"),
        (Handle, "Handle cannot be copied: a handle of a file"),
    ],
)
def test_a_module_that_cannot_be_copied_is_told_and_the_run_goes_on(make, reason, tmp_path):
    steps = []
    module, _ = trained(make, tmp_path, Recorder(steps.append), max_steps=3)
    assert same(module.state_dict(), trained(make, tmp_path, max_steps=3)[0].state_dict())
    assert [step.refused for step in steps] == [reason] * 3
    found = audit(steps[1])
    checks = [found.loss, found.stale, found.moved, *found.gradients.values(), *found.updates.values()]
    assert {str(check) for check in checks} == {f"NOT CHECKED: {reason}"}


def test_a_graph_kept_alive_is_left_out_of_the_copy(tmp_path):
    class Keeps(Small):
        total = None

        def training_step(self, batch, batch_idx):
            loss = self.loss(self.head(self.body(batch[0])), batch[1])
            self.total = loss if self.total is None else self.total + loss
            return loss

    steps = []
    trained(Keeps, tmp_path, Recorder(steps.append), max_steps=4)
    assert [step.kept for step in steps] == [(), ("total",), ("total",), ("total",)]
    for step in steps:
        assert_exact(audit(step))


def test_a_hook_that_changes_a_gradient_is_done_again_and_a_watcher_is_not(tmp_path):
    class Masked(Small):
        def __init__(self):
            super().__init__()
            self.head.weight.register_hook(lambda grad: grad * 2)

    class Watcher(pl.Callback):
        calls = 0

        def on_fit_start(self, trainer, pl_module):
            pl_module.head.register_forward_hook(self.look)

        def look(self, module, args, output):
            self.calls += 1

    steps, watcher = [], Watcher()
    trained(Masked, tmp_path, watcher, Recorder(steps.append), max_steps=3)
    found = audit(steps[1])
    assert watcher.calls == 3
    assert {found.loss.grade, found.stale.grade, found.updates["head.weight"].grade} == {Grade.EXACT}
    told = "a hook of head.weight changes its gradient, so that it is no derivative"
    assert str(found.gradients["head.weight"]) == f"NOT CHECKED: {told}"
    assert found.gradients["head.bias"].grade is Grade.EXACT
