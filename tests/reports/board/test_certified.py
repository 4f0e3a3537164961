"""Certified, attacked and the gap by hand; and a planted false certificate is told, whatever breaks it."""

import dataclasses

import pytest

from reports.board.certificate_checks import BROKEN_CERTIFICATE
from reports.board.curves import families
from reports.board.depth import details_of, series_of
from reports.board.grouping import split_into_boards
from reports.board.leaderboard import boards
from reports.figures.depth import Depth
from reports.figures.eps import Eps
from reports.text.csv import CSV
from reports.text.markdown import Markdown
from robench.record.certificates import Certificates
from robench.record.comparison.run_verdicts import WORST, verdicts
from robench.record.measures.statistics import wilson
from robench.record.schema import Record
from tests.records import changed
from tests.reports.board.test_leaderboard import B, M, R, record


def bound(statuses, proofs, *, label="crown", eps=0.3, norm="Linf", start=0, target="a"):
    """Return a record of bounds whose search left images in these states."""
    n = len(proofs)
    search = record(target, target, label, statuses, eps=eps, norm=norm, start=start)
    own = Certificates(certified=proofs, bound=[0.5] * n, domains=[1] * n, seconds=[0.1] * n)
    return dataclasses.replace(search, certificates=own)


CLEAN = record("a", "", "clean", [R] * 9 + [M], gradient="")
ATTACK = record("a", "a", "pgd", [B, B, R, R, R, R, R, R, R, M])
CROWN = bound([R] * 9 + [M], [0, 0, 0, 0, 1, 1, 0, 0, 0, 0])
SEARCH = bound([R, R, B, R, R, R, R, R, R, M], [0, 0, 0, 0, 1, 1, 1, 1, 0, 0], label="bab")


def row_of(*records, at=0):
    return boards(records)[at].rows[0]


def test_certified_attacked_and_gap_image_by_image():
    board = boards([CLEAN, ATTACK, CROWN, SEARCH])[0]
    (row,) = board.rows
    assert board.certificates == ("crown", "bab")
    assert board.attacks == ("pgd",)
    assert {label: share.count for label, share in row.certified_by.items()} == {"crown": 2, "bab": 4}
    assert (row.certified.count, row.certified.n) == (4, 10)
    assert (row.certified.low, row.certified.high) == wilson(4, 10)
    # pgd breaks 0 and 1, the search 2, image 9 was wrong: 3..8 stand, and 4..7 of these are certified.
    assert row.attacks["pgd"].count == 7
    assert row.worst_case.count == row.white_box.count == 6
    assert (row.gap.count, row.gap.n) == (2, 10)
    assert row.certified.count <= row.worst_case.count <= row.clean.count
    assert not row.doubted
    assert not row.partial


def test_without_bounds_nothing_is_said_of_them():
    board = boards([CLEAN, ATTACK])[0]
    assert board.certificates == ()
    assert board.rows[0].certified is board.rows[0].gap is None
    assert "ertified" not in Markdown().render([CLEAN, ATTACK])
    assert "certified" not in CSV().render([CLEAN, ATTACK])


def test_without_attacks_the_gap_is_up_to_the_clean_accuracy():
    row = row_of(CLEAN, SEARCH)
    assert row.worst_case is None
    assert (row.certified.count, row.gap.count) == (4, 4)  # 9 right, one broken by the search


def test_bounds_of_some_images_make_the_row_partial():
    half = bound([R] * 5, [1] * 5, label="crown", start=5)
    row = row_of(CLEAN, ATTACK, half)
    assert row.missing == ("crown 5 of 10 images",)
    assert row.certified.n == row.gap.n == 5


