"""Backbone outputs that are computed once per WNLL stage: when that is allowed, and that nothing changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from defenses.training.objective import BatchContext
from defenses.training.split import halves, joined
from defenses.wnll.backbone import Backbone, BackboneCache, Tail
from defenses.wnll.options import stage_options
from defenses.wnll.stage import WNLLStage
from robench import plugins
from robench.attack.losses import cross_entropy
from robench.randomness import Randomness, borrowed_global_randomness
from tests.defenses.toys import ATTACKED, COMMON, WNLL, Branches, check_resumption, context, network, toy

QUICK = {"wnll_learning_rate": 0.05, "passes": 1, "epochs": 1, "wnll_epochs": 2}
TRAININGS = ("wnll_natural", "wnll_pgd", "wnll_semi_supervised")


def training(name, **options):
    extra = {"unlabelled": 15} if name == "wnll_semi_supervised" else {}
    values = COMMON | WNLL | (ATTACKED if name == "wnll_pgd" else {}) | extra | QUICK
    return plugins.find("defenses", name)(**(values | options))


def data_for(name):
    return toy().withholding(torch.arange(60, 100)) if name == "wnll_semi_supervised" else toy()


def stages(net, name, cache, **options):
    """A WNLL stage of that training on the toy problem, and what it learns from."""
    data = data_for(name)
    training_set, template = halves(data.labelled(), 1, 0)
    second = stage_options(training(name, **options), 0)[1]
    both = joined(template, data.unlabelled())
    stage = WNLLStage(net, both, options=second, context=context(), training_set=training_set, cache=cache)
    return stage, training_set


def seen_by(net):
    """The sizes of all batches that the backbone is given from now on."""
    sizes = []
    net.backbone.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    return sizes


def test_trunk_and_tail_are_the_network_cut_in_two():
    net, (x, _) = network().eval(), toy().batch(slice(0, 9))
    torch.testing.assert_close(Backbone(net)(x), net.backbone(x))
    assert torch.equal(Tail(net)(Backbone(net)(x)), net(x))
    assert Backbone(net).has_fixed_outputs(x)
    assert not net.buffer._forward_pre_hooks


class Odd(Branches):
    """A network whose backbone outputs are not a matter of the image alone, in one of several ways."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        if how == "batch":
            self.backbone[2] = nn.BatchNorm1d(16, track_running_stats=False)
        if how == "says so":
            self.backbone[0].random = True
        if how == "awake dropout":
            self.backbone.append(nn.Dropout(0.5))
            self.backbone[-1].train = lambda mode=True: self

    def features(self, x):
        if self.how == "late noise":
            return self.buffer(self.backbone(x)) + torch.randn(1)
        if self.how == "drawn in vain":
            torch.rand(1)
        if self.how == "twice":
            return self.buffer(self.backbone(x)) + self.buffer(self.backbone(1 - x))
        return super().features(x)

    def forward(self, x):
        return super().forward(x) + (0.1 if self.how == "after the linear branch" else 0.0)


WAYS = ("batch", "says so", "drawn in vain", "twice")
REFUSED_BY_THE_HEAD = ("awake dropout", "late noise", "after the linear branch")


@pytest.mark.parametrize("how", [*WAYS, *REFUSED_BY_THE_HEAD])
def test_other_networks_have_no_fixed_outputs(how):
    with borrowed_global_randomness(0):
        net = Odd(how).eval()
        assert not Backbone(net).has_fixed_outputs(toy().batch(slice(0, 8))[0])


@pytest.mark.parametrize("how", WAYS)
def test_other_networks_are_computed_at_every_step(how):
    with borrowed_global_randomness(0):
        net = Odd(how).eval()
        stage, training_set = stages(net, "wnll_natural", BackboneCache(net, "cpu"))
        assert stage.cache.of(stage.template, training_set) is None
        sizes = seen_by(net)
        x, y = training_set.batch(slice(0, 20))
        loss, _ = stage.clean_loss(x, y, Randomness(0, training_set.indices[:20]))
    assert bool(loss.isfinite())
    assert 20 in sizes


