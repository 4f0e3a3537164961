"""Our attacks against answers known in closed form or by brute force."""

import itertools
import math

import pytest
import torch

from attacks.gradient.fgsm import FGSM
from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.pgd import PGD
from attacks.minimal.cw import CW
from robench.attack.norms import L2, LINF
from robench.attack.threat import Goal, ThreatModel
from robench.model.interface import Model, OutputKind
from tests.truths import (
    Lambda,
    attacked,
    broken,
    classify,
    images,
    linear,
    random_linear,
    small_net,
    with_head,
)

SHAPE = (1, 4, 4)
INFINITE = ThreatModel(norm=L2, eps=math.inf)
GRADIENT = [FGSM(), IFGSM(steps=20, step_size=0.05), PGD(steps=20), PGD(steps=20, loss="margin")]
norms = pytest.mark.parametrize("norm", [LINF, L2], ids=lambda n: n.name)


def closed_form(model, x, y, norm, targets=None):
    """Distance of each image to the nearest other class (or to its target's halfplane), box ignored."""
    weight, bias = model.net[1].weight.detach().double(), model.net[1].bias.detach().double()
    scores = x.double().flatten(1) @ weight.T + bias
    gap = scores.gather(1, y[:, None]) - scores
    dual = (weight[y][:, None] - weight[None]).norm(p=1 if norm is LINF else 2, dim=2)
    distance = gap / dual.clamp_min(1e-30)
    distance.scatter_(1, y[:, None], math.inf)
    if targets is not None:
        return distance.gather(1, targets[:, None]).squeeze(1)
    return distance.amin(dim=1)


def grey(count=60, seed=0):
    """Mid-grey images with room for every step the tests allow."""
    return images(count, SHAPE, seed, 0.45, 0.55)


@norms
@pytest.mark.parametrize("attack", GRADIENT, ids=lambda a: f"{type(a).__name__}")
def test_two_classes_break_exactly_where_geometry_says(attack, norm):
    model = random_linear(classes=2, centred=True)
    x = grey()
    y = classify(model, x)
    distance = closed_form(model, x, y, norm)
    eps = float(distance.median())
    x_adv, oracle, _ = attacked(attack, model, x, y, norm=norm, eps=eps)
    # From a random start the L2 ball's far point is only approached: the angle shrinks by a ninth a step.
    near = 0.02 if isinstance(attack, PGD) and norm is L2 else 1e-4
    sure = (distance - eps).abs() > near * eps
    assert sure.sum() > 50
    assert torch.equal(broken(model, x_adv, y)[sure], (distance < eps)[sure])
    assert 20 < int(broken(model, x_adv, y).sum()) < 40
    assert oracle.threat.admits(x, x_adv).all()


@pytest.mark.thorough
@norms
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_several_classes_break_where_geometry_says(norm, loss):
    model = random_linear(classes=5, seed=3, centred=True)
    x = grey(seed=1)
    y = classify(model, x)
    distance = closed_form(model, x, y, norm)
    eps = float(distance.median())
    x_adv, _, _ = attacked(PGD(steps=60, restarts=3, loss=loss), model, x, y, norm=norm, eps=eps)
    breaks = broken(model, x_adv, y)
    assert not breaks[distance > 1.0001 * eps].any()  # no attack can
    # Cross-entropy climbs towards all wrong classes at once, and may end between two of them.
    assert breaks[distance < 0.93 * eps].float().mean() > (0.95 if loss == "margin" else 0.85)


@pytest.mark.thorough
def test_the_box_is_obeyed_and_counted():
    """One pixel is at its ceiling: only the other can help, so the radius needed is 0.2, not 0.1."""
    model = linear(torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), torch.tensor([1.2, -1.2]))
    x = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)  # crosses at x_1 + x_2 = 1.2
    y = classify(model, x)
    for attack, eps in itertools.product(GRADIENT, (0.19, 0.21)):
        x_adv, _, _ = attacked(attack, model, x, y, eps=eps)
        assert bool(broken(model, x_adv, y)) == (eps > 0.2), attack
        assert x_adv.min() >= 0
        assert x_adv.max() <= 1


@pytest.mark.thorough
@pytest.mark.parametrize("classes", [2, 4])
def test_cw_finds_the_smallest_l2_distance(classes):
    model = random_linear(classes=classes, seed=5)
    x = grey(30)
    y = classify(model, x)
    distance = closed_form(model, x, y, L2)
    attack = CW(steps=300, learning_rate=0.01, binary_search_steps=3)
    x_adv, _, _ = attacked(attack, model, x, y, threat=INFINITE)
    size = L2.size(x_adv - x).double()
    assert broken(model, x_adv, y).all()
    assert (size >= distance * (1 - 1e-4)).all()
    assert ((size / distance).median() - 1) < 0.02
    assert ((size / distance) - 1).max() < 0.10


