"""Curves of boards: grouped by hand, in the order of the boards, ending at the numbers of the tables."""

import csv
import dataclasses
import math

import pytest

from reports.board.curves import IN_TURN, board_curves, families
from reports.board.grouping import split_into_boards
from reports.board.leaderboard import boards
from reports.text.csv import CSV
from reports.text.curves_csv import COLUMNS, MOST_PLACES, curve_lines
from tests.records import changed
from tests.reports.board.test_leaderboard import TEN, B, M, R, record


def noted(one, *, points, first, tries=None, first_try=None):
    """The same record with what its attack tried, two passes a point."""
    n = len(one.columns.index)
    columns = dataclasses.replace(
        one.columns, points=[points] * n, first_success=first, first_passes=[2 * f for f in first],
        forwards=[float(points)] * n, backwards=[float(points)] * n, tries=tries or [1] * n,
        first_try=first_try or [int(f > 0) for f in first],
    )  # fmt: skip
    return dataclasses.replace(one, columns=columns)


RECORDS = [
    record("a", "", "clean", [R, R, R, R, M], gradient=""),
    record("b", "", "clean", [R] * 5, gradient=""),
    noted(record("a", "a", "pgd", [B, B, R, R, M]), points=9, first=[2, 5, 0, 0, 1],
          tries=[3] * 5, first_try=[1, 2, 0, 0, 1]),
    noted(record("a", "a", "pgd", [B, R, R, R, M], gradient="linear"), points=4, first=[3, 0, 0, 0, 1]),
    noted(record("a", "a", "fgsm", [R, R, B, R, M]), points=1, first=[0, 0, 0, 0, 1]),
    noted(record("b", "b", "pgd", [R] * 5), points=9, first=[0] * 5),
    noted(record("b", "b", "fgsm", [R, B, R, R, R]), points=1, first=[0] * 5),
    noted(record("b", "a", "pgd", [B] * 5), points=9, first=[1] * 5),  # transferred: its times are those on a
]  # fmt: skip


@pytest.fixture(scope="module")
def curves():
    (board,), (samples,) = boards(RECORDS), split_into_boards(RECORDS)
    return board_curves(board, samples)


def drawn(panels):
    return {(p.attack, line.model): (line.curve.x, line.curve.robust) for p in panels for line in p.lines}


def test_a_panel_per_attack_worst_over_gradient_sources_white_box_only(curves):
    assert drawn(curves.points) == {
        ("pgd", "a"): ((0.0, 2.0, 5.0), (4, 3, 2)),
        ("pgd", "b"): ((0.0,), (5,)),
        ("fgsm", "a"): ((0.0, 2.0), (4, 3)),  # the last point was not asked about
        ("fgsm", "b"): ((0.0, 2.0), (5, 4)),
    }
    assert drawn(curves.tries) == {("pgd", "a"): ((0.0, 1.0, 2.0), (4, 3, 2)), ("pgd", "b"): ((0.0,), (5,))}
    order = [row.model for row in curves.board.rows]
    assert all([line.model for line in panel.lines] == order for panel in curves.points)


def test_passes_come_one_after_another(curves):
    points = drawn(curves.passes)
    assert points["pgd", "a"] == ((0.0, 4.0, 10.0), (4, 3, 2))
    assert points["fgsm", "a"] == ((0.0, 2.0), (4, 3))
    # pgd through both sources costs 18 + 8, then fgsm its 2
    assert points[IN_TURN, "a"] == ((0.0, 4.0, 10.0, 28.0), (4, 3, 2, 1))
    assert points[IN_TURN, "b"] == ((0.0, 20.0), (5, 4))
    assert {(p.attack, line.model): line.curve.end for p in curves.passes for line in p.lines}[
        IN_TURN, "a"
    ] == 28


def test_curves_end_at_the_white_box_numbers_of_the_table(curves):
    for row in curves.board.rows:
        ends = {a: curve[1][-1] for (a, model), curve in drawn(curves.passes).items() if model == row.model}
        assert ends.pop(IN_TURN) == row.white_box.count
        assert ends == {label: share.count for label, share in row.attacks.items()}


def sized(model, attack, statuses, sizes, *, eps, minimises=True, **options):
    original = record(model, model, attack, statuses, eps=eps, minimises=minimises, **options)
    return dataclasses.replace(original, columns=dataclasses.replace(original.columns, linf=sizes))


RADII = [
    sized("a", "fmn", [B, B, B, R, M], [0.05, 0.2, 0.31, 9.0, 9.0], eps="inf"),
    sized("a", "pgd", [R, R, R, R, M], [0.1] * 5, eps=0.1, minimises=False),
    sized("a", "pgd", [B, R, B, R, M], [0.3 + 1e-8] * 5, eps=0.3, minimises=False),
    sized("b", "pgd", [B, R, R, R, R], [0.1] * 5, eps=0.1, minimises=False),
    sized("b", "pgd", [R, R, R, R, B], [0.3] * 5, eps=0.3, minimises=False),  # weaker at the larger radius
    record("b", "b", "cw", [B] * 5, eps="inf", norm="L2", minimises=True, l2=[1.0, 2.0, 3.0, 4.0, 5.0]),
]


