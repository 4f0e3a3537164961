"""Columns of CSV have names of their own, whatever labels users choose."""

import csv
import io

from reports.text.csv import CSV
from reports.text.share_columns import share_columns
from tests.reports.board.test_leaderboard import B, R, record


def test_three_names_for_each_label_in_its_order():
    assert share_columns("attack", ["pgd", "cw"]) == [
        "attack: pgd", "attack: pgd low", "attack: pgd high",
        "attack: cw", "attack: cw low", "attack: cw high",
    ]  # fmt: skip


def test_a_label_that_ends_as_a_column_does_stands_in_quotes():
    labels = ["pgd low", "pgd", "pgd low low", '"pgd low"', "cw high"]
    names = share_columns("attack", labels)
    assert len(set(names)) == len(names) == 15
    assert names[:4] == [
        'attack: "pgd low"',
        'attack: "pgd low" low',
        'attack: "pgd low" high',
        "attack: pgd",
    ]
    assert names[-3] == "attack: cw high"


def test_each_attack_keeps_its_number():
    records = [
        record("m", "", "clean", [R] * 4, gradient=""),
        record("m", "m", "pgd", [R, R, R, B]),
        record("m", "m", "pgd low", [R, B, B, B]),
    ]
    (line,) = csv.DictReader(io.StringIO(CSV().render(records)))
    assert (line["attack: pgd"], line['attack: "pgd low"']) == ("0.75", "0.25")
    assert 0 < float(line["attack: pgd low"]) < 0.75
