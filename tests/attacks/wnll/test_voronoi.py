"""The nearest cell of another class, against brute force in the plane and against other attacks on pixels."""

import math

import numpy as np
import pytest
import torch

from attacks.wnll.graph_adaptive import GraphAdaptive
from attacks.wnll.voronoi import Voronoi, nearest_cell
from model_zoo.heads.neighbours import KNN
from robench.attack.norms import L2, LINF
from robench.attack.threat import ThreatModel
from robench.errors import ConfigError
from tests.attacks.wnll.graph_toys import X, headed, network
from tests.truths import attacked, broken, classify

SIZES = {"L2": lambda v: float(np.linalg.norm(v)), "Linf": lambda v: float(np.abs(v).max())}


def grid(count=401):
    line = np.linspace(0, 1, count)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("norm", SIZES)
@pytest.mark.parametrize("seed", range(6))
def test_the_smallest_step_is_that_of_a_fine_grid(norm, seed):
    rng = np.random.default_rng(seed)
    own, others, image = rng.uniform(size=(7, 2)), rng.uniform(size=(5, 2)), rng.uniform(size=2)
    step = nearest_cell(image, own, others, (0.0, 1.0), math.inf, norm)
    points = grid()
    distance = [np.square(points[:, None] - part).sum(-1).min(1) for part in (own, others)]
    wrong = points[distance[1] < distance[0]]
    best = min(SIZES[norm](point - image) for point in wrong)
    landing = image + step
    assert ((landing >= -1e-9) & (landing <= 1 + 1e-9)).all()
    nearest = [np.square(landing - part).sum(-1).min() for part in (own, others)]
    assert nearest[1] < nearest[0]
    # the grid has no smaller one, and one that is larger by its mesh at most
    assert SIZES[norm](step) <= best + 1e-4
    assert SIZES[norm](step) >= best - math.sqrt(2) / 400 - 1e-4
    assert nearest_cell(image, own, others, (0.0, 1.0), 0.9 * best - 0.01, norm) is None


def test_an_image_of_both_classes_never_changes_hands():
    own = np.array([[0.5, 0.5]])
    assert nearest_cell(np.array([0.4, 0.5]), own, own.copy(), (0.0, 1.0), math.inf, "L2") is None


def pixels(k=1, **options):
    return headed(KNN(k=k, template=100, **options), network(raw=True))


@pytest.mark.thorough
@pytest.mark.parametrize(("norm", "eps"), [(L2, 0.4), (LINF, 0.08)])
def test_on_pixels_no_attack_breaks_what_it_does_not(norm, eps):
    model, x = pixels(), X[:8]
    y = classify(model, x)
    x_adv, _, _ = attacked(Voronoi(), model, x, y, eps=eps, norm=norm)
    breaks = broken(model, x_adv, y)
    threat = ThreatModel(norm=norm, eps=eps)
    assert threat.admits(x, x_adv).all()
    other, _, _ = attacked(GraphAdaptive(steps=8), model, x, y, eps=eps, norm=norm)
    assert not (broken(model, other, y, x, threat) & ~breaks).any()
    assert 0 < int(breaks.sum()) < 8


@pytest.mark.thorough
def test_without_a_radius_every_image_is_broken_and_a_shorter_way_is_none():
    model, x = pixels(), X[:5]
    y = classify(model, x)
    x_adv, _, last = attacked(Voronoi(), model, x, y, eps=math.inf, norm=L2)
    assert broken(model, x_adv, y).all()
    size = (last - x).flatten(1).norm(dim=1)
    assert not broken(model, x + 0.995 * (last - x), y).any()
    within, _, _ = attacked(Voronoi(), model, x, y, eps=float(size.median()) + 1e-4, norm=L2)
    assert torch.equal(broken(model, within, y), size <= size.median())


def test_other_models_are_refused():
    threat, shape = ThreatModel(eps=0.1), (1, 8, 8)
    for model in (pixels(k=3), headed(KNN(k=1, template=100), network())):
        with pytest.raises(ConfigError, match="raw_pixels"):
            Voronoi().check_model(model, threat, shape)
    Voronoi().check_model(pixels(), threat, shape)
