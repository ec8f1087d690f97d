"""Healthy modules of many kinds: no audit disagrees, and what is not exact says why."""

import functools
import random

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torchmetrics
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from glassbox.replay.audit import audit
from glassbox.replay.check import Grade

EXACT, FD = Grade.EXACT, Grade.FD


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.act, self.two = nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)
        self.loss = nn.MSELoss()
        self.more()

    def more(self):
        pass

    def forward(self, x):
        return self.two(self.act(self.one(x)))

    def training_step(self, batch, batch_idx):
        return self.loss(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


class InPlace(Net):
    def more(self):
        self.act = nn.ReLU(inplace=True)


class WeightNorm(Net):
    def more(self):
        with pytest.warns(FutureWarning):
            self.one = nn.utils.weight_norm(self.one)  # the old kind: a hook that computes the weight


class Parametrized(Net):
    def more(self):
        self.one = nn.utils.parametrizations.spectral_norm(self.one)


class Checkpointed(Net):
    reentrant = False

    def forward(self, x):
        x = x.clone().requires_grad_()
        return self.two(checkpoint(lambda x: self.act(self.one(x)), x, use_reentrant=self.reentrant))


class Reentrant(Checkpointed):
    reentrant = True


class Variational(Net):
    """Samples through the graph, with a weight that grows with the step."""

    def training_step(self, batch, batch_idx):
        mean = self.act(self.one(batch[0]))
        z = torch.distributions.Normal(mean, 1.0).rsample()
        return F.mse_loss(self.two(z), batch[1]) + mean.square().mean() * min(1, self.global_step / 2)


class Recurrent(Net):
    def more(self):
        self.one, self.act, self.two = nn.GRU(1, 5, batch_first=True), nn.Identity(), nn.Linear(5, 1)

    def forward(self, x):
        return self.two(self.one(x.unsqueeze(-1))[0][:, -1])


class Sparse(Net):
    def more(self):
        self.embed = nn.Embedding(5, 1, sparse=True)

    def forward(self, x):
        return super().forward(x) + self.embed(x[:, 0].long().abs() % 5)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Averaged(Net):
    def more(self):
        self.average = nn.Linear(3, 8).requires_grad_(False)

    def on_train_batch_end(self, *args):
        with torch.no_grad():
            self.average.weight.lerp_(self.one.weight, 0.1)


class Clamped(Net):
    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
        optimizer.step(closure=optimizer_closure)
        with torch.no_grad():
            for p in self.parameters():
                p.clamp_(-0.3, 0.3)


class Target(Net):
    def training_step(self, batch, batch_idx):
        with torch.no_grad():
            target = batch[1] + 0.9 * self(batch[0].flip(0))
        return F.mse_loss(self(batch[0]), target)


class Rounded(Net):
    def forward(self, x):
        h = self.one(x)
        return self.two(h + (h.round() - h).detach())


class Penalty(Net):
    def training_step(self, batch, batch_idx):
        x = batch[0].clone().requires_grad_()
        y = self(x)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return F.mse_loss(y, batch[1]) + slope.square().mean()


class OwnTarget(Net):
    """The target comes out of the net, too."""

    def more(self):
        self.three = nn.Linear(8, 1)

    def training_step(self, batch, batch_idx):
        h = self.act(self.one(batch[0]))
        return self.loss(self.two(h), self.three(h) + 1)


class Unused(Net):
    def more(self):
        self.three = nn.Linear(2, 2)


class Hidden(Net):
    """A layer in a plain list, which only the optimizer knows."""

    def more(self):
        self.hidden = [nn.Linear(8, 8, dtype=torch.float64)]

    def forward(self, x):
        return self.two(self.act(self.hidden[0](self.one(x))))

    def configure_optimizers(self):
        return torch.optim.Adam([*self.parameters(), *self.hidden[0].parameters()], lr=0.01)


class Metric(Net):
    def more(self):
        self.error = torchmetrics.MeanAbsoluteError()

    def training_step(self, batch, batch_idx):
        z = self(batch[0])
        loss = self.loss(z, batch[1])
        self.error(z, batch[1])
        self.log("error", self.error, on_step=True, on_epoch=True)
        self.log_dict({"loss": loss})
        return {"loss": loss, "z": z}


class Draws(Net):
    def training_step(self, batch, batch_idx):
        scale = np.random.rand() + random.random()  # noqa: NPY002  what a user's code may do
        return super().training_step((batch[0] * scale, batch[1]), batch_idx)


class Counts(Net):
    def more(self):
        self.count = 0
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, x):
        self.count += 1
        h = self.one(x)
        self.mean = 0.9 * self.mean + 0.1 * h.mean(0).detach()
        return self.two(self.act(h - self.mean)) / self.count


