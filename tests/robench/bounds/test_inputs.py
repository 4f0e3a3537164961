"""Images, labels, models and budgets that mean nothing are refused before any work."""

import math

import pytest
import torch
from torch import nn

from robench.attack.threat import ThreatModel
from robench.bounds import Budget, branch_and_bound, lower_bounds
from robench.bounds.inputs import identities
from robench.errors import ConfigError, InputError

NET = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
X, Y = torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2])
THREAT = ThreatModel(eps=0.1)
WAYS = {"lower_bounds": lower_bounds, "branch_and_bound": branch_and_bound}

IMAGES = {
    "rows": X.flatten(1),
    "without channels": X[:, 0],
    "one image": X[0],
    "five axes": X[None],
    "no pixels": X[:, :, :0],
    "no channels": X[:, :0],
    "bytes": (X * 255).to(torch.uint8),
    "whole numbers": torch.zeros(2, 1, 2, 2, dtype=torch.int64),
    "truth values": X > 0.5,
    "complex": X.to(torch.complex64),
    "sparse": X.to_sparse(),
    "too fine": X.double() + 1e-12,
    "no number": torch.where(X > 0.5, math.nan, X),
    "infinite": torch.where(X > 0.5, math.inf, X),
    "above the box": X + 1,
    "below the box": -X,
    "another number": torch.rand(3, 1, 2, 2),
    "a list": X.tolist(),
    "an array": X.numpy(),
    "nothing": None,
}
LABELS = {
    "float": Y.float(),
    "column": Y[:, None],
    "row": Y[None],
    "one": torch.tensor(0),
    "truth values": Y > 0,
    "complex": Y.to(torch.complex64),
    "too few": Y[:1],
    "too many": torch.tensor([0, 1, 2]),
    "negative": Y - 1,
    "no class": Y + 1,
    "a list": [0, 2],
    "nothing": None,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", IMAGES)
def test_what_is_no_batch_of_images_is_refused(way, name):
    with pytest.raises(InputError, match=r"^[xy]: expected") as error:
        WAYS[way](NET, IMAGES[name], Y, THREAT)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LABELS)
def test_what_is_no_row_of_labels_is_refused(way, name):
    with pytest.raises(InputError, match=r"^y: expected"):
        WAYS[way](NET, X, LABELS[name], THREAT)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", [lambda x: x, NET.forward, nn.Linear, "net", None])
def test_what_is_no_model_is_refused(way, model):
    with pytest.raises(ConfigError, match="a network that is"):
        WAYS[way](model, X, Y, THREAT)


@pytest.mark.parametrize("way", WAYS)
def test_a_network_that_fails_on_the_images_is_refused(way):
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(5, 3))
    with pytest.raises(ConfigError):
        WAYS[way](net, X, Y, THREAT)

    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = NET

        def forward(self, x):
            if isinstance(x, torch.Tensor):
                raise ValueError("not today")
            return self.body(x)

    with pytest.raises(ConfigError, match="not today"):
        WAYS[way](Failing(), X, Y, THREAT)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32])
def test_labels_of_any_whole_numbers_are_taken(dtype):
    assert torch.equal(lower_bounds(NET, X, Y.to(dtype), THREAT), lower_bounds(NET, X, Y, THREAT))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_images_that_float32_holds_are_taken(dtype):
    x = X.half().bfloat16()
    assert torch.equal(lower_bounds(NET, x.to(dtype), Y, THREAT), lower_bounds(NET, x.float(), Y, THREAT))


WHOLE = ("batch", "steps", "root_steps", "candidates", "attacked", "restarts", "domains", "polish")
NONSENSE = [(name, value) for name in WHOLE for value in (-1, 1.5, math.nan, math.inf, True, "3", [1])]
NONSENSE += [(name, 0) for name in ("batch", "candidates", "domains", "polish")]
NONSENSE += [(name, None) for name in WHOLE[:6]]
NONSENSE += [("seconds", value) for value in (-1, -1e-9, math.nan, math.inf, "3", True, [1.0])]
NONSENSE += [
    ("step_sizes", value)
    for value in (
        (0.1,),
        (0.1, 0.1, 0.1),
        (math.nan, 0.1),
        (0.1, -0.1),
        (math.inf, 0.1),
        0.1,
        None,
        ("a", "b"),
    )
]


@pytest.mark.parametrize(("name", "value"), NONSENSE)
def test_a_budget_that_means_nothing_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"^{name}: expected"):
        Budget(**{name: value})


def test_a_budget_of_little_is_taken():
    budget = Budget(
        seconds=0, domains=1, steps=0, root_steps=0, attacked=0, restarts=0, step_sizes=(0.0, 0.0)
    )
    assert len(branch_and_bound(NET, X, Y, THREAT, budget=budget)) == 2


def test_an_image_is_known_by_its_values_alone():
    numbers = identities(X)
    assert torch.equal(identities(X.flip(0)), numbers.flip(0))
    assert torch.equal(identities(X[1:]), numbers[1:])
    assert int(numbers[0]) != int(numbers[1])