def test_boards_of_all_radii_make_one_curve_that_never_rises():
    groups = families(boards(RADII), split_into_boards(RADII))
    linf, l2 = sorted(groups, key=lambda family: -len(family.boards))
    assert (linf.norm, len(linf.boards), l2.norm) == ("Linf", 3, "L2")
    a, b = sorted(linf.models, key=lambda one: one.model)
    assert (a.exact.x, a.exact.robust, a.exact.end) == ((0.0, 0.05, 0.2, 0.3), (4, 3, 2, 1), math.inf)
    assert [(m.eps, m.robust.count) for m in a.marks] == [(0.1, 3), (0.3, 1)]
    assert (b.exact, b.clean) == (None, 1.0)
    assert [(m.eps, m.robust.count) for m in b.marks] == [(0.1, 4), (0.3, 3)]  # 4 were left standing at 0.3
    assert l2.models[0].exact.reached(0.5) == 3.0
    for one in (a, b):
        counts = [mark.robust.count for mark in one.marks]
        assert counts == sorted(counts, reverse=True)


def test_one_radius_without_small_perturbations_says_nothing_over_eps():
    assert families(boards(TEN[:4]), split_into_boards(TEN[:4])) == ()
    far = [r for r in RADII if math.isinf(r.threat.eps)]
    (board, _), (samples, _) = boards(far), split_into_boards(far)
    under_infinity = board_curves(board, samples)
    assert (under_infinity.points, under_infinity.passes, under_infinity.tries) == ((), (), ())


def test_models_of_the_same_name_on_other_boards_are_told_apart():
    other = [
        sized("a", "pgd", [R] * 5, [0.1] * 5, eps=eps, minimises=False, fingerprint="g") for eps in (0.1, 0.3)
    ]
    alone = [r for r in RADII if r.target.name == "a"]
    (family,) = families(boards([*alone, *other]), split_into_boards([*alone, *other]))
    assert [one.model for one in family.models] == ["a [f]", "a [g]"]


def test_the_file_has_every_curve_in_tidy_lines(tmp_path):
    others = [changed(r, dataset={"name": "other"}) for r in RADII]
    records = [*RECORDS, *others]
    paths = CSV()(records, tmp_path)
    assert [p.name for p in paths] == ["leaderboard.csv", "measurements.csv", "curves.csv"]
    with paths[2].open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0])[-len(COLUMNS) :] == COLUMNS
    assert {row["over"] for row in rows} == {"points", "tries", "passes", "eps", "size"}
    mine = [
        (r["x"], r["robust"], r["n"])
        for r in rows
        if (r["over"], r["model"], r["eps"]) == ("tries", "a", "0.3")
    ]
    assert mine == [("0.0", "4", "5"), ("1.0", "3", "5"), ("2.0", "2", "5"), ("3.0", "2", "5")]
    size = [
        (r["x"], r["robust"]) for r in rows if (r["over"], r["model"], r["norm"]) == ("size", "a", "Linf")
    ]
    assert size == [("0.0", "4"), ("0.05", "3"), ("0.2", "2"), ("0.3", "1")]
    assert all(float(row["low"]) <= float(row["robust_accuracy"]) <= float(row["high"]) for row in rows)


def test_the_file_is_bounded():
    n = 1000
    many = [sized("a", "fmn", [B] * n, [0.0001 * i for i in range(1, n + 1)], eps="inf")]
    lines = curve_lines(boards(many), split_into_boards(many))
    assert len(lines) == MOST_PLACES
    places = [line.values[4:6] for line in lines]
    assert (places[0], places[-1]) == ((0.0, n), (pytest.approx(0.1), 0))
    assert all(robust == n - round(x / 0.0001) for x, robust in places)


def test_an_image_broken_without_being_moved_was_right_on_the_clean_images():
    """In a joint batch an image may fall by what is done to the others: that is no clean error."""
    still = record(
        "a", "a", "cw", [B, B, R, M], norm="L2", eps="inf", l2=[0.0, 0.5, 9.0, 9.0], minimises=True
    )
    records = [record("a", "", "clean", [R, R, R, M], gradient=""), still]
    (family,) = families(boards(records), split_into_boards(records))
    (radii,) = family.models
    (board,) = boards(records)
    assert radii.clean == board.rows[0].clean.value == 0.75
    assert (radii.exact.x, radii.exact.robust) == ((0.0, 0.5), (2, 1))
