"""Only images crafted on networks that newer copies are made of have another key than before."""

import torch
from torch import nn

from attacks.gradient.fgsm import FGSM
from robench.attack.threat import ThreatModel
from robench.data.images import image_set
from robench.model.interface import Model
from robench.plan.spec import content_hash
from robench.run import keys
from robench.run.crafting import Board, Crafting
from robench.run.evaluated_model import EvaluatedModel
from robench.run.settings import Settings
from robench.run.shards import Shard


class Plain(nn.Module):
    """A convolution whose answer is flattened."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        return self.conv(x).flatten(1)[:, :3]


class Views(nn.Module):
    """The same, asked for a view."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        return self.conv(x).view(len(x), -1)[:, :3]


def contents(net, monkeypatch, **settings):
    """Return what the key of images crafted on a network is the hash of."""
    values = []
    monkeypatch.setattr(keys, "content_hash", lambda value: values.append(value) or content_hash(value))
    model = EvaluatedModel(model=Model(name="m", net=net, classes=3), fingerprint="f")
    images = image_set(torch.full((4, 1, 6, 6), 0.5), torch.zeros(4, dtype=torch.int64), classes=3)
    shard = next(Shard.split(images, 4))
    board = Board(threat=ThreatModel(eps=0.1), eps_text="0.1", attacks={"fgsm": FGSM()})
    keys.crafting_key(Crafting.of(board, "fgsm", model, "exact"), shard, Settings(**settings))
    return values[-1]


def test_only_networks_with_newer_copies_have_a_new_field(monkeypatch):
    plain, views = contents(Plain(), monkeypatch), contents(Views(), monkeypatch)
    assert views == plain | {"copies": 2}
    assert "copies" not in plain
