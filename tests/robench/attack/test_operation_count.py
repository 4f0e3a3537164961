"""What an attack costs beside its passes, counted in operations of torch: seconds depend on the machine."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attacks.gradient.pgd import PGD
from robench.attack.craft import CraftSettings, craft
from robench.attack.losses import cross_entropy
from robench.attack.threat import ThreatModel
from robench.model.interface import Model
from robench.model.prepared import PreparedModel
from robench.model.tested_network import TestedNetwork
from tests.robench.model.folding_networks import Base

X = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(0))
AROUND_A_PASS, ON_IMAGES = 80, 14
"""Most operations a step of PGD may add to those of its pass, and most of them on whole images.

Eight of the latter are the step itself: sign, scaling, sum, difference, two bounds, sum, box.
"""
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_to_copy")
"""Operations at which the processor waits for a card; the last if a device is named."""

VIEWS = ("detach", "view", "slice", "select", "squeeze", "expand")


class Counts(TorchDispatchMode):
    """Counts the operations that are really done."""

    def __init__(self):
        super().__init__()
        self.operations = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        self.operations[name] += 1
        if any(word in name for word in WAITS) and ("_to_copy" not in name or (kwargs or {}).get("device")):
            self.operations["waits"] += 1
        is_view = any(word in name for word in VIEWS)
        if not is_view and any(isinstance(one, torch.Tensor) and one.shape == X.shape for one in args):
            self.operations["on images"] += 1
        return func(*args, **(kwargs or {}))


def robust():
    """Return a model whose answer to X no small step changes, and its labels."""
    net = Base()
    return Model(name="m", net=net, classes=4), net(X).argmax(dim=1)


def attacked(model, y, copies, *, steps):
    settings = CraftSettings(drop=False)
    return craft(
        model, PGD(steps=steps), X, y,
        threat=ThreatModel(eps=1e-6), indices=torch.arange(len(X)), settings=settings, prepared=copies,
    )  # fmt: skip


def operations(model, y, copies, steps):
    with Counts() as counts:
        attacked(model, y, copies, steps=steps)
    return counts.operations


def of_a_pass(model, y, copies):
    """Return the operations of one pass through the copy that is attacked, of its loss and its gradient."""
    name = copies.choose(X, [model.source("exact")])
    with copies.using(name), Counts() as counts:
        leaf = X.detach().requires_grad_(True)
        torch.autograd.grad(cross_entropy(model.net(leaf), y, model.output).sum(), leaf)
    return counts.operations


def test_a_step_of_pgd_adds_few_operations_to_its_pass():
    model, y = robust()
    copies = PreparedModel(model)
    attacked(model, y, copies, steps=1)  # copies are made once
    few, many = (operations(model, y, copies, steps) for steps in (10, 30))
    step = Counter({key: (many[key] - few[key]) / 20 for key in many if many[key] != few[key]})
    passes = of_a_pass(model, y, copies)
    convolutions = [key for key in step if "convolution" in key]
    assert {key: step[key] for key in convolutions} == {key: passes[key] for key in convolutions}
    assert step.pop("waits") <= 3  # is every image asked, is the gradient finite, is any image broken
    around = step - passes
    assert around.pop("on images") <= ON_IMAGES
    assert sum(around.values()) <= AROUND_A_PASS, around.most_common()


@pytest.mark.parametrize("steps", [20, 100])
def test_pgd_makes_one_forward_and_one_backward_a_step_and_no_other_but_the_proofs(monkeypatch, steps):
    model, y = robust()
    rows, original, backward = Counter(), TestedNetwork.forward, torch.autograd.grad

    def forward(self, x):
        rows["forwards"] += len(x)
        return original(self, x)

    def gradient(outputs, inputs, **options):
        rows["backwards"] += len(inputs)
        return backward(outputs, inputs, **options)

    monkeypatch.setattr(TestedNetwork, "forward", forward)
    monkeypatch.setattr(torch.autograd, "grad", gradient)
    result = attacked(model, y, PreparedModel(model), steps=steps)
    assert result.ledger.forwards.tolist() == result.ledger.backwards.tolist() == [steps] * len(X)
    # Network and copy: 16 images of the shard and one alone, without a gradient too; then 8 points and one.
    proofs = 2 * ((16 + 2) + (8 + 2))
    assert rows["forwards"] == steps * len(X) + proofs
    assert rows["backwards"] == steps * len(X) + 2 * (16 + 1 + 8 + 1)


def test_the_pass_of_a_folded_copy_has_no_batch_norm_left():
    model, y = robust()
    passes = of_a_pass(model, y, PreparedModel(model))
    assert not [key for key in passes if "batch_norm" in key]
    assert sum("convolution" in key for key in passes) == 2
    assert sum(count for key, count in passes.items() if "convolution" in key) == 4
