"""Which parameters a module finds, by hand against torch, and which a plain list hides."""

import torch
from torch import nn

from glassbox.explain.registration import registered, unregistered
from glassbox.model import TinyNet


def test_registration_by_hand_is_torchs():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.register_parameter("nothing", None)
            self.gone = None
            self.first = TinyNet()
            self.second = self.first.fc1

    ours, torchs = registered(Tied()), dict(Tied().named_parameters())
    assert list(ours) == list(torchs)
    assert sum(p.numel() for p in ours.values()) == 34


def test_unregistered():
    class Net(nn.Module):
        def __init__(self, container):
            super().__init__()
            self.layers = container([nn.Linear(2, 8), nn.Linear(8, 1)])

    outer = nn.Module()
    outer.net = Net(list)
    outer.more = {"head": nn.Linear(2, 1, bias=False)}
    outer.tail = nn.Linear(2, 1)
    outer.again = [outer.tail, 3, "text"]
    assert unregistered(outer) == {"more": 2, "net.layers": 33}
    assert unregistered(Net(nn.ModuleList)) == {}
