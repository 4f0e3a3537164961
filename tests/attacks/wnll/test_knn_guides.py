"""The attack by guides: its sums by hand, what it breaks of classifiers by neighbours, what it refuses."""

import math

import pytest
import torch

from attacks.gradient.pgd import PGD
from attacks.wnll.knn_guides import KNNGuides, ball_scores, guided
from model_zoo.heads.deep_knn import DeepKNN
from model_zoo.heads.neighbours import KNN
from robench.attack.norms import L2
from robench.errors import ConfigError
from robench.model.interface import OutputKind
from robench.recipe import build
from tests.attacks.wnll.graph_toys import X, headed, network, wnll
from tests.attacks.wnll.test_graph_adaptive import line
from tests.truths import attacked, broken, classify, images, small_net

HEADS = {"knn": KNN(k=5, template=60), "deep_knn": DeepKNN(k=5, template=60, calibration=30)}
ATTACK = KNNGuides(steps=8, restarts=1, classes=2)


def model_of(name):
    return wnll(name.removeprefix("wnll-")) if name.startswith("wnll") else headed(HEADS[name], network())


def test_the_sums_by_hand():
    around = line([0.0, 2.0, 3.0, 7.0], [0, 0, 1, 1], reach=2)
    # at 1: squares 1, 1, 4, 36; the second nearest at 1
    scores = ball_scores(around, torch.tensor([[1.0]]), 3, guides=2, gap=0.5)
    lacks = [-(0.5 + 0.5), -(3.5 + 35.5), -math.inf]
    inside = [-(0.5 + 0.5), 0.0, 0.0]
    torch.testing.assert_close(scores, torch.tensor([[*lacks, *inside]]))
    value = guided(scores, torch.tensor([[0, 1]]), OutputKind.LOGITS)
    torch.testing.assert_close(value, torch.tensor([-39.0 - 1.0]))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["knn", "deep_knn", "wnll-independent"])
def test_it_breaks_more_than_pgd_through_any_single_source_and_keeps_the_ball(name):
    model = model_of(name)
    y, eps = classify(model, X), 0.03
    x_adv, oracle, _ = attacked(ATTACK, model, X, y, eps=eps)
    breaks = int(broken(model, x_adv, y).sum())
    assert oracle.threat.admits(X, x_adv).all()
    counts = []
    for source in model.sources.values():
        single, _, _ = attacked(PGD(steps=8, random_start=False), model, X, y, eps=eps, source=source)
        counts.append(int(broken(model, single, y).sum()))
    assert breaks >= sorted(counts)[len(counts) // 2]
    assert breaks > 0


@pytest.mark.thorough
def test_a_joint_batch_is_asked_as_a_whole():
    model = wnll("joint")
    sizes = []
    model.net.branches.backbone.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    y = classify(model, X)
    x_adv, oracle, _ = attacked(ATTACK, model, X, y, eps=0.03)
    assert set(sizes) == {20}
    assert int(broken(model, x_adv, y).sum()) == oracle.best_points.most > 0


@pytest.mark.thorough
def test_l2_balls_and_the_same_seed():
    model = model_of("knn")
    y = classify(model, X)
    attack = KNNGuides(steps=4, restarts=2, classes=1)
    one, oracle, _ = attacked(attack, model, X, y, norm=L2, eps=0.5)
    again, _, _ = attacked(attack, model, X, y, norm=L2, eps=0.5)
    assert torch.equal(one, again)
    assert oracle.threat.admits(X, one).all()


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"restarts": 0}, {"classes": 0}, {"guides": 0}, {"gap": 0.0}]
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        build(KNNGuides, options, where="test.yaml:1")


def test_a_model_without_neighbours_is_attacked_by_its_margin():
    model, x = small_net(seed=1), images(20)
    y = classify(model, x)
    x_adv, oracle, _ = attacked(ATTACK, model, x, y, eps=0.05)
    assert 0 < int(broken(model, x_adv, y).sum()) < 20
    assert set(oracle.ledger.backwards[~oracle.broken].tolist()) == {9}