PLANTED = {
    "an attack": record("a", "a", "pgd", [R, R, R, R, B, R, R, R, R, M]),
    "transfer": record("a", "b", "pgd", [R, R, R, R, B, R, R, R, R, M]),
    "a smaller radius": record("a", "a", "pgd", [R, R, R, R, B, R, R, R, R, M], eps=0.2),
    "a larger radius, less far": record("a", "a", "pgd", [R, R, R, R, B, R, R, R, R, M], eps=0.9),
    "another norm, less far": record("a", "a", "cw", [R, R, R, R, B, R, R, R, R, M], norm="L2", eps=9.0),
    "the same network under another name": record("b", "b", "pgd", [R, R, R, R, B, R, R, R, R, M]),
    "a search": bound([R, R, R, R, B, R, R, R, R, M], [0] * 10, label="bab"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_whatever_breaks_a_certified_image_is_told(name):
    doubts = [doubt for board in boards([CLEAN, CROWN, PLANTED[name]]) for doubt in board.doubts]
    (doubt,) = [doubt for doubt in doubts if doubt.code == BROKEN_CERTIFICATE]
    assert doubt.unlifted
    assert doubt.count == 1
    assert "1 of 2 images certified under Linf 0.3" in doubt.evidence
    assert "image 4 by" in doubt.evidence
    rows = [row for board in boards([CLEAN, CROWN, PLANTED[name]]) for row in board.rows if row.certified]
    assert all(row.doubted and row.rank is None for row in rows)


def test_a_wrong_clean_answer_breaks_a_certificate():
    wrong = record("a", "", "clean", [R] * 4 + [M] + [R] * 5, gradient="")
    codes = {doubt.code for doubt in boards([wrong, CROWN])[0].doubts}
    assert BROKEN_CERTIFICATE in codes


@pytest.mark.parametrize(
    "other",
    [
        record("b", "b", "pgd", [B] * 10, fingerprint="g"),
        changed(record("a", "a", "pgd", [B] * 10), target={"fingerprint": "g"}),
        record("a", "a", "pgd", [B, B, B, B, R, R, B, B, B, M]),
    ],
)
def test_another_model_or_another_image_breaks_nothing(other):
    codes = {doubt.code for board in boards([CLEAN, CROWN, other]) for doubt in board.doubts}
    assert BROKEN_CERTIFICATE not in codes


def test_what_is_moved_farther_than_the_radius_breaks_nothing():
    far = record("a", "a", "pgd", [B] * 9 + [M], eps=0.9)
    columns = dataclasses.replace(far.columns, linf=[0.31] * 10)
    codes = {
        d.code for b in boards([CLEAN, CROWN, dataclasses.replace(far, columns=columns)]) for d in b.doubts
    }
    assert BROKEN_CERTIFICATE not in codes


@pytest.mark.parametrize("norm", ["L1", "L0"])
@pytest.mark.parametrize(("eps", "size", "told"), [("inf", 2.0, True), (9.0, 2.0, True), ("inf", 4.0, False),
                                                   (9.0, 0.0, False), (2.0, 0.0, True)])  # fmt: skip
def test_sizes_in_the_norm_of_an_l1_or_l0_certificate_are_those_that_were_measured(norm, eps, size, told):
    """Size 0 throughout is a record of an earlier version: then only the radius is known."""
    proof = bound([R] * 10, [0] * 4 + [1] + [0] * 5, eps=3.0, norm=norm)
    attack = record("a", "a", "fab", [B] * 10, eps=eps, norm=norm, minimises=True)
    columns = dataclasses.replace(attack.columns, distance=[size] * 10)
    every = boards([CLEAN, proof, dataclasses.replace(attack, columns=columns)])
    codes = {doubt.code for board in every for doubt in board.doubts}
    assert (BROKEN_CERTIFICATE in codes) == told


def test_tables_show_certified_and_gap():
    text = Markdown().render([CLEAN, ATTACK, CROWN, SEARCH])
    assert "| Certified \\[95% CI\\] | crown | bab | Gap |" in text
    assert "| 40.0 \\[16.8, 68.7\\] | 20.0 | 40.0 | 20.0 |" in text
    header, line = CSV().render([CLEAN, ATTACK, CROWN, SEARCH]).splitlines()
    cells = dict(zip(header.split(","), line.split(","), strict=False))
    assert (cells["certified"], cells["gap"], cells["certified: crown"]) == ("0.4", "0.2", "0.2")


def test_curves_over_eps_have_both_sides_and_never_contradict():
    # image 2 is certified at 0.3, so at 0.1 as well; image 0 is broken at 0.1, so at 0.3 as well.
    small = [record("a", "a", "pgd", [B, R, R, R], eps=0.1), bound([R] * 4, [0, 1, 0, 0], eps=0.1)]
    large = [record("a", "a", "pgd", [B, B, R, R], eps=0.3), bound([R] * 4, [0, 0, 1, 0], eps=0.3)]
    every = split_into_boards([record("a", "", "clean", [R] * 4, gradient=""), *small, *large])
    table = boards([record("a", "", "clean", [R] * 4, gradient=""), *small, *large])
    (family,) = families(table, every)
    marks = family.models[0].marks
    assert [mark.certified.count for mark in marks] == [2, 1]
    assert all(mark.certified.count <= mark.robust.count for mark in marks)


def test_comparisons_count_what_is_certified_and_what_a_search_broke():
    ((_, models),) = verdicts([CLEAN, ATTACK, SEARCH]).items()
    assert sum(models["a"]["bab"].values()) == 4
    assert sum(models["a"][WORST].values()) == 6


def test_a_record_of_bounds_survives_its_way_through_json():
    again = Record.from_json(SEARCH.to_json())
    assert again == SEARCH
    assert again.certificates.certified == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0]
    assert "certificates" not in CLEAN.to_json()
    with pytest.raises(ValueError, match="as many certificates as images"):
        dataclasses.replace(SEARCH, columns=CLEAN.columns.__class__(**{
            name: [] for name in ("index", "label", "clean", "adversarial", "status", "linf", "l2",
                                  "forwards", "backwards", "first_success")}))  # fmt: skip


def test_without_attacks_curves_over_eps_have_the_certified_side_alone():
    small, large = bound([R] * 9 + [M], [1] * 6 + [0] * 4, eps=0.1), bound([R] * 9 + [M], [1] * 2 + [0] * 8)
    records = [CLEAN, small, large]
    (family,) = families(boards(records), split_into_boards(records))
    (one,) = family.models
    assert (one.clean, one.exact) == (0.9, None)
    assert [(mark.eps, mark.robust, mark.certified.count) for mark in one.marks] == [
        (0.1, None, 6),
        (0.3, None, 2),
    ]
    (axes,) = Eps().draw(family).axes
    assert axes.get_ylabel() == "certified accuracy, %"
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]
    assert ([0.1, 0.3], [60.0, 20.0]) in lines


def test_without_attacks_error_against_depth_is_that_of_the_bounds():
    records = []
    for name, count in (("vgg11", 6), ("vgg16", 3)):
        details = {"architecture": name, "architecture_options": {}, "head": "linear", "training": "natural"}
        clean = record(name, "", "clean", [R] * 10, gradient="", fingerprint=name)
        own = bound([R] * 10, [1] * count + [0] * (10 - count), target=name)
        mark = {"fingerprint": name, "details": details}
        records += [
            changed(clean, target={"details": details}),
            dataclasses.replace(changed(own, target=mark, source=mark_of(name)), key=f"bound-{name}"),
        ]
    (board,) = boards(records)
    left, right = Depth().draw(board, series_of(board, details_of(records))).axes
    assert right.get_title(loc="left").startswith("Not certified")
    lines = [list(map(float, line.get_ydata())) for line in right.lines if line.get_linestyle() == ":"]
    assert [pytest.approx([40.0, 70.0])] == [line for line in lines if len(line) == 2]
    assert any(len(line.get_xdata()) == 2 for line in left.lines)


def mark_of(name):
    return {"fingerprint": name}
