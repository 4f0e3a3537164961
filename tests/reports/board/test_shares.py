"""A random model's shares are means over draws in every report, with the attacked draw beside them."""

import binascii
import csv
import dataclasses
import io
import json

import numpy as np
import pytest

from benchmarks.free_attacks import Shape
from benchmarks.free_attacks import record as free_record
from reports.board.grouping import split_into_boards
from reports.board.leaderboard import boards
from reports.board.shares import Batches, Share, right, robust, stands, worst
from reports.html.page import HTML
from reports.text.board_tables import leaderboard_table
from reports.text.csv import CSV, board_facts, csv_text, leaderboard_lines, measurement_lines
from reports.text.json import JSON
from reports.text.latex import LaTeX
from reports.text.markdown import Markdown
from robench.record.columns.packed_columns import packed_columns, unpacked_columns
from robench.record.comparison.run_comparison import differences
from robench.record.measures.draws import mean_stood
from robench.record.status import STATUSES
from tests.reports.board.test_leaderboard import record

R, B, M = "robust", "broken", "misclassified"


def drawn(original, *draws):
    return dataclasses.replace(original, columns=dataclasses.replace(original.columns, stood=list(draws)))


CLEAN = drawn(record("a", "", "clean", [R, R, M], gradient=""), "1111", "1111", "0001")
PGD = drawn(record("a", "a", "pgd", [B, R, M]), "1110", "1111", "0011")
CW = drawn(record("a", "a", "cw", [B, B, M]), "1011", "0000", "1111")
SURE = [record("b", "", "clean", [R, R, R], gradient=""), record("b", "b", "pgd", [R, B, R])]
RECORDS = [CLEAN, PGD, CW]


def test_a_row_is_the_mean_over_draws():
    (row,) = boards(RECORDS)[0].rows
    assert row.draws == 4
    assert row.clean.value == pytest.approx((4 + 4 + 1) / 12)
    # Image 2 stood under attack more often than before: it is left alone.
    assert row.attacks["cw"].value == pytest.approx((3 + 0 + 1) / 12)
    assert (row.one_draw.count, row.one_draw.n) == (0, 3)
    (clean, mean) = row.clean, mean_stood(CLEAN.columns.stood)
    assert (clean.low, clean.high) == (mean.low, mean.high)


def test_beside_models_that_are_not_random_nothing_changes():
    (board,) = boards(SURE)
    assert not board.random
    assert "One draw" not in " ".join(leaderboard_table(board)[0])
    assert "draws" not in leaderboard_lines(board_facts(split_into_boards(SURE)))[0]
    assert "fresh" not in Markdown().render(SURE)


def test_the_attacked_draw_stands_beside_it_in_every_report():
    board = boards([*RECORDS, *SURE])[0]
    header, rows = leaderboard_table(board)
    at = header.index("One draw (attacked)")
    assert {row[1]: row[at] for row in rows} == {"a": "0.0", "b": "-"}
    for text in (Markdown(), HTML(), LaTeX()):
        assert "One draw (attacked)" in text.render(RECORDS)
    lines = {line["model"]: line for line in csv.DictReader(io.StringIO(CSV().render([*RECORDS, *SURE])))}
    assert (lines["a"]["draws"], lines["a"]["one_draw"]) == ("4", "0.0")
    assert (lines["b"]["draws"], lines["b"]["one_draw"]) == ("", "")
    cells = list(
        csv.DictReader(io.StringIO(csv_text(*measurement_lines(board_facts(split_into_boards(RECORDS))))))
    )
    assert {cell["attack"]: float(cell["one_draw"]) for cell in cells} == {"pgd": 1 / 3, "cw": 0.0}
    (plain,) = json.loads(JSON().render(RECORDS))["boards"]
    assert plain["rows"][0]["worst_case"]["draws"] == 4
    assert plain["rows"][0]["one_draw"]["count"] == 0


def test_a_record_without_draws_beside_others_makes_a_row_partial():
    (row,) = boards([CLEAN, PGD, record("a", "a", "cw", [B, B, M])])[0].rows
    assert row.partial


def test_ranks_compare_means_over_draws():
    def model(name, *draws):
        # In the draw that was attacked all three are alike.
        return [
            drawn(record(name, source, label, [R] * 120, fingerprint=name), *draws)
            for source, label in (("", "clean"), (name, "pgd"))
        ]

    good, alike = ["1111111110"] * 120, ["1111111110"] * 110 + ["1111111111"] * 3 + ["1111111100"] * 7
    worse = ["1111100000"] * 120
    rows = boards([*model("good", *good), *model("alike", *alike), *model("worse", *worse)])[0].rows
    assert {row.model: row.rank for row in rows} == {"good": 1, "alike": 1, "worse": 3}
    assert rows[2].one_draw.value == 1.0


def test_two_runs_are_compared_by_means_over_draws():
    (clean, *_, worst) = differences(RECORDS, RECORDS)
    assert (clean.gap, worst.gap) == (0.0, 0.0)
    better = [CLEAN, drawn(PGD, "1111", "1111", "1111"), drawn(CW, "1111", "1111", "1111")]
    changes = {d.column: d for d in differences(RECORDS, better)}
    assert changes["cw"].gap == pytest.approx((4 + 4 + 1) / 12 - (3 + 0 + 1) / 12)
    assert (changes["cw"].only_first, changes["cw"].only_second) == (0, 2)
    assert changes["cw"].p_value == 0.5  # two of two differences to one side
    low, high = changes["cw"].interval
    assert low <= changes["cw"].gap <= high


def test_a_tie_has_a_name():
    assert CLEAN.dataset.class_name(-2) == "no answer"


def packed(chance, n):
    return binascii.b2a_base64(chance.integers(1, 3, n).astype(np.uint8).tobytes(), newline=False).decode()


def test_all_records_of_a_shard_together_are_judged_as_one_by_one():
    # The smallest number of several statuses is that of `robust` only where all are.
    assert STATUSES.index("robust") == len(STATUSES) - 1
    chance = np.random.default_rng(0)
    shape = Shape(models=2, attacks=3, shards=2, images=30, transfer=True)
    records = [
        one.noting(
            columns=unpacked_columns(packed_columns(one.columns) | {"clean": {"u1": packed(chance, 30)}})
        )
        for one in (free_record(shape, shard, index) for shard in range(2) for index in range(2, 8))
    ]
    for verdict in (robust, stands, right):
        images, together = worst(records, verdict)
        assert images.tolist() == list(range(60))
        for image, verdicts in zip(images.tolist(), together.tolist(), strict=True):
            own = [one for one in records if image in one.columns.index]
            assert verdicts == all(verdict(one)[one.columns.index.index(image)] for one in own)


def test_the_rest_of_a_joint_share_keeps_the_interval_over_batches():
    share = Share(50, 100, Batches(5, 0.2, 0.8))
    assert (share.low, share.high) == (0.2, 0.8)
    rest = Share(60, 100, Batches(5, 0.3, 0.9)).rest
    assert (rest.count, rest.batches) == (40, Batches(5, pytest.approx(0.1), pytest.approx(0.7)))
    assert (rest.low, rest.high) == (pytest.approx(0.1), pytest.approx(0.7))