@pytest.mark.parametrize("name", TRAININGS)
def test_the_network_sees_what_never_changes_once_per_stage(name):
    net = network().eval()
    stage, training_set = stages(net, name, BackboneCache(net, "cpu"))
    objective = training(name).graph_objective(stage)
    x, y = training_set.batch(slice(0, 20))
    objective.loss(x, y, BatchContext(0.0, Randomness(0, training_set.indices[:20])))
    sizes = seen_by(net)
    for step in range(3):
        objective.loss(x, y, BatchContext(0.0, Randomness(step, training_set.indices[:20])))
    steps = 2 + 1  # of the attack: a random start and two steps, then the loss
    assert sizes == ([20] * 3 * steps if name == "wnll_pgd" else [])


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("wnll_natural", {"passes": 2}),
        ("wnll_natural", {"augmentation": "crop_flip"}),
        ("wnll_pgd", {}),
        ("wnll_semi_supervised", {}),
    ],
)
def test_weights_are_those_of_computing_everything_at_every_step(name, options, monkeypatch):
    defense = training(name, **options)
    new, old = network(), network()
    history = defense(new, data_for(name), context=context())
    monkeypatch.setattr(BackboneCache, "of", lambda self, template, training_set: None)
    before = defense(old, data_for(name), context=context())
    for one, other in zip(new.parameters(), old.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    for row, earlier in zip(history, before, strict=True):
        assert row["loss"] == pytest.approx(earlier["loss"], rel=1e-4)


@pytest.mark.parametrize("name", TRAININGS)
def test_a_stage_that_was_stopped_halfway_resumes_to_the_same_bits(name, tmp_path):
    # Epochs 2 and 3 are those of the WNLL stage.
    check_resumption(training(name), data_for(name), tmp_path, epochs=[2])


def test_gradients_of_an_attack_go_through_the_whole_network():
    net = network().eval()
    (new, training_set), (old, _) = (
        stages(net, "wnll_pgd", cache) for cache in (BackboneCache(net, "cpu"), None)
    )
    x, y = training_set.batch(slice(0, 12))
    results = []
    for stage in (new, old):
        model = stage.training_model(Randomness(0, training_set.indices[:12]))
        point = x.clone().requires_grad_()
        surrogate, u = model.source("straight_through").surrogate(point)
        loss = cross_entropy(surrogate, y, model.output).sum()
        results.append((u, *torch.autograd.grad(loss, point)))
        torch.testing.assert_close(model.net(x), u)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert bool(results[0][1].any())


def test_rows_are_found_by_their_index_in_any_order():
    net, data = network().eval(), toy()
    permutation = data.subset(torch.randperm(100, generator=torch.Generator().manual_seed(0)))
    cache = BackboneCache(net, "cpu").of(data, permutation)
    indices = torch.tensor([70, 3, 3, 99])
    with torch.no_grad():
        torch.testing.assert_close(cache.batch(indices), net.backbone(data.batch(indices)[0]))
    assert torch.equal(cache.template.indices, data.indices)
    twice = replace(permutation, indices=permutation.indices // 2)
    assert BackboneCache(net, "cpu").of(data, twice).batch(indices) is None
    assert BackboneCache(net, "cpu").of(data, None).batch(indices) is None


def test_the_outputs_of_a_stage_are_forgotten_when_the_next_one_asks():
    net, data = network().eval(), toy()
    cache = BackboneCache(net, "cpu")
    first = cache.of(data, None)
    assert cache.of(data, None) is first
    net.backbone[1].weight.data.mul_(2)
    second = cache.of(data.subset(slice(0, 50)), None)
    assert len(second.template) == 50
    with torch.no_grad():
        torch.testing.assert_close(second.template.images, net.backbone(data.batch(slice(0, 50))[0]))
