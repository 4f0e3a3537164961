"""A finding that cannot move a row by more than its interval is lifted; one that can is not."""

import dataclasses
import math

import pytest
import torch

from reports.board.leaderboard import boards
from reports.board.lifted_findings import _to_come, _told, lifted_codes
from robench.api import benchmark, make_attack
from robench.attack.ledger import Ledger
from robench.judge.attack_findings import ledger_findings
from robench.judge.verdict import Status
from robench.model.interface import Model
from robench.record.schema import Finding
from tests.records import changed
from tests.reports.board.test_leaderboard import B, R, record
from tests.robench.judge import gallery

N = 200


def unsettled(open_ended, share):
    evidence = (
        f"the loss of {open_ended} of {N} images that survived was still rising: "
        f"the last steps brought {share}% of its rise"
    )
    return Finding(code="not-converged", evidence=evidence, remedy="More steps")


def ran(label, breaks, *, steps, finding=None, late=0, tries=1, codes=(), **more):
    """Return the record of an ascent that broke the first images, of them `late` over its last steps."""
    status, options = [B] * breaks + [R] * (N - breaks), {"steps": steps, "restarts": tries}
    one = record("a", "a", label, status, findings=codes, passes=(steps * tries,) * 2, options=options)
    columns = dataclasses.replace(
        one.columns,
        points=[steps * tries] * N,
        tries=[tries] * N,
        first_success=[steps if i < late else 2 if i < breaks else 0 for i in range(N)],
    )
    return changed(
        one,
        columns=columns,
        findings=(*one.findings, *([finding] if finding else [])),
        attack={"name": "pgd", **more},
        source={"gradients": steps * tries},
    )


def standing(*records):
    (row,) = boards([record("a", "", "clean", [R] * N, gradient=""), *records])[0].rows
    return row.unlifted, row.rank


SHORT = ran("pgd20", 60, steps=20, finding=unsettled(120, 24), late=20)
DOUBTED, RANKED = (("not-converged",), None), ((), 1)
# 140 of 200 stand: Wilson's interval is 126.7 to 151.9 images, so half of it is 12.6.


def test_alone_it_stands():
    assert standing(SHORT) == DOUBTED


@pytest.mark.parametrize(
    "other",
    [
        ran("pgd100", 63, steps=100, finding=unsettled(90, 6), late=30),
        ran("restarts", 62, steps=20, tries=10, finding=unsettled(120, 16), late=30),
        ran("cascade", 70, steps=300, finding=unsettled(90, 2), late=70, name="autoattack"),
        ran("apgd", 61, steps=20, name="apgd"),  # it converged
    ],
)
def test_a_stronger_attack_that_agrees_lifts_it(other):
    assert standing(SHORT, other) == RANKED


@pytest.mark.parametrize(
    "other",
    [
        ran("pgd100", 90, steps=100, finding=unsettled(90, 6), late=30),  # 30 more fall
        ran("pgd30", 60, steps=30, finding=unsettled(120, 20), late=30),  # hardly more effort
        ran("pgd100", 63, steps=100, finding=unsettled(130, 10), late=30),  # a straight climb: short steps
        ran("pgd100", 63, steps=100, finding=unsettled(90, 6), codes=("zero-gradient",), late=30),
    ],
)
def test_one_that_does_not_agree_or_is_as_weak_does_not(other):
    assert "not-converged" in standing(SHORT, other)[0]


def test_two_that_are_short_prove_nothing_by_agreeing():
    two = ran("pgd2", 10, steps=2, finding=unsettled(190, 100), late=5)
    four = ran("pgd4", 11, steps=4, finding=unsettled(189, 20), late=5)
    assert standing(two, four) == DOUBTED


def test_an_attack_with_another_failure_does_not_lift_what_it_was_free_of():
    stuck = ran("other", 60, steps=200, codes=("zero-gradient",), name="other")
    assert standing(SHORT, stuck) == (("not-converged", "zero-gradient"), None)


def test_few_open_ended_survivors_cannot_matter():
    assert standing(ran("pgd20", 60, steps=20, tries=2, finding=unsettled(12, 24), late=60)) == RANKED
    assert standing(ran("pgd20", 60, steps=20, tries=2, finding=unsettled(13, 24), late=60)) == DOUBTED


