"""A toy problem, a network with branches and small options for every defense, shared by these tests."""

from __future__ import annotations

import torch
from torch import nn

from robench import plugins
from robench.data.images import image_set
from robench.model.defense import TrainingContext
from robench.recipe import build

EPS = 0.15
COMMON = {"epochs": 4, "batch_size": 16, "learning_rate": 0.1, "validation": 0.2}
ATTACKED = {"eps": EPS, "steps": 2}
WNLL = {"m": 6, "n": 3, "template": 30, "wnll_epochs": 2, "wnll_batch_size": 20, "epochs": 2}
GRAPH = {"head": "gll", "head_options": {"m": 6}, "per_class": 8, "template": 30}
RECIPES = {
    "natural": {},
    "pgd_training": ATTACKED,
    "trades": ATTACKED,
    "mart": ATTACKED,
    "fast": ATTACKED | {"epochs": 6},
    "free": ATTACKED | {"replays": 2},
    "svm": {},
    "manifold_mixup": {},
    "distillation": {"temperature": 3.0, "learning_rate": 0.5, "epochs": 6},
    "wnll_natural": WNLL,
    "wnll_pgd": WNLL | ATTACKED | {"passes": 1},
    "graph_natural": GRAPH,
    "graph_pgd": GRAPH | ATTACKED | {"epochs": 2},
    "ibp_training": {"eps": EPS / 2, "learning_rate": 0.02, "epochs": 40, "natural_epochs": 10},
    "ensemble": {"eps": EPS, "others": 2, "other_epochs": 1, "optimizer": "sgd"},
}
ROBUST = ("pgd_training", "trades", "mart", "fast", "free", "wnll_pgd", "graph_pgd")


class Branches(nn.Module):
    """Features, buffer and linear branch, as a network of the paper's Fig. 2 has them."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1)
        )
        self.buffer = nn.Sequential(nn.Linear(16, 8), nn.ReLU())
        self.linear = nn.Linear(8, 2)

    def features(self, x):
        return self.buffer(self.backbone(x))

    def forward(self, x):
        return self.linear(self.features(x))


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Branches()


def toy(count=100):
    """One strong pixel that eps cannot flip, and 15 weak ones that it can."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    sign = (2 * labels - 1).float()[:, None]
    weak = 0.5 + 0.07 * sign + 0.05 * torch.randn(count, 15, generator=generator)
    images = torch.cat([0.5 + 0.4 * sign, weak], dim=1).clamp(0, 1).view(count, 1, 4, 4)
    return image_set((images * 255).to(torch.uint8), labels, name="toy", split="train")


def context(state=None, progress=None, seed=1):
    return TrainingContext(
        seed=seed, device="cpu", state=state, identity={}, progress=progress or (lambda row: None)
    )


def recipe(name, **options):
    return build(plugins.find("defenses", name), COMMON | RECIPES[name] | options, where="test")


def same(one, other):
    weights = other.state_dict()
    return all(torch.equal(tensor, weights[name]) for name, tensor in one.state_dict().items())


class StoppedError(Exception):
    """Stands for a kill."""


def check_resumption(defense, data, folder, *, epochs=None, make=network):
    """Train, then go on from the state file of some epochs: every time the same bits and the same history.

    The file of an epoch is what a training that is stopped after it leaves behind. The epochs are by default
    the first, the middle one and the last but one. Returns the network and its history.
    """
    whole, path, files = make(), folder / "state", {}

    def progress(row):
        if "step" not in row:
            files[row["epoch"]] = path.read_bytes()

    history = defense(whole, data, context=context(path, progress))
    for epoch in epochs or sorted({1, len(history) // 2, len(history) - 1}):
        path.write_bytes(files[epoch])
        second = make()
        again = defense(second, data, context=context(path))
        assert same(whole, second)
        assert [{**row, "seconds": 0} for row in again] == [{**row, "seconds": 0} for row in history]
    return whole, history
