"""Doubts about whole rows, counted by hand."""

import dataclasses

from reports.leaderboard import boards
from tests.reports.test_leaderboard import B, M, R, record

TEN = {"classes": [str(c) for c in range(10)]}


def only(*records):
    (board,) = boards(records)
    (row,) = board.rows
    return row


def clean(right, n=120):
    return record("a", "", "clean", [R] * right + [M] * (n - right), gradient="", data=TEN)


def attack(n=120, gradients=40, label="pgd", **attack):
    one = record("a", "a", label, [B] * 5 + [R] * (n - 5), data=TEN)
    source = {**one.source, "gradients": gradients}
    return dataclasses.replace(one, source=source, attack={**one.attack, **attack})


def test_a_sound_row_has_none():
    row = only(clean(120), attack())
    assert (row.findings, row.standing, row.rank) == ((), (), 1)


def test_fewer_than_a_hundred_images_are_said_and_do_not_doubt_the_number():
    row = only(clean(99, n=99), attack(n=99))
    assert (row.findings, row.doubted, row.rank) == (("too-few-images",), False, None)


def test_chance_is_one_in_as_many_classes_as_there_are():
    assert only(clean(12), attack()).standing == ("low-clean",)
    assert only(clean(13), attack()).standing == ()


def test_a_board_of_one_step_attacks_and_controls_proves_nothing():
    fgsm = attack(gradients=1, label="fgsm")
    noise = attack(gradients=0, label="noise", control=True, needs="decision")
    row = only(clean(120), fgsm, noise)
    assert row.standing == ("weak-attacks-only",)
    assert row.rank is None
    assert only(clean(120), fgsm, noise, attack()).standing == ()
    assert only(clean(120), fgsm, attack(gradients=0, label="square", needs="score")).standing == ()


def test_records_that_do_not_say_how_many_gradients_are_not_taken_for_one_step():
    old = record("a", "a", "fgsm", [R] * 120, data=TEN)
    assert only(clean(120), old).standing == ()
