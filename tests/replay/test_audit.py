"""An audit names the planted fault in one module, and is silent on the twin that differs by one line."""

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glassbox.replay.audit import audit
from glassbox.replay.check import Grade


class Healthy(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.act, self.two = nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)
        self.loss = nn.MSELoss()

    def forward(self, x):
        return self.two(self.act(self.one(x)))

    def training_step(self, batch, batch_idx):
        return self.loss(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


class SkipsZeroGrad(Healthy):
    def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
        pass


class HalvesGrad(Healthy):
    def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
        for p in self.parameters():
            if p.grad is not None:
                p.grad.mul_(0.5)


class ClearsToZero(Healthy):
    def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
        optimizer.zero_grad(set_to_none=False)


class ClearsByItself(SkipsZeroGrad):
    def training_step(self, batch, batch_idx):
        self.zero_grad()
        return super().training_step(batch, batch_idx)


class AlwaysClears(Healthy):
    """Clears the gradients also inside a window of accumulation."""

    def training_step(self, batch, batch_idx):
        self.zero_grad()
        return super().training_step(batch, batch_idx)


class WrongBeta2(Healthy):
    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
        group = optimizer.param_groups[0]
        group["betas"] = (0.9, 0.9)
        optimizer.step(closure=optimizer_closure)
        group["betas"] = (0.9, 0.999)


class WrongLr(Healthy):
    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
        group = optimizer.param_groups[0]
        group["lr"] *= 0.3
        optimizer.step(closure=optimizer_closure)
        group["lr"] /= 0.3


class WarmsUp(Healthy):
    """Changes the learning rate before the batch and after the update, as one may."""

    def on_train_batch_start(self, batch, batch_idx):
        self.optimizers().param_groups[0]["lr"] = 0.001 * (1 + batch_idx)

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
        optimizer.step(closure=optimizer_closure)
        optimizer.param_groups[0]["lr"] *= 0.5


class WeightDecay(Healthy):
    """An optimizer whose weight decay is another one than it says."""

    def configure_optimizers(self):
        class Decays(torch.optim.SGD):
            def step(self, closure=None):
                loss = closure()
                with torch.no_grad():
                    for p in self.param_groups[0]["params"]:
                        p.sub_(p.grad + 0.05 * p, alpha=self.param_groups[0]["lr"])
                return loss

        return Decays(self.parameters(), lr=0.1)


class Detaches(Healthy):
    def forward(self, x):
        return self.two(self.act(self.one(x).detach()))


class UnderNoGrad(Healthy):
    def forward(self, x):
        with torch.no_grad():
            a = self.one(x)
        return self.two(self.act(a))


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x  # 2 x it should be


class WrongBackward(Healthy):
    def forward(self, x):
        return self.two(Square.apply(self.act(self.one(x))))


class RightBackward(Healthy):
    def forward(self, x):
        return self.two(self.act(self.one(x)) ** 2)


class AltersGradient(Healthy):
    def on_before_optimizer_step(self, optimizer):
        self.one.weight.grad.mul_(1.5)


class AltersAfterClipping(Healthy):
    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None):
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
        def closure():
            loss = optimizer_closure()
            self.one.weight.grad.neg_()
            return loss

        optimizer.step(closure=closure)


class AltersInBackward(Healthy):
    def backward(self, loss):
        loss.backward()
        self.one.weight.grad.add_(1.0)


class MovesEarly(Healthy):
    def on_after_backward(self):
        with torch.no_grad():
            self.one.weight.sub_(0.1 * self.one.weight.grad)


class TeacherInStep(Healthy):
    """A teacher that follows the student inside training_step, as in self-supervised learning."""

    def __init__(self):
        super().__init__()
        self.teacher = nn.Linear(3, 8).requires_grad_(False)

    def training_step(self, batch, batch_idx):
        with torch.no_grad():
            self.teacher.weight.lerp_(self.one.weight, 0.1)
        return super().training_step(batch, batch_idx) + F.mse_loss(self.one(batch[0]), self.teacher(batch[0]))


def data(rows=32):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    return x, x.sum(1, keepdim=True).sin()


def findings(found):
    """Return what disagrees: place → reason."""
    places = {"loss": found.loss, "stale": found.stale, "moved": found.moved}
    places |= {"clipping": found.clipping} if found.clipping else {}
    places |= {f"gradient {name}": check for name, check in found.gradients.items()}
    places |= {f"update {name}": check for name, check in found.updates.items()}
    places |= {f"forward {call.name}": call.check for call in found.calls}
    return {place: check.reason for place, check in places.items() if check.grade is Grade.DISAGREES}


