"""What torch leaves unsaid: every claim on nets of several kinds, against torch, and refused where it does not hold."""

import copy
import random
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from glassbox.explain import passes as passing
from glassbox.explain.element import element, telling
from glassbox.explain.lesson import warnings_shown
from glassbox.explain.mode import depends_on_mode
from glassbox.explain.passes import passes
from glassbox.explain.registration import layers
from glassbox.explain.tensor import batch_tensors, tensors
from glassbox.model import MLP, TinyNet
from glassbox.replay.check import Grade
from glassbox.replay.rng import capture
from glassbox.replay.step import Step
from glassbox.replay.trace import trace

ACCUMULATE, CLEAR, STILL, MODE, RECORD, SEED, FOUND, LIST = range(8)


class Module(nn.Module):
    """Any net under a training_step."""

    def __init__(self, net, loss=None):
        super().__init__()
        self.net = net
        self.loss = loss or nn.BCEWithLogitsLoss()

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self.net(x), y)


class Recurrent(nn.Module):
    """An LSTM with dropout between its two layers."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, num_layers=2, dropout=0.5, batch_first=True)
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Attention(nn.Module):
    """A small transformer on tokens."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8, sparse=True)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x)).mean(1))


class ReturnsDict(Module):
    """A training_step that returns a dict, and takes its batch as one."""

    def training_step(self, batch, batch_idx):
        return {"loss": super().training_step((batch["x"], batch["y"]), batch_idx), "rows": len(batch["x"])}


def cnn():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))


def rows(*shape, classes=2):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*shape, generator=generator)
    if classes == 2:
        return x, (torch.rand(shape[0], 1, generator=generator) > 0.5).float()
    return x, torch.randint(classes, shape[:1], generator=generator)


def tokens():
    return torch.arange(12).reshape(4, 3) % 11, torch.tensor([0, 1, 2, 0])


MAKES = {
    "tinynet": lambda: (Module(TinyNet()), rows(6, 2)),
    "dropout": lambda: (Module(MLP(2, 1, 4, dropout=0.5, batch_norm=True)), rows(6, 2)),
    "cnn": lambda: (Module(cnn(), nn.CrossEntropyLoss()), rows(5, 1, 5, 5, classes=3)),
    "lstm": lambda: (Module(Recurrent()), rows(5, 4, 3)),
    "transformer": lambda: (Module(Attention(), nn.CrossEntropyLoss()), tokens()),
    "dict": lambda: (ReturnsDict(TinyNet()), dict(zip("xy", rows(6, 2), strict=True))),
}


def step_of(module, batch, **more):
    return Step(3, 0, module, batch, capture(), nullcontext, torch.optim.SGD, [], {}, {}, **more)


@pytest.fixture(params=MAKES)
def step(request):
    torch.manual_seed(0)
    module, batch = MAKES[request.param]()
    with torch.no_grad():
        module.training_step(batch, 0)  # lazy layers get their shape
    return step_of(module, batch)


def shown(step):
    return warnings_shown(SimpleNamespace(step=step)).rows


def test_every_claim_holds_on_every_net(step):
    found = shown(step)
    grades = [row.check and row.check.grade for row in found]
    assert grades == [*[Grade.EXACT] * 3, None, *[Grade.EXACT] * 4]


def test_the_step_and_the_generators_stay_as_they_are(step):
    kept = copy.deepcopy((step.module.state_dict(), step.batch, step.rng))
    modes = [part.training for part in step.module.modules()]
    before, number = torch.get_rng_state(), random.getstate()
    shown(step)
    tensors(SimpleNamespace(step=step, calls=[]))
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == number
    assert all(p.grad is None for p in step.module.parameters())
    assert [part.training for part in step.module.modules()] == modes
    now = step.module.state_dict(), step.batch, step.rng
    for then, after in zip(batch_tensors(list(kept)).items(), batch_tensors(list(now)).items(), strict=True):
        assert then[0] == after[0]
        assert torch.equal(then[1], after[1])


def test_gradients_are_those_of_torch(step):
    module = copy.deepcopy(step.module)
    torch.set_rng_state(step.rng["torch"])
    returned = module.training_step(step.batch, 0)
    (returned["loss"] if isinstance(returned, dict) else returned).backward()
    made = passes(step)
    for name, parameter in module.named_parameters():
        gradient = parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad
        assert torch.equal(made.once[name], gradient)
        assert torch.equal(made.again[name], gradient)
        assert torch.equal(made.twice[name], gradient + gradient)


