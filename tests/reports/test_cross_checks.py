"""Doubts from results side by side, counted by hand."""

import pytest

from reports.leaderboard import boards
from tests.reports.test_leaderboard import B, R, record


def board(*records):
    (only,) = boards(records)
    return only


def row(found, name):
    return next(r for r in found.rows if r.model == name)


def codes(found, name):
    return {d.code for d in found.doubts if d.model == name}


def clean(n=120):
    return [record(name, "", "clean", [R] * n, gradient="") for name in ("a", "b")]


def attacked(target, source, broken, n=120, **options):
    return record(target, source, "pgd", [B] * broken + [R] * (n - broken), **options)


def test_a_model_that_falls_to_another_ones_images_but_not_to_its_own_is_doubted():
    found = board(*clean(), attacked("a", "a", 5), attacked("a", "b", 30), attacked("b", "b", 60))
    assert codes(found, "a") == {"black-box-stronger"}
    assert row(found, "a").doubted
    assert row(found, "a").rank is None
    assert "black-box-stronger" in row(found, "a").findings
    assert "25 more" in next(d for d in found.doubts).evidence
    assert row(found, "b").rank == 1


def test_a_few_images_more_are_chance():
    # 5 discordant pairs, all one way: p = 2 / 2^5 = 0.0625; 6 give 0.03125.
    five = board(*clean(), attacked("a", "a", 5), attacked("a", "b", 10), attacked("b", "b", 60))
    assert codes(five, "a") == set()
    six = board(*clean(), attacked("a", "a", 5), attacked("a", "b", 11), attacked("b", "b", 60))
    assert codes(six, "a") == {"black-box-stronger"}


def test_several_sources_are_not_added_up():
    rows = [[B] * 5 + [R] * 115, [R] * 5 + [B] * 5 + [R] * 110]
    found = board(
        *clean(),
        attacked("a", "a", 0),
        record("a", "b", "pgd", rows[0]),
        record("a", "c", "pgd", rows[1]),
        attacked("b", "b", 0),
    )
    assert codes(found, "a") == set()


@pytest.mark.parametrize(("fewer", "more", "expected"), [(30, 10, {"more-steps-weaker"}), (10, 30, set())])
def test_more_steps_must_not_break_fewer(fewer, more, expected):
    found = board(
        *clean(),
        attacked("a", "a", fewer, options={"steps": 10, "loss": "margin"}),
        attacked("a", "a", more, options={"steps": 40, "loss": "margin"}),
        attacked("b", "b", 1),
    )
    assert codes(found, "a") == expected


def test_other_options_or_sources_are_other_attacks():
    found = board(
        *clean(),
        attacked("a", "a", 30, options={"steps": 10, "loss": "margin"}),
        attacked("a", "a", 10, options={"steps": 40, "loss": "cross_entropy"}),
        attacked("a", "a", 10, options={"steps": 40, "loss": "margin"}, gradient="other"),
        attacked("b", "b", 1),
    )
    assert codes(found, "a") == set()


def test_without_a_radius_nothing_is_said():
    found = board(
        *clean(),
        attacked("a", "a", 5, eps="inf", norm="L2"),
        attacked("a", "b", 60, eps="inf", norm="L2"),
        attacked("b", "b", 60, eps="inf", norm="L2"),
    )
    assert codes(found, "a") == set()
