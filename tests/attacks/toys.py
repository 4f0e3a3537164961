"""Truths that several tests of strong attacks share: closed forms, brute force, and laws of every attack."""

import math

import torch

from robench.attack.norms import NORMS
from robench.attack.threat import ThreatModel
from tests.truths import attacked, broken, classify, images, joint, small_net

DUAL = {"Linf": 1, "L2": 2, "L1": math.inf}
EPS = {"Linf": 0.06, "L2": 0.2, "L1": 0.8}
"""Radii that break about half of 40 images of `small_net(seed=1)`."""


def distances(model, x, y, norm):
    """Distance of each image to the nearest other class of a linear model, the box ignored; (B,) float64."""
    weight, bias = model.net[1].weight.detach().double(), model.net[1].bias.detach().double()
    scores = x.double().flatten(1) @ weight.T + bias
    gap = scores.gather(1, y[:, None]) - scores
    dual = (weight[y][:, None] - weight[None]).norm(p=DUAL[norm], dim=2)
    distance = gap / dual.clamp_min(1e-30)
    return distance.scatter(1, y[:, None], math.inf).amin(dim=1)


def two_pixels(norm, eps, count=60):
    """A nonlinear net on two pixels, images, labels, and which images any point of a fine grid breaks."""
    model = small_net(shape=(1, 1, 2), classes=3, seed=1, width=8)
    x = images(count, (1, 1, 2), seed=2)
    y = classify(model, x)
    threat = ThreatModel(norm=NORMS[norm], eps=eps)
    line = torch.linspace(-eps, eps, 61)
    offsets = torch.cartesian_prod(line, line).view(-1, 1, 1, 2)
    points = [threat.project(one.expand(len(offsets), -1, -1, -1), one + offsets) for one in x]
    truth = torch.stack([(classify(model, p) != label).any() for p, label in zip(points, y, strict=True)])
    return model, x, y, truth


def splitting_changes_nothing(attack, norm, *, atol=1e-5):
    """Permuting, splitting and small passes give the same images up to rounding."""
    model, x = small_net(seed=1), images(12)
    y, options = classify(model, x), {"norm": NORMS[norm], "eps": EPS[norm]}
    whole, _, _ = attacked(attack, model, x, y, **options)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    permutation, _, _ = attacked(attack, model, x[order], y[order], indices=order, **options)
    assert torch.allclose(permutation, whole[order], atol=atol)
    part = torch.arange(3, 10)
    piece, _, _ = attacked(attack, model, x[part], y[part], indices=part, **options)
    assert torch.allclose(piece, whole[part], atol=atol)
    small, _, _ = attacked(attack, model, x, y, batch_size=5, **options)
    assert torch.allclose(small, whole, atol=atol)


def the_seed_decides(attack, norm):
    """The same seed gives the same bits, another one asks about other points."""
    model, x = small_net(seed=1), images(12)
    y, options = classify(model, x), {"norm": NORMS[norm], "eps": EPS[norm]}
    queries, proposals = [], []
    for seed in (3, 3, 4):
        points = []
        hook = model.net.register_forward_pre_hook(lambda _, inputs, p=points: p.append(inputs[0].detach()))
        proposals.append(attacked(attack, model, x, y, seed=seed, **options)[0])
        hook.remove()
        queries.append(points)
    assert torch.equal(proposals[0], proposals[1])
    assert all(torch.equal(a, b) for a, b in zip(queries[0], queries[1], strict=True))
    same = [torch.equal(a, b) for a, b in zip(queries[0], queries[2], strict=False)]
    assert all(same) != attack.info.randomised


def dropping_changes_no_verdict(attack, norm):
    """Images that are broken leave the batch: fewer passes, the same verdicts."""
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    y[:3] = (y[:3] + 1) % 4  # misclassified from the start
    options = {"norm": NORMS[norm], "eps": EPS[norm]}
    plain, full, _ = attacked(attack, model, x, y, **options)
    dropping, cheap, _ = attacked(attack, model, x, y, drop=True, **options)
    assert torch.equal(broken(model, plain, y, x, full.threat), broken(model, dropping, y, x, full.threat))
    assert torch.equal(cheap.broken, full.broken)
    assert 5 < int(full.broken.sum()) < 37
    assert int(cheap.ledger.forwards.sum()) < int(full.ledger.forwards.sum())
    least, most = cheap.ledger.forwards[0], cheap.ledger.forwards.max()
    assert least < most / 2


def a_budget_is_kept(attack, norm):
    """No image gets more passes than it may."""
    model, x = small_net(seed=1), images(10)
    for budget in (1, 9):
        threat = ThreatModel(norm=NORMS[norm], eps=EPS[norm], budget=budget)
        x_adv, oracle, _ = attacked(attack, model, x, threat=threat)
        passes = oracle.ledger.forwards + oracle.ledger.backwards
        assert budget // 9 <= int(passes.max()) <= budget
        assert torch.isfinite(x_adv).all()


def joint_batches_are_kept_whole(attack, norm):
    """A model whose images influence each other sees all of them in every pass."""
    model, x = joint(small_net(seed=1)), images(12)
    y = classify(model, x)
    model.net.sizes.clear()
    x_adv, oracle, _ = attacked(attack, model, x, y, norm=NORMS[norm], eps=EPS[norm], drop=True, batch_size=4)
    assert set(model.net.sizes) == {12}
    assert int(broken(model, x_adv, y).sum()) >= 2
    assert len(oracle.ledger.forwards.unique()) == 1


def no_radius_no_change(attack, norm):
    """With a radius of zero every proposal is the image itself."""
    x = images(4)
    x_adv, _, _ = attacked(attack, small_net(), x, norm=NORMS[norm], eps=0.0)
    assert torch.equal(x_adv, x)


LAWS = (
    splitting_changes_nothing,
    the_seed_decides,
    dropping_changes_no_verdict,
    a_budget_is_kept,
    joint_batches_are_kept_whole,
    no_radius_no_change,
)