class ChangesBatch(Net):
    def training_step(self, batch, batch_idx):
        batch[0].sub_(batch[0].mean(0))
        return super().training_step(batch, batch_idx)


class OnlyBatch(Net):
    def training_step(self, batch):
        return self.loss(self(batch[0]), batch[1])


def decorated(method):
    @functools.wraps(method)
    def around(*args, **kwargs):
        return method(*args, **kwargs)

    return around


class Decorated(Net):
    @decorated
    def training_step(self, batch):
        return self.loss(self(batch[0]), batch[1])


class Weighted(Net):
    def more(self):
        self.noise = nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) * torch.exp(-self.noise) + self.noise


class Squeezed(Net):
    """Sequences [B, T, D]: the forward is that of B T rows, the gradient is left to finite differences."""

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self(x.reshape(2, 4, 3)), y.reshape(2, 4, 1))


# module → the grades of its gradients
GALLERY = {
    InPlace: {EXACT},
    WeightNorm: {EXACT, FD},
    Parametrized: {EXACT, FD},
    Checkpointed: {EXACT},
    Reentrant: {EXACT},
    Variational: {FD},
    Recurrent: {EXACT, FD},
    Sparse: {FD},
    Averaged: {EXACT},
    Clamped: {EXACT},
    Target: {FD},
    Rounded: {EXACT, FD},
    Penalty: {FD},
    OwnTarget: {EXACT, FD},
    Unused: {EXACT, FD},
    Hidden: {EXACT, FD},
    Metric: {EXACT},
    Draws: {EXACT},
    Counts: {FD},
    ChangesBatch: {EXACT},
    OnlyBatch: {EXACT},
    Decorated: {EXACT},
    Weighted: {FD},
    Squeezed: {FD},
}


@pytest.mark.parametrize("make", GALLERY)
def test_a_healthy_module_disagrees_nowhere(make, record):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(24, 3, generator=generator, dtype=torch.float64)
    random.seed(0)
    steps = record(make(), x, x.sum(1, keepdim=True).sin())
    assert len(steps) == 3
    for step in steps:
        found = audit(step)
        assert {found.loss.grade, found.stale.grade, found.moved.grade, found.clipping} == {EXACT, None}
        assert {check.grade for check in found.gradients.values()} == GALLERY[make], found.gradients
        sparse = {"embed.weight": "NOT CHECKED: no hand rule for a sparse gradient"}
        for name, check in found.updates.items():
            assert str(check) == sparse.get(name, "EXACT")
        assert Grade.DISAGREES not in {call.check.grade for call in found.calls}


def test_the_parameters_that_only_the_optimizer_knows_are_updated(record):
    x = torch.randn(16, 3, dtype=torch.float64)
    for step in record(Hidden(), x, x[:, :1]):
        found = audit(step)
        assert str(found.updates["param_groups[0][4]"]) == "EXACT"
        assert "param_groups[0][4]" not in found.gradients


def test_an_optimizer_that_calls_its_closure_again_is_not_checked(record):
    class Newton(Net):
        def configure_optimizers(self):
            return torch.optim.LBFGS(self.parameters(), lr=0.01)

    x = torch.randn(16, 3, dtype=torch.float64)
    found = audit(record(Newton(), x, x[:, :1])[0])
    checks = [found.loss, found.stale, found.moved, *found.gradients.values(), *found.updates.values()]
    assert {str(check) for check in checks} == {
        "NOT CHECKED: the optimizer runs training_step several times in one step"
    }