def test_one_ascent_that_levels_off_is_extrapolated():
    # 20 points: 19 / 5 stretches of 5. A late share of 11 % means that each brings 0.59 of the one before.
    ratio = 0.59
    share = ratio**2.8 * (1 - ratio) / (1 - ratio**3.8)
    assert share == pytest.approx(0.11, abs=0.005)
    assert _to_come(share, 20) == pytest.approx(ratio / (1 - ratio), abs=1e-6)
    assert math.isinf(_to_come(0.27, 20))
    # Half of the interval is 12.6 images: 7 late ones and one let 8 times 1.5 expect, 8 of them 13.6.
    assert standing(ran("pgd20", 60, steps=20, finding=unsettled(120, 11), late=7)) == RANKED
    assert standing(ran("pgd20", 60, steps=20, finding=unsettled(120, 11), late=8)) == DOUBTED
    # A straight climb, one that hardly bends, and one so short that its course says nothing.
    assert standing(ran("pgd20", 60, steps=20, finding=unsettled(120, 21), late=0)) == DOUBTED
    assert standing(ran("pgd20", 60, steps=20, finding=unsettled(120, 27), late=0)) == DOUBTED
    assert standing(ran("pgd8", 60, steps=8, finding=unsettled(120, 11), late=0)) == DOUBTED


def test_what_fell_at_the_last_point_is_late():
    one = ran("pgd20", 60, steps=20, finding=unsettled(120, 11))
    assert standing(one) == RANKED
    columns = dataclasses.replace(
        one.columns, first_success=[0] * N
    )  # broken, but by a point not asked about
    assert standing(dataclasses.replace(one, columns=columns)) == DOUBTED


@pytest.mark.parametrize("survivors", [1, 2, 40])
def test_what_the_judge_writes_is_read_back(survivors):
    ledger = dataclasses.replace(
        Ledger.empty(survivors), rise=torch.ones(survivors), late_rise=torch.full((survivors,), 0.31)
    )
    (finding,) = (
        f for f in ledger_findings(ledger, [Status.ROBUST] * survivors, ()) if f.code == "not-converged"
    )
    assert _told(ran("pgd20", 60, steps=20, finding=finding)) == (survivors, 0.31)


def test_a_stronger_attack_whose_share_is_not_known_lifts_nothing():
    other = Finding(code="not-converged", evidence="words of another version", remedy="More steps")
    strong = ran("pgd100", 60, steps=100, finding=other)
    assert standing(SHORT, strong) == DOUBTED
    assert standing(SHORT, ran("pgd100", 60, steps=100)) == RANKED


def test_records_of_earlier_versions_are_not_extrapolated():
    one = ran("pgd20", 60, steps=20, finding=unsettled(120, 11))
    bare = dataclasses.replace(one.columns, points=[0] * N, tries=[0] * N)
    assert standing(dataclasses.replace(one, columns=bare)) == DOUBTED


def test_an_attack_that_met_half_of_the_images_weighs_nothing():
    half = [record("a", "a", "apgd", [B] * 30 + [R] * 70, start=0)]
    assert lifted_codes([SHORT, *half]) == set()


UNREACHABLE = record("a", "", "clean", [R] * N, gradient="", findings=("unreachable",))


def blind(breaks, needs="score", **more):
    one = record("a", "a", f"square{breaks}", [B] * breaks + [R] * (N - breaks), gradient="")
    return changed(one, attack={"needs": needs, **more})


@pytest.mark.parametrize(
    ("records", "lifted"),
    [
        ([ran("pgd", 60, steps=40)], set()),
        ([ran("pgd", 60, steps=40), blind(58)], {"unreachable"}),
        ([ran("pgd", 60, steps=40), blind(30, needs="label")], {"unreachable"}),
        ([ran("pgd", 60, steps=40), blind(0)], set()),  # it reached nothing either
        ([ran("pgd", 60, steps=40), blind(80)], set()),  # beyond chance: the gradients do mislead
        ([ran("pgd", 60, steps=40), blind(58, control=True)], set()),
        ([blind(58)], set()),  # nothing was attacked through gradients that could be compared
    ],
)
def test_attacks_without_gradients_that_reach_as_much_lift_unreachable(records, lifted):
    assert lifted_codes([UNREACHABLE, *records]) & {"unreachable"} == lifted
    (row,) = boards([UNREACHABLE, *records])[0].rows
    assert ("unreachable" in row.unlifted) == (not lifted)


def row_of(attacks, eps=0.25):
    model = Model(name="logits", net=gallery.sound(), classes=4)
    result = benchmark([model], gallery.data(), attacks=attacks, norm="Linf", eps=eps)
    return boards(result.records)[0].rows[0]


@pytest.mark.thorough
def test_a_sound_model_is_ranked_where_more_effort_changes_nothing():
    short = make_attack("pgd", steps=10, step_size=0.02)  # falls short of the sphere
    (alone, both) = row_of({"short": short}), row_of({"short": short, "long": make_attack("pgd", steps=100)})
    assert alone.unlifted == ("not-converged",)
    assert both.rank == 1


@pytest.mark.thorough
def test_two_steps_on_a_model_that_falls_to_more_have_no_rank():
    row = row_of({"pgd": make_attack("pgd", steps=2, step_size=0.01)})
    assert (row.unlifted, row.rank) == (("not-converged",), None)
    long = row_of({"pgd": make_attack("pgd", steps=100)})
    assert row.worst_case.count > long.worst_case.count + 10