def test_numbers_are_those_of_this_step():
    step = step_of(*MAKES["tinynet"]())
    name, place = telling(passes(step).once)
    once = float(passes(step).once[name][place])
    found = [row.cells[2] for row in shown(step)]
    assert found[ACCUMULATE] == f"{element(name, place, '.grad')} = {once:+.6f}, then {2 * once:+.6f}"
    assert found[CLEAR] == f"4 of 4 tensors have None; then backward() gives {once:+.6f}"
    assert found[STILL] == "0 of 33 numbers moved by backward()"
    first, second = step.batch[0].flatten()[:2].tolist()
    assert found[SEED] == (
        f"x = [{first:.6f}, {second:.6f}]: y = {first**2 + second**2:.6f}, x.grad = [{2 * first:.6f}, {2 * second:.6f}]"
    )
    assert found[FOUND] == (
        "33 numbers in 4 tensors: net.fc1.weight 16, net.fc1.bias 8, net.fc2.weight 8, net.fc2.bias 1"
    )
    assert found[LIST] == "net.fc1 and net.fc2 in a plain list: 0 of 33 numbers found; in an nn.ModuleList: 33"


def test_says_how_many_numbers_the_update_moved():
    step = step_of(*MAKES["tinynet"](), stepped=True)
    step.before_update = {"net.fc1.bias": torch.zeros(8), "net.fc2.bias": torch.zeros(1)}
    step.after = {"net.fc1.bias": torch.tensor([0.0, 1, 1, 1, 0, 0, 0, 0]), "net.fc2.bias": torch.ones(1)}
    assert shown(step)[STILL].cells[2] == "0 of 33 numbers moved by backward(), 4 by optimizer.step()"


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (lambda: MLP(2, 1, 64), "no layer here depends on the mode: loss {train:.6f} in both"),
        (lambda: MLP(2, 1, 64, dropout=0.5), "loss {train:.6f} in train(), {eval:.6f} after eval(): Dropout"),
        (lambda: MLP(2, 1, 64, batch_norm=True), "loss {train:.6f} in train(), {eval:.6f} after eval(): BatchNorm1d"),
        (
            lambda: nn.Sequential(nn.Linear(2, 1), nn.Dropout(0.0)),
            "no layer here depends on the mode: loss {train:.6f} in both",
        ),
    ],
    ids=["plain", "dropout", "batch norm", "dropout of 0"],
)
def test_says_what_eval_changes(net, told):
    torch.manual_seed(0)
    step = step_of(Module(net()), rows(6, 2))
    losses = {}
    for mode in ("train", "eval"):
        torch.set_rng_state(step.rng["torch"])
        losses[mode] = float(getattr(copy.deepcopy(step.module), mode)().training_step(step.batch, 0).detach())
    assert shown(step)[MODE].cells[2] == told.format(**losses)


def test_says_when_a_module_reads_its_own_mode():
    class Halves(Module):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * (1.0 if self.training else 0.5)

    told = shown(step_of(Halves(TinyNet()), rows(6, 2)))[MODE].cells[2]
    assert told.endswith("after eval(): something that reads self.training")


def test_eval_records_and_no_grad_does_not():
    told = shown(step_of(*MAKES["tinynet"]()))[RECORD].cells[2]
    assert told == "loss.grad_fn: BinaryCrossEntropyWithLogitsBackward0 after eval(), None under no_grad()"


@pytest.mark.parametrize(
    ("layer", "other"),
    [
        (nn.Dropout(0.1), nn.Dropout(0.0)),
        (nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False)),
        (nn.InstanceNorm1d(2, track_running_stats=True), nn.InstanceNorm1d(2)),
        (nn.LSTM(2, 2, 2, dropout=0.1), nn.LSTM(2, 2, 1)),
        (nn.MultiheadAttention(2, 1, dropout=0.1), nn.MultiheadAttention(2, 1)),
        (nn.RReLU(), nn.LeakyReLU()),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_depend_on_the_mode_and_their_twins(layer, other):
    assert depends_on_mode(layer)
    if isinstance(layer, nn.LSTM):
        other.dropout = layer.dropout  # which acts between layers, and there is only one
    assert not depends_on_mode(other)


class Detached(Module):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx).detach()


