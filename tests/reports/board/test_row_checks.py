"""Doubts about whole rows, counted by hand."""

import math
from fractions import Fraction

import pytest

from reports.board.leaderboard import boards
from tests.records import asking, changed
from tests.reports.board.test_leaderboard import B, M, R, record

TEN = {"classes": [str(c) for c in range(10)]}


def only(*records):
    (board,) = boards(records)
    (row,) = board.rows
    return row


def clean(right, n=120):
    return record("a", "", "clean", [R] * right + [M] * (n - right), gradient="", data=TEN)


def attack(n=120, gradients=40, label="pgd", **attack):
    one = record("a", "a", label, [B] * 5 + [R] * (n - 5), data=TEN)
    source = {"gradients": gradients}
    return changed(one, source=source, attack=attack)


def test_a_sound_row_has_none():
    row = only(clean(120), attack())
    assert (row.findings, row.unlifted, row.rank) == ((), (), 1)


def test_fewer_than_a_hundred_images_are_said_and_do_not_doubt_the_number():
    row = only(clean(99, n=99), attack(n=99))
    assert (row.findings, row.doubted, row.rank) == (("too-few-images",), False, None)


def test_chance_is_one_in_as_many_classes_as_there_are():
    zoo = {"training": "none", "architecture": "small_cnn"}
    assert given(12, **zoo).unlifted == ("low-clean",)
    assert given(13, **zoo).unlifted == ()


def test_a_board_of_one_step_attacks_and_controls_proves_nothing():
    fgsm = attack(gradients=1, label="fgsm")
    noise = attack(gradients=0, label="noise", control=True, needs="decision")
    row = only(clean(120), fgsm, noise)
    assert row.unlifted == ("weak-attacks-only",)
    assert row.rank is None
    assert only(clean(120), fgsm, noise, attack()).unlifted == ()
    square = attack(gradients=0, label="square", needs="score")
    assert only(clean(120), fgsm, asking(square, 100)).unlifted == ()
    assert only(clean(120), asking(square, 2)).unlifted == ("weak-attacks-only",)
    one_step = changed(attack(gradients=9, label="deepfool"), attack={"options": {"steps": 1}})
    assert only(clean(120), one_step).unlifted == ("weak-attacks-only",)


@pytest.mark.parametrize("count", [0, 1, 10])
def test_an_attack_of_a_file_that_hardly_asks_proves_nothing(count):
    for name in ("mine.py:lazy", "lazy of this program", "package:Lazy"):
        own = attack(gradients=0, label="lazy", name=name)
        assert only(clean(120), asking(own, count)).unlifted == ("weak-attacks-only",)
        assert only(clean(120), asking(own, 20)).unlifted == ()


def test_records_that_do_not_say_how_many_gradients_are_not_taken_for_one_step():
    old = record("a", "a", "fgsm", [R] * 120, data=TEN)
    assert only(clean(120), old).unlifted == ()


def of_file(right, n=120, classes=10, card=None, **details):
    """A model whose weights came from a file."""
    facts = {"training": "checkpoint", "head": "linear", **details}
    if card:
        facts["checkpoint_card"] = {"accuracy": card[0], "images": card[1]}
    target = {"details": facts}
    data = {"classes": [str(c) for c in range(classes)]}
    records = (
        record("a", "", "clean", [R] * right + [M] * (n - right), gradient="", data=data),
        record("a", "a", "pgd", [B] * 5 + [R] * (n - 5), data=data),
    )
    return [changed(one, target=target) for one in records]


def given(*args, **options):
    return only(*of_file(*args, **options))


def tail(right, n, classes):
    """How likely guessing gets so many right or more, summed up exactly."""
    ways = (math.comb(n, k) * (classes - 1) ** (n - k) for k in range(right, n + 1))
    return Fraction(sum(ways), classes**n)


def test_weights_from_a_file_must_do_better_than_luck():
    limit = next(k for k in range(121) if tail(k, 120, 10) < Fraction(5, 100))
    assert 13 < limit < 24
    row = given(limit - 1)
    assert row.unlifted == ("low-clean",)
    assert given(limit).unlifted == ()
    assert given(4, n=4, classes=2).unlifted == ()


def test_a_factory_that_brings_its_weights_must_do_better_than_luck_too():
    assert given(16, training="none", architecture="net.py:make").unlifted == ("low-clean",)
    assert given(16, training="none", architecture="small_cnn").unlifted == ()


@pytest.mark.parametrize("training", ["natural", "pgd_training", "mine.py:noisy", ""])
def test_a_network_that_was_trained_must_do_better_than_luck_wherever_it_was(training):
    (board,) = boards(of_file(16, training=training))
    (doubt,) = board.doubts
    assert (doubt.code, doubt.unlifted, board.rows[0].rank) == ("low-clean", True, None)
    assert "no more than luck gives, p 0." in doubt.evidence
    assert ("The training may have failed" in doubt.remedy) == bool(training)
    assert given(60, training=training).rank == 1
    assert given(60, card=(0.99, 1000), training="natural").unlifted == ()


def test_weights_from_a_file_are_held_against_their_card():
    assert given(116, card=(0.99, 1000)).unlifted == ()
    assert given(40, card=(0.99, 1000)).unlifted == ("low-clean",)
    assert given(80, card=(0.99, 1000)).unlifted == ("below-card",)
    assert given(80, card=(0.99, 8)).unlifted == ()
    assert given(80, card=(0.7, 1000)).unlifted == ()
    assert given(80, card=(0.99, 1000), head="wnll").unlifted == ()
    assert given(80, card=(0.99, 1000), inference=[{"name": "jpeg"}]).unlifted == ()


def test_the_remedy_names_the_normalisation_only_where_weights_came_from_elsewhere():
    own_records = of_file(12, training="natural")
    for records, is_named in (
        (of_file(12), True),
        (of_file(80, card=(0.99, 1000)), True),
        ([clean(12), attack()], True),
        (own_records, False),
    ):
        (board,) = boards(records)
        (doubt,) = board.doubts
        assert ("`normalize`" in doubt.remedy) == is_named


def test_weak_attacks_that_leave_nothing_are_no_doubt():
    fell = changed(record("a", "a", "fgsm", [B] * 120, data=TEN), source={"gradients": 1})
    assert only(clean(120), fell).unlifted == ()
    wrong = changed(record("a", "a", "pgd", [M] * 120, data=TEN), source={"gradients": 1})
    assert "weak-attacks-only" not in only(clean(0), wrong).unlifted


def test_a_class_map_is_told_and_doubts_nothing():
    records = [changed(one, target={"details": {"class_map": [4, 0, 7]}}) for one in (clean(120), attack())]
    row = only(*records)
    assert (row.findings, row.unlifted, row.rank) == (("class-map",), (), 1)
    (doubt,) = boards(records)[0].doubts
    assert doubt.evidence == "3 outputs count, and what any other wins is no error"


def test_the_likeliest_cause_is_named_first():
    def remedy(right, **details):
        (board,) = boards(of_file(right, **details))
        return next(doubt.remedy for doubt in board.doubts if doubt.code == "low-clean")

    assert remedy(10).startswith("Look first for a forgotten `normalize`")
    assert remedy(10).endswith("; then for labels off by one")
    assert remedy(0).startswith("Look first for labels off by one; then for a forgotten")
    assert remedy(10, training="none", architecture="net.py:make").startswith(
        "Look first for weights that were never"
    )
