"""The adaptive attack on graph heads: never weaker than its parts, and honest about joint batches."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.pgd import PGD
from attacks.query.square import Square
from attacks.wnll.attacker_sources import kernel, nearest_classes, neighbour_scores, neighbours, sources_of
from attacks.wnll.graph_adaptive import GraphAdaptive
from robench.attack.losses import cross_entropy, margin
from robench.attack.norms import L2
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError
from robench.model.interface import Coupling, GradientSource, Memory, Model, Neighbourhood, OutputKind
from robench.recipe import build
from tests.attacks.wnll.graph_toys import X, network, wnll
from tests.truths import Lambda, attacked, broken, classify, images, small_net, with_head

EPS, STEPS, STEP = 0.02, 3, 0.01
ADAPTIVE = GraphAdaptive(steps=STEPS, step_size=STEP)
LOSSES = {
    "cross_entropy": IFGSM(steps=STEPS, step_size=STEP),
    "margin": PGD(steps=STEPS, step_size=STEP, random_start=False, loss="margin"),
}


def single_sources(model, y):
    """What each source breaks on its own, with either loss."""
    for source in sources_of(model, (4.0,)):
        for attack in LOSSES.values():
            x_adv, oracle, _ = attacked(attack, model, X, y, eps=EPS, source=source)
            yield source.name, broken(model, x_adv, y) & oracle.broken


@pytest.mark.thorough
@pytest.mark.parametrize(("protocol", "drop"), [("independent", False), ("voting", True)])
def test_alone_it_breaks_every_image_that_a_single_source_breaks(protocol, drop):
    model = wnll(protocol, votes=2)
    y = classify(model, X)
    x_adv, oracle, _ = attacked(ADAPTIVE, model, X, y, eps=EPS, drop=drop)
    breaks = broken(model, x_adv, y)
    singles = list(single_sources(model, y))
    names = {name for name, _ in singles}
    assert names == {"straight_through", "linear", "kernel", "kernel 4", "neighbours", "exact"}
    for name, single in singles:
        assert not (single & ~breaks).any(), name
    assert int(breaks.sum()) > max(int(single.sum()) for _, single in singles)
    assert 3 < int(breaks.sum()) < 20
    assert oracle.threat.admits(X, x_adv).all()


@pytest.mark.thorough
def test_a_joint_batch_is_one_batch_that_breaks_at_least_as_many_as_any_single_source():
    model = wnll("joint")
    sizes = []
    model.net.branches.backbone.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    y = classify(model, X)
    x_adv, oracle, _ = attacked(ADAPTIVE, model, X, y, eps=EPS, drop=True, batch_size=5)
    assert set(sizes) == {20}
    count = int(broken(model, x_adv, y).sum())
    for name, single in single_sources(model, y):
        assert count >= int(single.sum()), name
    assert 3 < count < 20
    assert oracle.threat.admits(X, x_adv).all()


def covers(model, breaks, other):
    """Whether `breaks` has all of `other`: image by image, or in number where the batch is one graph."""
    if model.coupling is Coupling.JOINT:
        return int(breaks.sum()) >= int(other.sum())
    return not (other & ~breaks).any()


@pytest.mark.thorough
@pytest.mark.parametrize("protocol", ["independent", "joint"])
@pytest.mark.parametrize("loss", LOSSES)
def test_it_breaks_what_images_crafted_on_the_linear_branch_break(protocol, loss):
    """Transfer from the twin whose linear head the features were trained with: it needs no template."""
    model = wnll(protocol)
    twin = Model(name="twin", net=model.net.branches, classes=10)
    y = classify(model, X)
    images, _, _ = attacked(LOSSES[loss], twin, X, y, eps=EPS)
    transfer = broken(model, images, y)
    x_adv, _, _ = attacked(ADAPTIVE, model, X, y, eps=EPS)
    breaks = broken(model, x_adv, y)
    assert covers(model, breaks, transfer)
    assert 0 < int(transfer.sum()) < int(breaks.sum()) < 20


@pytest.mark.thorough
@pytest.mark.parametrize("protocol", ["independent", "joint"])
def test_it_breaks_more_than_as_many_queries_of_random_search(protocol):
    model = wnll(protocol)
    y = classify(model, X)
    images, _, _ = attacked(Square(queries=200), model, X, y, eps=EPS)
    random = broken(model, images, y)
    x_adv, oracle, _ = attacked(ADAPTIVE, model, X, y, eps=EPS)
    breaks = broken(model, x_adv, y)
    assert int((oracle.ledger.forwards + oracle.ledger.backwards).max()) <= 200
    assert covers(model, breaks, random)
    assert 0 < int(random.sum()) < int(breaks.sum())


@pytest.mark.thorough
def test_the_last_part_starts_where_exact_gradients_exist():
    """A one-hot u has a zero exact gradient: the exact source is stuck, what the others reached is not."""
    model = wnll(m=3, n=2)
    y = classify(model, X)
    sure = model.net(X).amax(1) == 1
    assert 5 < sure.sum() < 20
    _, alone, _ = attacked(LOSSES["margin"], model, X, y, eps=EPS, source=model.source("exact"))
    assert torch.equal(alone.ledger.zero_gradient == STEPS, sure)
    assert not alone.broken[sure].any()
    _, oracle, _ = attacked(ADAPTIVE, model, X, y, eps=EPS)
    assert oracle.broken[sure].any()
    assert (oracle.ledger.zero_gradient < oracle.ledger.backwards).all()


@pytest.mark.parametrize("loss", [cross_entropy, margin])
@pytest.mark.parametrize("protocol", ["independent", "joint"])
def test_zero_gradients_of_the_exact_source_are_true_zeros_and_the_others_no_rounding(protocol, loss):
    model = wnll(protocol, m=3, n=2)
    y = classify(model, X)
    z = model.net.branches.features(X).detach()
    gradients = {}
    for dtype in (torch.float32, torch.float64):
        model.net.templates.to(dtype)
        leaf = z.to(dtype).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(model.net.classify(leaf), y, model.output).sum(), leaf)
        gradients[dtype] = gradient.double()
    narrow, wide = gradients.values()
    zero = narrow.abs().amax(1) == 0
    assert torch.equal(zero, wide.abs().amax(1) == 0)
    assert 2 < int(zero.sum()) < 20
    assert (F.cosine_similarity(narrow, wide)[~zero] > 0.99).all()


def test_without_neighbourhoods_it_is_pgd_with_both_losses():
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    x_adv, oracle, _ = attacked(ADAPTIVE, model, x, y, eps=0.05)
    breaks = broken(model, x_adv, y)
    for attack in LOSSES.values():
        weak, _, _ = attacked(attack, model, x, y, eps=0.05)
        assert not (broken(model, weak, y) & ~breaks).any()
    assert 5 < int(breaks.sum()) < 38
    standing = ~oracle.broken
    # two losses; one random try and the last part, whose first gradient is of the start
    assert set(oracle.ledger.backwards[standing].tolist()) == {2 * STEPS + 2 * (STEPS + 1)}


@pytest.mark.thorough
def test_more_restarts_never_break_less_and_the_same_seed_gives_the_same_bits():
    model, x = wnll(), X[:8]
    y = classify(model, x)
    one, _, _ = attacked(ADAPTIVE, model, x, y, eps=EPS)
    again, _, _ = attacked(ADAPTIVE, model, x, y, eps=EPS)
    two, oracle, _ = attacked(replace(ADAPTIVE, restarts=2), model, x, y, eps=EPS)
    assert torch.equal(one, again)
    assert not (broken(model, one, y) & ~broken(model, two, y)).any()
    assert oracle.threat.admits(x, two).all()


@pytest.mark.parametrize("budget", [1, 9, 40])
def test_a_budget_is_kept(budget):
    _, oracle, _ = attacked(ADAPTIVE, wnll(), X, threat=ThreatModel(eps=EPS, budget=budget))
    assert int((oracle.ledger.forwards + oracle.ledger.backwards).max()) <= budget


@pytest.mark.thorough
def test_targets_are_reached():
    model = wnll()
    y = classify(model, X)
    target = (y + 1) % 10
    threat = ThreatModel(eps=0.3, goal=Goal.TARGETED)
    x_adv, _, _ = attacked(ADAPTIVE, model, X, target, threat=threat)
    weak, _, _ = attacked(LOSSES["margin"], model, X, target, threat=threat, source=model.source("exact"))
    hit = classify(model, x_adv) == target
    assert int(hit.sum()) > int((classify(model, weak) == target).sum())
    assert threat.admits(X, x_adv).all()


@pytest.mark.thorough
def test_l2_balls_are_kept_too():
    model = wnll()
    y = classify(model, X)
    x_adv, oracle, _ = attacked(GraphAdaptive(steps=3), model, X, y, norm=L2, eps=0.6)
    assert oracle.threat.admits(X, x_adv).all()
    assert broken(model, x_adv, y).any()


def line(points, labels, reach):
    """A neighbourhood of points on a line: the image is its own feature."""
    z = torch.tensor(points).view(-1, 1)
    return Neighbourhood(
        features=lambda x: x.flatten(1),
        classify=lambda z, template: torch.zeros(len(z), 2),
        density=lambda z, tau: z,
        linear=None,
        memory=lambda: Memory(images=z.view(-1, 1, 1, 1), points=z, labels=torch.tensor(labels)),
        reach=reach,
    )


def test_neighbour_scores_by_hand():
    around = line([0.0, 2.0, 3.0, 7.0], [0, 0, 1, 1], reach=3)  # two nearest of each class
    got = neighbour_scores(around, torch.tensor([[1.0], [2.0]]), 3)
    # at 1: class 0 at 1, 1; class 1 at 4, 36. At 2: class 0 at 0, 4; class 1 at 1, 25.
    want = torch.tensor([[-1.0, -20.0, -math.inf], [-1.0, -13 / 2, -math.inf]])
    torch.testing.assert_close(got, want)
    assert neighbour_scores(line([0.0, 2.0, 5.0], [0, 0, 1], reach=1), torch.tensor([[1.0]]), 2).tolist() == [
        [-1.0, -16.0]
    ]
    x, y = torch.tensor([1.0, 6.0]).view(-1, 1, 1, 1), torch.tensor([0, 1])
    assert nearest_classes(around, x, y, 2).tolist() == [[1], [0]]


def test_a_step_through_neighbours_nears_other_classes_and_leaves_its_own():
    model = wnll()
    around, memory = model.neighbourhood, model.neighbourhood.memory()
    x, y = X, classify(model, X)

    def mean_distances(x):
        z = around.features(x).detach()
        squares = torch.cdist(z, memory.points).square()
        own = squares.where(memory.labels == y[:, None], math.inf).topk(4, largest=False).values.mean(1)
        gap = []
        for label in range(10):
            those = squares.where(memory.labels == label, math.inf).topk(4, largest=False).values.mean(1)
            gap.append(those.where(y != label, math.inf))
        return own, torch.stack(gap).amin(0)

    point = x.clone().requires_grad_()
    source = neighbours(around, 10)
    scores, own = source.surrogate(point)
    torch.testing.assert_close(own, model.net(x))
    (gradient,) = torch.autograd.grad(margin(scores, y, source.output).sum(), point)
    before, after = mean_distances(x), mean_distances(x + 0.002 * gradient.sign())
    assert (after[1] / after[0] < before[1] / before[0]).float().mean() > 0.9
    assert (after[1] < before[1]).float().mean() > 0.7


def test_a_colder_and_a_warmer_kernel_are_the_density_at_those_temperatures():
    model = wnll()
    for tau in (1.0, 4.0):
        scores, own = kernel(model.neighbourhood, tau).surrogate(X)
        torch.testing.assert_close(own, model.net(X))
        if tau == 1.0:
            torch.testing.assert_close(scores, model.source("kernel").surrogate(X)[0])
        else:
            assert not torch.allclose(scores, model.source("kernel").surrogate(X)[0])


def test_a_source_that_points_nowhere_does_no_harm():
    net = small_net(seed=1)

    def nothing(x):
        own = net.net(x)
        return own.detach(), own.detach()

    exact = with_head(net, lambda z: z).sources["exact"]
    sources = {"nothing": GradientSource("nothing", nothing, OutputKind.LOGITS), "exact": exact}
    model = Model(name="m", net=net.net, classes=4, sources=sources)
    x = images(30)
    y = classify(net, x)
    proposal, _, _ = attacked(ADAPTIVE, model, x, y, eps=0.05)
    weak, _, _ = attacked(LOSSES["cross_entropy"], net, x, y, eps=0.05)
    assert not (broken(net, weak, y) & ~broken(net, proposal, y)).any()


@pytest.mark.thorough
def test_raw_pixels_have_no_linear_sources_and_are_broken_all_the_same():
    model = wnll(net=network(raw=True), template=200)
    y = classify(model, X)
    x_adv, _, _ = attacked(GraphAdaptive(steps=4), model, X, y, eps=0.25)
    assert broken(model, x_adv, y).any()


def test_features_that_are_no_number_cost_only_their_own_image():
    model = wnll()
    features = model.net.branches.features
    model.net.branches.features = lambda x: features(x) / (x[:, :1, 0, 0] < 0.99)
    bad = X.clone()
    bad[0, :, 0, 0] = 1.0
    source = neighbours(Neighbourhood(
        features=model.net.branches.features, classify=model.net.classify, density=lambda z, _: z,
        linear=None, memory=model.neighbourhood.memory, reach=8,
    ), 10)  # fmt: skip
    scores, own = source.surrogate(bad)
    assert own.isnan().any(1).tolist() == [True] + [False] * 19
    assert torch.isfinite(scores[1:]).all()


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"restarts": 0}, {"temperatures": [0.0]}, {"guides": -1}, {"step_size": 0}]
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        build(GraphAdaptive, options, where="test.yaml:1")


def test_an_infinite_radius_is_refused():
    with pytest.raises(ConfigError, match="finite radius"):
        attacked(
            ADAPTIVE, Model(name="m", net=Lambda(lambda x: x.flatten(1)), classes=36), images(2), eps=math.inf
        )
