"""The memory of an attack, point by point."""

import torch

from robench.attack.best_points import BestPoints, FooledSources
from robench.attack.ledger import ALL, Ledger
from robench.attack.norms import LINF
from robench.attack.threat import ThreatModel

X = torch.full((3, 1, 1, 2), 0.5)


def memory(**options):
    return BestPoints(
        X, ThreatModel(norm=LINF, eps=0.3), **{"minimise": False, "joint": False, "track": True, **options}
    )


def at(*distances):
    """Points at these distances from the clean images."""
    return X + torch.tensor(distances).view(3, 1, 1, 1)


def reached(*which):
    return torch.tensor(which, dtype=torch.bool)


def test_the_first_admissible_point_is_kept():
    best = memory()
    assert best.meet(ALL, at(0.1, 0.4, 0.2), reached(1, 1, 0), None).tolist() == [0]
    assert best.meet(torch.tensor([2, 0]), at(0.2, 0.05, 0)[:2], reached(1, 1), None).tolist() == [2]
    assert best.broken.tolist() == [True, False, True]
    assert torch.equal(best.points, at(0.1, 0.0, 0.2))
    assert best.last_success.tolist() == [True, False, True]


def test_the_smallest_is_kept_where_the_attack_minimises_and_a_confident_one_goes_before_it():
    best = memory(minimise=True)
    for distances in ((0.2, 0.1, 0.3), (0.1, 0.2, 0.25)):
        best.meet(ALL, at(*distances), reached(1, 1, 1), None)
    assert torch.allclose(best.size, torch.tensor([0.1, 0.1, 0.25]))
    sure = memory(minimise=True)
    for distances, confident in (
        ((0.2, 0.1, 0.3), (1, 0, 0)),
        ((0.1, 0.2, 0.2), (0, 1, 0)),
        ((0.15, 0.1, 0.1), (1, 1, 0)),
    ):
        sure.meet(ALL, at(*distances), reached(1, 1, 1), reached(*confident))
    assert torch.allclose(sure.size, torch.tensor([0.15, 0.1, 0.1]))


def test_of_a_joint_batch_the_one_that_breaks_most_is_kept_whole():
    best = memory(joint=True)
    best.meet(ALL, at(0.1, 0.1, 0.1), reached(1, 0, 0), None)
    best.meet(ALL, at(0.2, 0.2, 0.2), reached(0, 1, 1), None)
    best.meet(ALL, at(0.05, 0.05, 0.05), reached(1, 1, 0), None)  # no more than before
    assert torch.equal(best.points, at(0.2, 0.2, 0.2))
    assert (best.most, best.kept_success.tolist()) == (2, [False, True, True])
    ledger = Ledger.empty(3)
    assert torch.equal(best.joint_proposal(at(0, 0, 0), ledger, is_library_attack=False), at(0.2, 0.2, 0.2))
    assert ledger.claimed.tolist() == [False, True, True]
    smaller = memory(joint=True, minimise=True)
    for distance in (0.2, 0.1, 0.15):
        smaller.meet(ALL, at(distance, distance, distance), reached(1, 1, 0), None)
    assert torch.equal(smaller.points, at(0.1, 0.1, 0.1))


def test_the_last_point_is_proposed_where_it_is_known_to_succeed_or_nothing_else_does():
    best = memory()
    best.meet(ALL, at(0.1, 0.1, 0.1), reached(1, 1, 0), None)
    last, successes = at(0.2, 0.2, 0.2), reached(1, 1, 0)
    best.meet(ALL, last, reached(1, 0, 0), None)
    for is_lent in (False, True):
        ledger = Ledger.empty(3)
        assert torch.equal(
            best.proposal(last, successes, ledger, is_library_attack=is_lent), at(0.2, 0.1, 0.2)
        )
        assert ledger.claimed.tolist() == [True, True, False]
        assert ledger.silent.tolist() == [False, is_lent, False]
    assert torch.equal(
        best.proposal(last, reached(0, 1, 0), Ledger.empty(3), is_library_attack=False), at(0.1, 0.1, 0.2)
    )


def test_without_watching_no_copy_is_made():
    assert memory(track=False).points is X
    assert memory().points is not X


def test_one_source_that_is_not_fooled_makes_the_image_properly_attacked():
    sources = FooledSources(memory())
    assert not sources.deceived.any()
    sources.compare("linear", ALL, at(0.1, 0.1, 0.1), reached(True, True, False))
    sources.compare("exact", torch.tensor([0]), X[:1], None)
    assert sources.deceived.tolist() == [False, True, False]


def test_a_source_fooled_beside_the_model_or_beyond_the_ball_deceives_nobody():
    best = memory()
    sources = FooledSources(best)
    best.meet(ALL, at(0.1, 0.1, 0.4), reached(False, True, False), None)
    sources.compare("linear", ALL, at(0.1, 0.1, 0.4), reached(True, True, True))
    assert sources.deceived.tolist() == [True, False, False]
