"""GMSA: the models of its set are those they should be, both variants climb what they say, joint batches."""

from dataclasses import replace

import pytest
import torch

from attacks.gradient.pgd import PGD
from attacks.wnll.gmsa import GMSA
from attacks.wnll.model_space import model_on, values_on
from robench.attack.losses import cross_entropy
from robench.attack.oracle import Oracle
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError
from robench.randomness import Randomness
from robench.recipe import build
from tests.attacks.wnll.graph_toys import X, wnll
from tests.truths import attacked, broken, classify, images, joint, small_net

SMALL = GMSA(rounds=3, steps=3, step_size=0.01)


def halves(count):
    return [torch.arange(count) % 2 == part for part in (0, 1)]


def test_a_model_on_a_batch_is_the_joint_model_while_the_others_stand():
    model, x = joint(small_net(seed=1)), images(6)
    other = images(6, seed=5)
    base = model.source("exact")
    one_by_one = model_on(base, other, [torch.arange(6) == i for i in range(6)], model.net)
    rows, own = one_by_one.surrogate(x)
    for i in range(6):
        mixture = other.clone()
        mixture[i] = x[i]
        torch.testing.assert_close(rows[i], model.net(mixture)[i])
    torch.testing.assert_close(own, model.net(x))
    assert one_by_one.forwards == 7
    # on its own batch it is the joint model itself, however the batch is shared out
    for moving in (halves(6), [torch.ones(6) > 0]):
        torch.testing.assert_close(model_on(base, x, moving, model.net).surrogate(x)[0], own)
    assert (rows - own).abs().max() > 1e-3


@pytest.mark.parametrize("variant", ["avg", "min"])
def test_the_gradient_is_that_of_the_average_or_the_minimum(variant):
    model, x = joint(small_net(seed=1)), images(6, dtype=torch.float64)
    model.net.double()
    y = classify(model, x)
    oracle = Oracle(model, x, y, ThreatModel(eps=0.1))
    batches = [images(6, seed=seed, dtype=torch.float64) for seed in (5, 6, 7)]
    models = [model_on(model.source("exact"), batch, halves(6), model.net) for batch in batches]
    attack = replace(SMALL, variant=variant)
    value, gradient = attack._combined(oracle, models, cross_entropy, x)

    def combined(point):
        table = torch.stack([values_on(oracle, one, cross_entropy, point) for one in models])
        return table.mean(0) if variant == "avg" else table.amin(0)

    torch.testing.assert_close(value, combined(x))
    if variant == "min":
        table = torch.stack([values_on(oracle, one, cross_entropy, x) for one in models])
        assert len(set(table.argmin(0).tolist())) > 1
    step = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ends = [combined(x + s * 1e-6 * step).sum() for s in (1, -1)]
    torch.testing.assert_close((gradient * step).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-8)


@pytest.mark.thorough
@pytest.mark.parametrize("variant", ["avg", "min"])
def test_a_joint_graph_is_asked_whole_and_the_best_batch_is_proposed(variant):
    model = wnll("joint")
    sizes = []
    model.net.branches.backbone.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    y = classify(model, X)
    x_adv, oracle, _ = attacked(replace(SMALL, variant=variant), model, X, y, eps=0.03)
    assert set(sizes) == {20}
    assert oracle.threat.admits(X, x_adv).all()
    count = int(broken(model, x_adv, y).sum())
    assert count == oracle.best_points.most > 0
    together, _, _ = attacked(replace(SMALL, variant=variant, merge=30), model, X, y, eps=0.03)
    assert int(broken(model, together, y).sum()) >= count


@pytest.mark.parametrize("variant", ["avg", "min"])
def test_the_ledger_counts_every_pass(variant):
    model = joint(small_net(seed=1))
    x = images(6)
    y = classify(model, x)
    model.net.sizes.clear()
    _, oracle, last = attacked(replace(SMALL, variant=variant), model, x, y, eps=0.05)
    assert last.shape == x.shape
    assert set(oracle.ledger.forwards.tolist()) == {len(model.net.sizes)}


def test_alone_it_is_pgd_from_several_points():
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    x_adv, oracle, _ = attacked(SMALL, model, x, y, eps=0.05)
    assert set(oracle.ledger.backwards[~oracle.broken].tolist()) == {3 * 4}
    one, _, _ = attacked(PGD(steps=3, step_size=0.01), model, x, y, eps=0.05)
    assert int(broken(model, x_adv, y).sum()) >= int(broken(model, one, y).sum())


@pytest.mark.thorough
def test_seeds_budgets_and_targets():
    model = wnll("joint")
    y = classify(model, X)
    one, _, _ = attacked(SMALL, model, X, y, eps=0.03)
    again, _, _ = attacked(SMALL, model, X, y, eps=0.03)
    assert torch.equal(one, again)
    for variant in ("avg", "min"):
        threat = ThreatModel(eps=0.03, budget=25)
        _, oracle, _ = attacked(replace(SMALL, variant=variant), model, X, y, threat=threat)
        assert int((oracle.ledger.forwards + oracle.ledger.backwards).max()) <= 25
    target = (y + 1) % 10
    threat = ThreatModel(eps=0.3, goal=Goal.TARGETED)
    x_adv, _, _ = attacked(replace(SMALL, variant="min", step_size=None), model, X, target, threat=threat)
    assert (classify(model, x_adv) == target).any()


def test_groups_share_the_batch_out():
    from attacks.wnll.gmsa import _groups

    rng = Randomness(0, torch.arange(7))
    parts = torch.stack(_groups(images(7), rng, 3))
    assert parts.sum(0).tolist() == [1] * 7
    assert sorted(parts.sum(1).tolist()) == [2, 2, 3]
    assert len(_groups(images(2), Randomness(0, torch.arange(2)), 5)) == 2


@pytest.mark.parametrize(
    "options",
    [{"rounds": 0}, {"steps": 0}, {"groups": 0}, {"variant": "max"}, {"loss": "dlr"}, {"merge": -1}],
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        build(GMSA, options, where="test.yaml:1")