class Silent(Module):
    def training_step(self, batch, batch_idx):
        super().training_step(batch, batch_idx)


class Hidden(Module):
    """Its layers are in a plain list."""

    def __init__(self):
        super().__init__(nn.Identity())
        self.layers = [nn.Linear(2, 1)]

    def training_step(self, batch, batch_idx):
        return self.loss(self.layers[0](batch[0]), batch[1])


@pytest.mark.parametrize("module", [Detached(TinyNet()), Silent(TinyNet()), Hidden()], ids=lambda m: type(m).__name__)
def test_without_a_loss_that_leads_to_a_parameter_nothing_is_claimed(module):
    found = shown(step_of(module, rows(6, 2)))
    for row in (found[ACCUMULATE], found[CLEAR], found[STILL]):
        assert row.check.grade is Grade.NOT_CHECKED
        assert row.check.reason == "training_step returned no loss that depends on a parameter"
        assert row.cells[2] == "–"
    assert found[LIST].check.grade is Grade.EXACT


def test_a_step_that_cannot_be_done_again_is_not_done():
    class Never(Module):
        def training_step(self, batch, batch_idx):
            raise AssertionError

    found = shown(step_of(Never(TinyNet()), rows(6, 2), refused="it is compiled"))
    assert {row.check.reason for row in found[:RECORD]} == {"it is compiled"}
    assert found[FOUND].check.grade is found[SEED].check.grade is Grade.EXACT


def test_a_module_that_does_not_know_eval_mode_is_told():
    class OnlyTrains(Module):
        def training_step(self, batch, batch_idx):
            if not self.training:
                raise KeyError("loss")
            return super().training_step(batch, batch_idx)

    found = shown(step_of(OnlyTrains(TinyNet()), rows(6, 2)))
    assert found[ACCUMULATE].check.grade is Grade.EXACT
    assert (
        found[MODE].check.reason == found[RECORD].check.reason == "training_step fails in eval mode: KeyError: 'loss'"
    )


def test_a_module_that_switches_recording_on_itself_is_told():
    class Stubborn(Module):
        def training_step(self, batch, batch_idx):
            with torch.enable_grad():
                return super().training_step(batch, batch_idx)

    check = shown(step_of(Stubborn(TinyNet()), rows(6, 2)))[RECORD].check
    assert (check.grade, check.reason) == (Grade.NOT_CHECKED, "training_step switches recording on or off by itself")


def test_numbers_from_outside_torchs_generators_give_no_wrong_exact():
    noise = iter(range(100))

    class Noisy(Module):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * (1.0 + next(noise))

    check = shown(step_of(Noisy(TinyNet()), rows(6, 2)))[ACCUMULATE].check
    assert check.grade is Grade.NOT_CHECKED
    assert check.reason == "the same batch from the same state does not give the same loss again"


def test_a_backward_that_overwrites_disagrees(monkeypatch):
    def backward(self):
        for p in net.parameters():
            p.grad = None
        real(self)

    step, real, net = step_of(*MAKES["tinynet"]()), torch.Tensor.backward, None
    fresh = passing.fresh

    def seen(step):
        nonlocal net
        made = fresh(step)
        net = net or made[0]
        return made

    monkeypatch.setattr(passing, "fresh", seen)
    monkeypatch.setattr(torch.Tensor, "backward", backward)
    made = passes(step)
    assert made.doubled.grade is Grade.DISAGREES
    assert made.doubled.error == pytest.approx(max(float(g.abs().max()) for g in made.once.values()))
    assert made.cleared.grade is Grade.EXACT


@pytest.mark.parametrize("to_none", [True, False])
def test_a_training_step_that_clears_gradients_itself_is_told(to_none):
    class Clears(Module):
        def training_step(self, batch, batch_idx):
            self.zero_grad(set_to_none=to_none)
            return super().training_step(batch, batch_idx)

    found = shown(step_of(Clears(TinyNet()), rows(6, 2)))
    assert found[ACCUMULATE].check.grade is Grade.NOT_CHECKED
    assert found[ACCUMULATE].check.reason == "training_step itself changes p.grad"
    assert found[CLEAR].check.grade is Grade.EXACT


