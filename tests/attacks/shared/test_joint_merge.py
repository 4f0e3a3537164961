"""A merge of joint batches: what is known to be possible is reached, and nothing is counted unasked."""

import itertools

import pytest
import torch
from torch import nn

from attacks.shared.joint_merge import merge
from attacks.shared.tries import StrongestPoints
from attacks.wnll.graph_adaptive import GraphAdaptive
from robench.attack.oracle import Oracle
from robench.attack.threat import ThreatModel
from robench.model.interface import Coupling, Model
from robench.recipe import identity_of
from tests.attacks.wnll.graph_toys import X, wnll
from tests.truths import attacked, broken, classify

COUNT = 8


class Rivals(nn.Module):
    """Two classes; an image is broken if it is bright, unless its rival in the batch is bright too.

    Args:
        rivals: pairs of images that stand in each other's way.
    """

    def __init__(self, rivals=()):
        super().__init__()
        self.rivals, self.asked = rivals, 0

    def forward(self, x):
        self.asked += 1
        bright = x.flatten(1).mean(1) > 0.5
        wrong = bright.clone()
        for one, other in self.rivals:
            wrong[other] &= not bool(bright[one])
        return torch.stack([1 - wrong.float(), wrong.float()], dim=1) + 0 * x.flatten(1)[:, :2]


def game(rivals=()):
    net = Rivals(rivals)
    model = Model(name="rivals", net=net, classes=2, coupling=Coupling.JOINT)
    x = torch.full((COUNT, 1, 1, 2), 0.4)
    return net, Oracle(model, x, torch.zeros(COUNT, dtype=torch.int64), ThreatModel(eps=0.2))


def lit(*rows):
    x = torch.full((COUNT, 1, 1, 2), 0.4)
    x[list(rows)] = 0.6
    return x


def possible(net):
    """The most that any batch of bright and dark images breaks, over all of them."""
    return max(
        int((net(lit(*rows)).argmax(1) == 1).sum())
        for size in range(COUNT + 1)
        for rows in itertools.combinations(range(COUNT), size)
    )


@pytest.mark.parametrize("rivals", [(), ((0, 1), (2, 3), (4, 0))])
def test_the_most_that_is_possible_is_reached(rivals):
    net, oracle = game(rivals)
    worst = StrongestPoints(oracle)
    for rows in ((0, 2), (1, 3), (4, 5), (6, 7)):
        worst.replace(lit(*rows))
    assert oracle.best_points.most == 2
    worst.merge(passes=40)
    assert oracle.best_points.most == possible(Rivals(rivals))
    assert int((net(oracle.proposal(worst.points)).argmax(1) == 1).sum()) == oracle.best_points.most


def test_passes_are_bounded_and_booked_and_none_is_spent_in_vain():
    net, oracle = game()
    worst_points, promise = lit(*range(COUNT)), torch.ones(COUNT)
    oracle.outputs(lit(0))
    before = net.asked
    points = merge(oracle, worst_points, promise, passes=1)
    assert net.asked - before == 1
    assert torch.equal(points, worst_points)  # all at once breaks all
    merge(oracle, worst_points, promise, passes=10)
    assert net.asked - before == 1  # nothing stands any more
    assert set(oracle.ledger.forwards.tolist()) == {2}


def test_a_candidate_that_only_harms_is_left_out():
    net, oracle = game(((0, 1), (0, 2), (0, 3)))
    oracle.outputs(lit(1, 2, 3))
    points = merge(oracle, lit(0, 1, 2, 3), torch.tensor([1.0, 1, 1, 1, -1, -1, -1, -1]), passes=20)
    assert torch.equal(points, lit(1, 2, 3))
    assert oracle.best_points.most == 3
    assert net.asked == 2  # the first batch, and image 0 beside it


@pytest.mark.thorough
def test_a_merged_graph_batch_breaks_no_fewer_and_the_option_changes_no_key():
    model = wnll("joint")
    y = classify(model, X)
    plain = GraphAdaptive(steps=2, step_size=0.01, temperatures=())
    merging = GraphAdaptive(steps=2, step_size=0.01, temperatures=(), merge=20)
    one, _, _ = attacked(plain, model, X, y, eps=0.02)
    other, oracle, _ = attacked(merging, model, X, y, eps=0.02)
    counts = [int(broken(model, points, y).sum()) for points in (one, other)]
    assert 0 < counts[0] <= counts[1] == oracle.best_points.most
    assert oracle.threat.admits(X, other).all()
    assert "merge" not in identity_of(plain)
    assert identity_of(merging)["merge"] == 20