@pytest.mark.thorough
def test_cw_under_a_radius_breaks_where_geometry_says():
    model = random_linear(classes=2, seed=6)
    x = grey(40)
    y = classify(model, x)
    distance = closed_form(model, x, y, L2)
    eps = float(distance.median())
    x_adv, oracle, _ = attacked(CW(steps=200, learning_rate=0.01), model, x, y, norm=L2, eps=eps)
    assert oracle.threat.admits(x, x_adv).all()
    assert not broken(model, oracle.best, y)[distance > eps].any()
    assert broken(model, x_adv, y)[distance < 0.95 * eps].all()
    assert torch.equal(oracle.broken, broken(model, oracle.best, y))


@pytest.mark.thorough
def test_targets_are_reached_where_geometry_says():
    model = random_linear(classes=4, seed=7)
    x = grey(60)
    y = classify(model, x)
    target = (y + 1) % 4
    # Towards the target's halfplane against y; another class may still be higher, so this bounds from below.
    bound = closed_form(model, x, y, LINF, target)
    eps = 1.6 * float(bound.median())
    threat = ThreatModel(eps=eps, goal=Goal.TARGETED)
    weak, _, _ = attacked(FGSM(), model, x, target, threat=threat)
    strong, _, _ = attacked(PGD(steps=40, loss="margin"), model, x, target, threat=threat)
    hit = classify(model, strong) == target
    assert not hit[bound > eps * 1.0001].any()
    assert int(hit.sum()) >= int((classify(model, weak) == target).sum()) > 10
    minimal = ThreatModel(norm=L2, eps=math.inf, goal=Goal.TARGETED)
    images, _, _ = attacked(CW(steps=200, learning_rate=0.02), model, x, target, threat=minimal)
    assert (classify(model, images) == target).all()
    bound = closed_form(model, x, y, L2, target)
    size = L2.size(images - x).double()
    assert (size >= bound * (1 - 1e-4)).all()
    assert (size / bound).median() < 1.2


def two_pixel_net(seed):
    return small_net(shape=(1, 1, 2), classes=3, seed=seed, width=8)


@pytest.mark.thorough
@norms
def test_pgd_breaks_what_brute_force_breaks_and_nothing_else(norm):
    model = two_pixel_net(1)
    x = images(80, (1, 1, 2), seed=2)
    y = classify(model, x)
    eps = 0.12
    threat = ThreatModel(norm=norm, eps=eps)
    line = torch.linspace(-eps, eps, 81)
    offsets = torch.cartesian_prod(line, line).view(-1, 1, 1, 2)
    truth = torch.zeros(len(x), dtype=torch.bool)
    for i in range(len(x)):
        points = threat.project(x[i].expand(len(offsets), -1, -1, -1), x[i] + offsets)
        truth[i] = (classify(model, points) != y[i]).any()
    assert 15 < int(truth.sum()) < 65  # it can fail both ways
    attack = PGD(steps=25, restarts=4, loss="margin")
    x_adv, _, _ = attacked(attack, model, x, y, norm=norm, eps=eps)
    breaks = broken(model, x_adv, y)
    assert int((truth & ~breaks).sum()) <= 1
    assert int((breaks & ~truth).sum()) <= 1  # the grid may miss a sliver
    weak, _, _ = attacked(PGD(steps=1, step_size=1e-4, random_start=False), model, x, y, norm=norm, eps=eps)
    assert int((truth & ~broken(model, weak, y)).sum()) > 10  # a bad attack is seen to be bad


HEADS = {
    "plus 20": (lambda z: z + 20, OutputKind.LOGITS),
    "minus 20": (lambda z: z - 20, OutputKind.LOGITS),
    "log_softmax as logits": (lambda z: z.log_softmax(1), OutputKind.LOGITS),
    "log_softmax": (lambda z: z.log_softmax(1), OutputKind.LOG_PROBABILITIES),
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("attack", "norm", "eps"),
    [
        (FGSM(), LINF, 0.06),
        (IFGSM(steps=10, step_size=0.01), LINF, 0.06),
        (PGD(steps=10), LINF, 0.06),
        (PGD(steps=10, loss="margin"), L2, 0.2),
        (CW(steps=40, learning_rate=0.01), L2, 0.25),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, float) else "",
)
def test_shifted_or_normalised_scores_change_no_verdict(attack, norm, eps, head):
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    plain, _, _ = attacked(attack, model, x, y, norm=norm, eps=eps)
    verdict = broken(model, plain, y, x, ThreatModel(norm=norm, eps=eps))
    assert 5 < int(verdict.sum()) < 36
    twin = with_head(model, *HEADS[head])
    proposal, _, _ = attacked(attack, twin, x, y, norm=norm, eps=eps)
    assert torch.equal(broken(model, proposal, y, x, ThreatModel(norm=norm, eps=eps)), verdict)