def test_a_training_step_that_clears_one_gradient_is_told():
    class ClearsOne(Module):
        def training_step(self, batch, batch_idx):
            self.net.fc1.bias.grad = None
            return super().training_step(batch, batch_idx)

    reason = shown(step_of(ClearsOne(TinyNet()), rows(6, 2)))[ACCUMULATE].check.reason
    assert reason == "training_step itself changes p.grad"


def test_every_pass_begins_with_the_same_buffers():
    class Counts(Module):
        def __init__(self, net):
            super().__init__(net)
            self.register_buffer("count", torch.ones(()))

        def training_step(self, batch, batch_idx):
            self.count += 1
            return super().training_step(batch, batch_idx) * self.count

    assert passes(step_of(Counts(TinyNet()), rows(6, 2))).doubled.grade is Grade.EXACT


def test_a_backward_that_moves_parameters_disagrees():
    class Moves(Module):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            loss.register_hook(lambda gradient: self.net.fc2.bias.data.add_(1.0) and None)
            return loss

    made = passes(step_of(Moves(TinyNet()), rows(6, 2)))
    assert made.moved == 3
    assert made.still.grade is Grade.DISAGREES


def test_nan_is_not_called_exact():
    x, y = rows(6, 2)
    x[0] = torch.nan
    assert shown(step_of(Module(TinyNet()), (x, y)))[ACCUMULATE].check.reason == "a gradient is NaN or infinite"


def test_the_seed_example_needs_no_numbers_of_the_batch():
    step = step_of(*MAKES["transformer"]())
    assert shown(step)[SEED].cells[2] == "x = [1.000000, 2.000000]: y = 5.000000, x.grad = [2.000000, 4.000000]"


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (Module(TinyNet()), ["net.fc1", "net.fc2"]),
        (Module(MLP(2, 1, 4, depth=1)), ["net.layers.0", "net.layers.2"]),
        (Module(nn.Linear(2, 1)), ["net"]),
        (nn.ReLU(), ["nn.Linear(2, 8)", "nn.Linear(8, 1)"]),
    ],
    ids=["net", "sequential", "one layer", "none"],
)
def test_layers_for_the_list_are_the_users_own(module, names):
    assert list(layers(module)) == names


def test_tensors_on_the_way():
    step = step_of(*MAKES["tinynet"]())
    table = tensors(SimpleNamespace(step=step, calls=trace(step).calls))
    assert [row.cells for row in table.rows] == [
        ("batch[0]", "6 × 2", "False", "None", "cpu"),
        ("batch[1]", "6 × 1", "False", "None", "cpu"),
        ("a = net.fc1(x)", "6 × 8", "True", "AddmmBackward0", "cpu"),
        ("h = net.relu(a)", "6 × 8", "True", "ReluBackward0", "cpu"),
        ("z = net.fc2(h)", "6 × 1", "True", "AddmmBackward0", "cpu"),
        ("loss = loss(z, y)", "one number", "True", "BinaryCrossEntropyWithLogitsBackward0", "cpu"),
        ("net.fc1.weight", "8 × 2", "True", "None", "cpu"),
        ("net.fc1.bias", "8", "True", "None", "cpu"),
        ("net.fc2.weight", "1 × 8", "True", "None", "cpu"),
        ("net.fc2.bias", "1", "True", "None", "cpu"),
    ]


def test_tensors_of_a_loss_that_is_no_layer_and_an_output_that_is_no_tensor():
    class Functional(Module):
        def training_step(self, batch, batch_idx):
            return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    step = step_of(Functional(Recurrent()), rows(5, 4, 3))
    cells = [row.cells for row in tensors(SimpleNamespace(step=step, calls=trace(step).calls)).rows]
    assert ("loss", "one number", "True", "MseLossBackward0", "cpu") in cells
    assert next(cell for cell in cells if cell[0].endswith(" = net.lstm(x)"))[1:3] == ("no tensor", "True")


def test_batches_of_any_nesting_are_named():
    x = torch.zeros(1)
    batch = {"a": [x, (x,)], "text": "ab", "b": 3}
    assert list(batch_tensors(batch)) == ["batch['a'][0]", "batch['a'][1][0]"]
    assert list(batch_tensors(x)) == ["batch"]