def audited(record, make, **options):
    return [audit(step) for step in record(make(), *data(), **options)]


STALE = "stale gradient: zero_grad was skipped; what is here is the new gradient plus the old one"
DETACHED = ".detach(), .data, .item() or no_grad between one and the loss"
ALTERED = "gradients were changed between backward and the update, maybe by the module's own"
# fault → module, options, {place: part of the reason}; every place that disagrees is listed
FAULTS = {
    "no zero_grad": (
        SkipsZeroGrad,
        {},
        dict.fromkeys(
            ("stale", "gradient one.weight", "gradient two.bias", "gradient one.bias", "gradient two.weight"), STALE
        ),
    ),
    "half a zero_grad": (
        HalvesGrad,
        {},
        dict.fromkeys(
            ("stale", "gradient one.weight", "gradient two.bias", "gradient one.bias", "gradient two.weight"),
            f"{STALE} times 0.5",
        ),
    ),
    "zero_grad in a window": (
        AlwaysClears,
        {"accumulate_grad_batches": 4},
        dict.fromkeys(
            ("stale", "gradient one.weight", "gradient two.bias", "gradient one.bias", "gradient two.weight"),
            "zero_grad was called between batches that are to be added up",
        ),
    ),
    "wrong beta2": (
        WrongBeta2,
        {},
        dict.fromkeys(
            ("update one.weight", "update one.bias", "update two.weight", "update two.bias"),
            "wrong hyper-parameter: the update fits beta2=0.9, the optimizer says 0.999",
        ),
    ),
    "wrong lr": (
        WrongLr,
        {},
        dict.fromkeys(
            ("update one.weight", "update one.bias", "update two.weight", "update two.bias"),
            "wrong hyper-parameter: the update fits lr=0.003, the optimizer says 0.01",
        ),
    ),
    "wrong weight decay": (
        WeightDecay,
        {},
        dict.fromkeys(
            ("update one.weight", "update one.bias", "update two.weight", "update two.bias"),
            "wrong hyper-parameter: the update fits weight_decay=0.05, the optimizer says 0",
        ),
    ),
    "detach": (Detaches, {}, dict.fromkeys(("gradient one.weight", "gradient one.bias"), DETACHED)),
    "no_grad": (UnderNoGrad, {}, dict.fromkeys(("gradient one.weight", "gradient one.bias"), DETACHED)),
    "wrong backward": (
        WrongBackward,
        {},
        dict.fromkeys(("gradient one.weight", "gradient one.bias"), "a custom backward is wrong"),
    ),
    "altered gradient": (AltersGradient, {}, {"clipping": f"{ALTERED} on_before_optimizer_step"}),
    "altered, clipped": (
        AltersGradient,
        {"gradient_clip_val": 0.1},
        {"clipping": f"{ALTERED} on_before_optimizer_step"},
    ),
    "altered in backward": (
        AltersInBackward,
        {},
        {"gradient one.weight": "gradient of this batch's loss: the module has a backward of its own"},
    ),
    "moved in a window": (
        MovesEarly,
        {"accumulate_grad_batches": 4},
        {"moved": "one.weight moved before the update"},
    ),
    "moved early": (MovesEarly, {}, {"moved": "one.weight moved before the update: backward() is not an update"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(fault, record):
    make, options, expected = FAULTS[fault]
    for found in audited(record, make, **options)[1:]:
        told = findings(found)
        assert told.keys() == expected.keys()
        for place, reason in expected.items():
            assert reason in told[place]


HEALTHY = {
    "healthy": (Healthy, {}),
    "clip": (Healthy, {"gradient_clip_val": 0.1}),
    "accumulate": (Healthy, {"accumulate_grad_batches": 4}),
    "zeroes, not None": (ClearsToZero, {}),
    "zero_grad of its own": (ClearsByItself, {}),
    "zero_grad of its own, float32": (ClearsByItself, {"precision": "32-true"}),
    "warm-up of its own": (WarmsUp, {}),
    "right backward": (RightBackward, {}),
    "teacher": (TeacherInStep, {}),
    "bf16": (Healthy, {"precision": "bf16-mixed"}),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_twin_is_silent(name, record):
    make, options = HEALTHY[name]
    inputs = data() if options.get("precision", "64-true") == "64-true" else [t.float() for t in data()]
    steps = record(make(), *inputs, **options)
    for step in steps:
        found = audit(step)
        assert findings(found) == {}
        assert found.loss.grade is found.stale.grade is Grade.EXACT
        assert {check.grade for check in found.gradients.values()} <= {Grade.EXACT, Grade.FD}
        assert {check.grade for check in found.updates.values()} <= {Grade.EXACT}


def test_a_clipping_of_its_own_is_not_checked(record):
    for found in audited(record, AltersAfterClipping, gradient_clip_val=0.1):
        assert findings(found) == {}
        assert str(found.clipping) == "NOT CHECKED: the module has a configure_gradient_clipping of its own"


def test_a_step_that_moves_its_teacher_says_so(record):
    found = audited(record, TeacherInStep)[1]
    assert str(found.moved) == "NOT CHECKED: training_step itself changes teacher.weight"


class Functional(Healthy):
    def training_step(self, batch, batch_idx):
        return F.mse_loss(self(batch[0]), batch[1])


class ReturnsNone(Healthy):
    def training_step(self, batch, batch_idx):
        return None if batch_idx == 1 else super().training_step(batch, batch_idx)


class ReturnsNaN(Healthy):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) * torch.nan


class Draws(Healthy):
    """Draws from a generator that nobody knows."""

    generator = torch.Generator()

    def training_step(self, batch, batch_idx):
        noise = torch.randn(1, generator=Draws.generator, dtype=batch[0].dtype)
        return super().training_step((batch[0] + noise, batch[1]), batch_idx)


COUNT = [0]


class Counts(Healthy):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) * (1 + (COUNT[0] == batch_idx))

    def on_train_batch_end(self, *args):
        COUNT[0] += 1


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (ReturnsNone, "training_step returned no loss, so there is no backward and no gradient"),
        (ReturnsNaN, "the loss is nan, and so is all that follows from it"),
        (Draws, "training_step gives another loss each time, though its random numbers are the same"),
    ],
)
def test_a_loss_that_cannot_be_had_again_is_never_exact(make, reason, record):
    found = audited(record, make)[1]
    told = {str(check) for check in (found.loss, found.stale, *found.gradients.values())}
    assert told == {f"NOT CHECKED: {reason}"}
    assert findings(found) == {}
    if make is ReturnsNaN:
        assert {check.grade for check in found.updates.values()} == {Grade.NOT_CHECKED}
    else:
        assert {check.grade for check in found.updates.values()} == {Grade.EXACT}


