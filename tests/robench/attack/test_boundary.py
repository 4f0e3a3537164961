"""The last step of attacks that minimise: on a linear model, the boundary itself."""

import pytest
import torch

from robench.attack.boundary import MARGIN, towards_the_clean_image
from robench.attack.norms import L2, LINF
from robench.attack.oracle import Oracle
from robench.attack.threat import Goal, ThreatModel
from tests.truths import classify, joint, linear, random_linear

W = torch.tensor([[1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, -1.0, -1.0]])
X = torch.tensor([0.6, 0.7, 0.9]).view(3, 1, 1, 1).expand(3, 1, 2, 2).clone()
Y = torch.zeros(3, dtype=torch.int64)


def asked(points, threat=None, y=Y, **options):
    """An oracle that has seen these points; the decision boundary is at a mean of 0.5."""
    model = linear(W, torch.tensor([-2.0, 2.0]))
    oracle = Oracle(model, X, y, threat or ThreatModel(norm=LINF, eps=float("inf")), minimise=True, **options)
    oracle.outputs(points)
    return oracle, oracle.proposal(points)


def test_points_end_at_the_boundary_with_a_margin():
    oracle, proposal = asked(torch.full_like(X, 0.2))
    assert oracle.ledger.claimed.all()
    passes = oracle.ledger.forwards.clone()
    points = towards_the_clean_image(oracle, proposal)
    distance = (X - 0.5).flatten(1).amax(1)  # to the boundary, closed form
    size = LINF.size(points - X)
    assert bool((size >= distance).all())
    assert bool((size <= distance + 0.001 * LINF.size(proposal - X) + 1e-3 * distance).all())
    assert bool((oracle.lead(torch.arange(3), points) >= MARGIN).all())
    assert (oracle.ledger.forwards - passes).tolist() == [12, 12, 12]  # 1 + 10, and the question above


def test_points_that_fell_back_are_moved_out():
    behind = X + 0.9995 * (0.5 - X)  # a hair inside the boundary
    oracle, _ = asked(torch.full_like(X, 0.2))
    points = towards_the_clean_image(oracle, behind)
    assert classify(oracle.model, behind).tolist() == [0, 0, 0]
    assert classify(oracle.model, points).tolist() == [1, 1, 1]
    assert float(LINF.size(points - behind).max()) < 0.01


def test_nothing_leaves_the_ball_or_the_box():
    threat = ThreatModel(norm=LINF, eps=0.1001)
    behind = X - 0.1
    oracle, _ = asked(X - 0.1001, threat)
    points = towards_the_clean_image(oracle, behind)
    assert threat.admits(X, points).all()


def test_black_pixels_stay_black_on_the_way_out_and_back():
    clean = torch.tensor([0.3, 0.3, 0.9, 0.9]).view(1, 1, 2, 2)
    model = linear(W, torch.tensor([-2.0, 2.0]) * 0.5)  # the boundary is at a sum of 1
    oracle = Oracle(model, clean, Y[:1], ThreatModel(norm=LINF, eps=float("inf")), minimise=True)
    oracle.outputs(torch.zeros_like(clean))
    oracle.proposal(torch.zeros_like(clean))  # adversarial, so that the image is claimed
    # A hair inside the boundary: it falls only beyond the full length, where black would be below black.
    behind = torch.tensor([0.0, 0.0, 0.5004, 0.5004]).view(1, 1, 2, 2)
    points = towards_the_clean_image(oracle, behind)
    assert classify(model, behind).tolist() == [0]
    assert classify(model, points).tolist() == [1]
    assert float(points.min()) == 0.0


@pytest.mark.parametrize("kind", ["joint", "together", "lent", "untracked", "budget", "unclaimed"])
def test_what_must_stay_stays(kind):
    points = torch.full_like(X, 0.2)
    if kind == "joint":
        model, images = (
            joint(random_linear()),
            torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)),
        )
        oracle = Oracle(model, images, classify(model, images), ThreatModel(norm=L2, eps=9.0), minimise=True)
        points = 1 - images
        oracle.outputs(points)
    elif kind == "budget":
        oracle, _ = asked(points, ThreatModel(norm=LINF, eps=1.0, budget=3))
    elif kind == "untracked":
        oracle, _ = asked(points, track=False)
    else:
        oracle, _ = asked(points if kind != "unclaimed" else X)
        oracle.points_belong_together, oracle.is_library_attack = kind == "together", kind == "lent"
    assert torch.equal(towards_the_clean_image(oracle, points), points)


def test_targets_are_kept():
    threat = ThreatModel(norm=LINF, eps=float("inf"), goal=Goal.TARGETED)
    oracle, proposal = asked(torch.full_like(X, 0.2), threat, y=torch.ones(3, dtype=torch.int64))
    points = towards_the_clean_image(oracle, proposal)
    assert classify(oracle.model, points).tolist() == [1, 1, 1]
    assert bool((LINF.size(points - X) < LINF.size(proposal - X)).all())


@pytest.mark.parametrize("option", ["confidence", "least_lead"])
def test_confident_points_are_not_drawn_in(option):
    oracle, proposal = asked(torch.full_like(X, 0.2), **{option: 0.5})
    assert torch.equal(towards_the_clean_image(oracle, proposal), proposal)
