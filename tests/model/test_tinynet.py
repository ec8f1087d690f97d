"""TinyNet against the lesson's own code and against its formula."""

import pytest
import torch
from torch import nn

from glassbox.errors import BadInput
from glassbox.model import TinyNet


class Lesson(nn.Module):
    """The net as the lesson writes it."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(2, 8)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(8, 1)

    def forward(self, x):
        x = self.fc1(x)
        x = self.relu(x)
        x = self.fc2(x)
        return x  # noqa: RET504


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return make()


def test_is_the_net_of_the_lesson():
    ours, lesson = seeded(TinyNet), seeded(Lesson)
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    assert list(ours.state_dict()) == list(lesson.state_dict())
    assert all(map(torch.equal, ours.state_dict().values(), lesson.state_dict().values()))
    assert torch.equal(ours(x), lesson(x))


def test_follows_its_formula():
    net = seeded(lambda: TinyNet(3, 5, 4).double())
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    w1, b1, w2, b2 = net.parameters()
    z = torch.einsum("bh,ch->bc", (torch.einsum("bd,hd->bh", x, w1) + b1).clamp(min=0), w2) + b2
    torch.testing.assert_close(net(x), z, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "8", None])
@pytest.mark.parametrize("name", ["in_features", "hidden", "out_features"])
def test_refuses_a_size_that_is_none(name, size):
    with pytest.raises(BadInput, match=rf"^model\.{name}={size}: must be a whole number ≥ 1$"):
        TinyNet(**{name: size})