def test_a_simplex_head_is_attacked_through_its_logarithm():
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    twin = with_head(model, lambda z: z.softmax(1), OutputKind.SIMPLEX)
    for attack in (FGSM(), PGD(steps=10)):
        plain, _, _ = attacked(attack, model, x, y, eps=0.06)
        proposal, _, _ = attacked(attack, twin, x, y, eps=0.06)
        assert torch.equal(broken(model, proposal, y), broken(model, plain, y))
    proposal, _, _ = attacked(CW(steps=60, learning_rate=0.02), twin, x, y, threat=INFINITE)
    assert broken(model, proposal, y).float().mean() > 0.9


@pytest.mark.thorough
def test_cw_moves_pixels_that_are_exactly_black_or_white():
    model = small_net(seed=2)
    binary = images(30, seed=3).round()
    assert set(binary.unique().tolist()) == {0.0, 1.0}
    grey = 0.01 + 0.98 * binary
    sizes = []
    for x in (binary, grey):
        y = classify(model, x)
        x_adv, _, _ = attacked(CW(steps=60, learning_rate=0.01), model, x, y, threat=INFINITE)
        assert broken(model, x_adv, y).all()
        assert INFINITE.admits(x, x_adv).all()
        sizes.append(L2.size(x_adv - x))
    assert (attacked(CW(), model, binary, threat=INFINITE)[0] - binary).flatten(1).abs().amax(1).min() > 0
    assert float(sizes[0].median() / sizes[1].median()) == pytest.approx(1, abs=0.1)


@pytest.mark.thorough
def test_kappa_buys_confidence():
    model, x = small_net(seed=1), images(20)
    y = classify(model, x)
    margins = {}
    for kappa in (0.0, 1.0):
        attack = CW(steps=150, learning_rate=0.01, kappa=kappa)
        x_adv, _, _ = attacked(attack, model, x, y, threat=INFINITE)
        scores = model.net(x_adv).detach()
        own = scores.gather(1, y[:, None]).squeeze(1)
        margins[kappa] = scores.scatter(1, y[:, None], -math.inf).amax(1) - own
    assert (margins[0.0] > 0).all()
    assert float(margins[0.0].median()) < 0.5
    assert (margins[1.0] >= 1).float().mean() > 0.9


@pytest.mark.thorough
def test_binary_search_over_c_refines():
    model, x = small_net(seed=1), images(20)
    y = classify(model, x)
    sizes = {}
    for c, searches in ((0.001, 1), (0.001, 6), (1000.0, 6)):
        attack = CW(steps=60, learning_rate=0.01, c=c, binary_search_steps=searches)
        x_adv, oracle, _ = attacked(attack, model, x, y, threat=INFINITE)
        sizes[c, searches] = L2.size(x_adv - x).where(oracle.broken, math.inf).median()
    assert sizes[0.001, 1] == math.inf  # too small a weight, and it stays so
    assert sizes[0.001, 6] < math.inf
    assert sizes[1000.0, 6] < math.inf


def test_a_masked_model_is_not_broken_but_noted():
    inner = small_net()
    model = Model(name="masked", net=Lambda(lambda x: inner.net((x * 4).round() / 4)), classes=4)
    x = images(10)
    for attack in (FGSM(), PGD(steps=3, random_start=False)):
        _, oracle, _ = attacked(attack, model, x, eps=0.05)
        assert (oracle.ledger.zero_gradient > 0).all()
    nan = Model(name="nan", net=Lambda(lambda x: inner.net(x) / (x.flatten(1)[:, :1] < 0)), classes=4)
    for attack in (*GRADIENT, CW(steps=3)):
        norm = L2 if isinstance(attack, CW) else LINF
        y = torch.zeros(10, dtype=torch.int64)
        x_adv, oracle, _ = attacked(attack, nan, x, y, norm=norm, eps=0.05)
        assert oracle.ledger.nonfinite.all()
        assert torch.isfinite(x_adv).all()
        assert not oracle.broken.any()
