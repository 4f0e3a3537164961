"""How a loss rose, by hand; and attacks that settle or do not, by their steps."""

import math

import pytest
import torch

from attacks.ensemble.autoattack import AutoAttack
from attacks.gradient.apgd import APGD
from attacks.gradient.fgsm import FGSM
from attacks.gradient.pgd import PGD
from robench.attack.ledger import Ledger
from robench.attack.loss_progress import note_ascent, rises
from robench.attack.oracle import Oracle
from robench.attack.threat import ThreatModel
from robench.model.interface import GradientSource, Model, OutputKind
from tests.robench.judge import gallery
from tests.truths import attacked

X, Y = gallery.data().batch(slice(None))
MODEL = Model(name="sound", net=gallery.sound(), classes=4)
NO = -math.inf


def columns(*rows):
    """Turn each image's losses into the losses of each step."""
    return [torch.tensor(step) for step in zip(*rows, strict=True)]


def test_the_last_quarter_of_a_short_ascent_by_hand():
    # Four moves: one is the last quarter. 3 of 4 came before it; a loss that falls gains nothing late.
    rise, late, start = rises(columns([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 5.0, 4.0, 3.0, 4.0]))
    assert rise.tolist() == [4.0, 4.0]
    assert late.tolist() == [1.0, 0.0]
    assert start.tolist() == [1.0, 1.0]


def test_a_long_ascent_is_looked_at_over_its_last_ten_steps():
    # 100 moves of one each: ten of them are late.
    rise, late, _ = rises([torch.tensor([float(step)]) for step in range(101)])
    assert (rise.item(), late.item()) == (100.0, 10.0)


def test_an_image_ends_where_it_is_left_out_and_begins_where_it_is_taken_up():
    rise, late, start = rises(
        columns([1.0, 2.0, 4.0, NO, NO], [NO, NO, 1.0, 2.0, 4.0], [NO] * 5, [3.0, NO, NO, NO, NO])
    )
    assert rise.tolist() == [3.0, 3.0, 0.0, 0.0]
    assert late.tolist() == [2.0, 2.0, 0.0, 0.0]  # two moves: one is the last quarter, rounded up
    assert start.tolist() == [1.0, 1.0, 0.0, 3.0]


def test_of_several_ascents_the_one_that_settled_best_counts():
    ledger = Ledger.empty(2)
    for losses in (columns([0.0, 1.0], [0.0, 4.0]), columns([0.0, 2.0, 2.0], [1.0, 1.0, 1.0])):
        note_ascent(ledger, losses)
    assert (ledger.rise.tolist(), ledger.late_rise.tolist()) == ([2.0, 4.0], [0.0, 4.0])


def test_what_is_asked_outside_of_an_ascent_is_not_followed():
    oracle = Oracle(MODEL, X[:1], Y[:1], ThreatModel(eps=0.1))
    oracle.follow_ascent(torch.tensor([1.0]))
    with oracle.ascent():
        oracle.follow_ascent(torch.tensor([2.0]))
    oracle.follow_ascent(torch.tensor([3.0]))
    assert oracle.ledger.rise.item() == 0


def share(attack, **options):
    _, oracle, _ = attacked(attack, MODEL, X, Y, eps=0.05, **options)
    has_rise = oracle.ledger.rise > 0
    return (
        None if not has_rise.any() else float((oracle.ledger.late_rise / oracle.ledger.rise)[has_rise].mean())
    )


@pytest.mark.thorough
def test_two_steps_have_not_converged_and_a_hundred_have():
    assert share(PGD(steps=2)) == 1.0
    assert share(PGD(steps=100)) < 0.05
    assert share(APGD(steps=50)) < 0.05


def test_one_step_is_no_ascent():
    assert share(FGSM()) is None


@pytest.mark.thorough
def test_restarts_and_cascades_are_judged_ascent_by_ascent():
    # Read as one ascent, the second try would begin far below the end of the first and gain nothing late.
    assert share(PGD(steps=2, restarts=3)) == 1.0
    assert share(AutoAttack(attacks=("apgd-ce", "apgd-t"))) < 0.05


def test_chunks_tell_the_same():
    assert share(PGD(steps=10), batch_size=50) == pytest.approx(share(PGD(steps=10)), rel=1e-3)


def test_a_surrogate_that_falls_where_the_model_stands_is_noted():
    own = torch.nn.Sequential(gallery.Through(MODEL.net, lambda z: z, lambda x: (x > 0.5).to(x.dtype)))
    source = GradientSource("surrogate", lambda x: (MODEL.net(x), own(x)), OutputKind.LOGITS, forwards=2)
    model = Model(name="m", net=own, classes=4, sources={"surrogate": source})
    _, oracle, _ = attacked(PGD(steps=20), model, X, Y, eps=0.15)
    assert oracle.ledger.deceived.any()
    assert not (oracle.ledger.deceived & oracle.broken).any()
    _, honest, _ = attacked(PGD(steps=20), MODEL, X, Y, eps=0.15)
    assert not honest.ledger.deceived.any()