def test_a_loss_that_depends_on_the_outside_disagrees(record):
    COUNT[0] = 0
    found = [audit(step) for step in record(Counts(), *data())][1]
    assert findings(found) == {
        "loss": "training_step, run again from the same state, gives another loss: it uses something outside the module"
    }
    assert {check.grade for check in found.gradients.values()} == {Grade.NOT_CHECKED}


def test_hand_rules_reach_the_whole_net_or_as_far_as_they_can(record):
    class Norm(Healthy):
        def __init__(self):
            super().__init__()
            self.act = nn.Sequential(nn.LayerNorm(8), nn.Tanh())

    whole, none, part = (audited(record, make, batches=1)[0] for make in (Healthy, Functional, Norm))
    names = ["one.weight", "one.bias", "two.weight", "two.bias"]
    assert list(whole.by_hand) == names
    assert all(torch.equal(whole.by_hand[name], whole.step.gradients[name]) for name in names)
    assert none.by_hand == {}
    assert {check.grade for check in none.gradients.values()} == {Grade.FD}
    assert list(part.by_hand) == names[2:]
    assert [part.gradients[name].grade for name in names] == [Grade.FD, Grade.FD, Grade.EXACT, Grade.EXACT]
    assert [(call.name, call.sources, call.ruled, call.produced) for call in part.calls] == [
        ("one", (None,), True, False),
        ("act.0", (0,), False, False),
        ("act.1", (1,), True, False),
        ("two", (2,), True, False),
        ("loss", (3, None), True, True),
    ]


def test_a_shared_layer_and_a_hidden_use_are_left_to_finite_differences(record):
    class Penalised(Healthy):
        """Uses a weight in a second place that no hook sees."""

        def forward(self, x):
            return self.two(self.act(self.one(x @ self.one.weight.T @ self.one.weight)))

    class Twice(Healthy):
        def __init__(self):
            super().__init__()
            self.mid = nn.Linear(8, 8)

        def forward(self, x):
            return self.two(self.act(self.mid(self.mid(self.act(self.one(x))))))

    for make, name in ((Penalised, "one.weight"), (Twice, "mid.weight")):
        found = audited(record, make, batches=2)[1]
        assert findings(found) == {}
        assert found.gradients[name].grade is Grade.FD


def test_an_audit_without_finite_differences_says_what_is_not_checked(record):
    (step,) = record(Functional(), *data(), batches=1)
    found = audit(step, finite_differences=False)
    assert {str(check) for check in found.gradients.values()} == {"NOT CHECKED: no hand rule"}
