"""Aggregation checked by hand: ten images, two models, two attacks, two gradient sources."""

import itertools

import pytest

from reports.board.leaderboard import boards
from robench.record.schema import Columns, Finding
from tests.records import changed, record_of

R, B, M, F = "robust", "broken", "misclassified", "failed"
_keys = itertools.count()


def record(target, source, attack, statuses, *, gradient="exact", eps=0.3, norm="Linf", start=0, findings=(),
           l2=1.0, minimises=False, passes=(3.0, 2.0), options=None, fingerprint="f", data=None):  # fmt: skip
    n = len(statuses)
    columns = Columns(
        index=list(range(start, start + n)),
        label=[1] * n,
        clean=[2 if s == M else 1 for s in statuses],
        adversarial=[1 if s == R else 2 for s in statuses],
        status=list(statuses),
        linf=[0.1] * n,
        l2=[l2 * (i + 1) for i in range(n)] if not isinstance(l2, list) else l2,
        forwards=[passes[0]] * n,
        backwards=[passes[1]] * n,
        first_success=[0] * n,
    )
    clean = attack == "clean"
    return record_of(
        key=f"k{next(_keys)}",
        target={"name": target, "fingerprint": fingerprint},
        source={"name": source, "fingerprint": fingerprint if source else "", "gradient_source": gradient},
        attack={"label": attack, "name": attack, "options": options or {}, "minimises": minimises},
        threat={} if clean else {"norm": norm, "eps": eps, "eps_text": str(eps), "goal": "untargeted"},
        dataset={"name": "toy", "split": "test", "digest": f"d{start}", **(data or {})},
        seed=0,
        columns=columns,
        findings=tuple(Finding(code=c, evidence="e", remedy="r") for c in findings),
        provenance={},
    )


CLEAN_A = [R, R, R, R, R, R, R, R, R, M]
TEN = [
    record("a", "", "clean", CLEAN_A, gradient=""),
    record("b", "", "clean", [R] * 10, gradient=""),
    # image          0  1  2  3  4  5  6  7  8  9
    record("a", "a", "pgd", [B, R, R, R, R, R, R, R, R, M], gradient="exact"),
    record("a", "a", "pgd", [R, B, R, R, R, R, R, R, R, M], gradient="linear"),
    record("a", "a", "cw", [R, R, B, F, R, R, R, R, R, M], gradient="exact"),
    record("a", "a", "cw", [R, R, B, R, R, R, R, R, R, M], gradient="linear"),
    record("a", "b", "pgd", [R, R, R, R, B, R, R, R, R, M]),
    record("a", "b", "cw", [R, R, R, R, R, R, R, R, R, M]),
    record("b", "b", "pgd", [R, R, R, R, R, R, R, R, R, R]),
    record("b", "b", "cw", [B, B, R, R, R, R, R, R, R, R]),
    record("b", "a", "pgd", [R, R, R, R, R, R, R, R, B, B], gradient="exact"),
    record("b", "a", "pgd", [R] * 10, gradient="linear"),
    record("b", "a", "cw", [R] * 10, gradient="exact"),
    record("b", "a", "cw", [R] * 10, gradient="linear"),
]


def row(board, name):
    return next(r for r in board.rows if r.model == name)


def test_ten_images_by_hand():
    (board,) = boards(TEN)
    assert (board.dataset, board.n, board.norm, board.eps, board.attacks) == (
        "toy",
        10,
        "Linf",
        0.3,
        ("pgd", "cw"),
    )
    a, b = row(board, "a"), row(board, "b")
    assert (a.clean.count, a.clean.n) == (9, 10)
    assert a.attacks["pgd"].count == 7  # 0 and 1 fall through one source each, 9 was wrong from the start
    assert a.attacks["cw"].count == 7  # 2 broken, 3 failed, 9 misclassified
    assert a.white_box.count == 5  # 0, 1, 2, 3, 9 fall: worse than the worst single attack
    assert a.worst_case.count == 4  # and 4 falls to an image crafted on b
    assert (a.worst_case.n, a.n) == (10, 10)
    assert (b.white_box.count, b.worst_case.count) == (8, 6)
    assert b.attacks["pgd"].count == 10
    assert a.passes == 4 * 5.0  # two attacks through two sources, 3 forwards and 2 backwards each
    assert b.passes == 2 * 5.0
    assert [r.model for r in board.rows] == ["b", "a"]
    assert all(r.rank is None and not r.partial for r in board.rows)  # ten images are too few to rank


def test_wilson_interval_of_a_share():
    (board,) = boards(TEN)
    share = row(board, "a").worst_case
    assert (share.low, share.high) == pytest.approx((0.168180, 0.687326), abs=1e-6)


def test_cells_count_what_happened():
    (board,) = boards(TEN)
    cell = next(
        c
        for c in board.cells
        if c.white_box and c.target == "a" and c.attack == "cw" and c.gradient_source == "exact"
    )
    assert (cell.robust.count, cell.broken, cell.failed, cell.misclassified) == (7, 1, 1, 1)
    assert (cell.forwards, cell.backwards) == (3.0, 2.0)
    assert len(board.cells) == 12


def test_transfer_is_worst_over_the_gradient_sources_of_the_source():
    (board,) = boards(TEN)
    counts = {(t.source, t.target, t.attack): t.robust.count for t in board.transfers}
    assert counts["a", "b", "pgd"] == 8
    assert counts["a", "b", ""] == 8
    assert counts["b", "a", ""] == 8
    assert counts["a", "a", ""] == 5
    white_only = [r for r in TEN if r.source.name in {"", r.target.name}]
    assert boards(white_only)[0].transfers == ()


def test_order_of_records_changes_no_number():
    first, second = boards(TEN)[0], boards(TEN[::-1])[0]
    assert {r.model: (r.worst_case, r.white_box, r.clean) for r in first.rows} == {
        r.model: (r.worst_case, r.white_box, r.clean) for r in second.rows
    }


def test_shards_join_and_a_missing_one_makes_a_row_partial():
    shards = [
        record(m, s, k, [R] * 60, start=start)
        for start in (0, 60)
        for m in ("a", "b")
        for s, k in (("", "clean"), (m, "pgd"))
    ]
    (board,) = boards(shards)
    assert board.n == 120
    assert [(r.rank, r.partial) for r in board.rows] == [(1, False), (1, False)]
    (board,) = boards(shards[:-1])
    assert (row(board, "b").partial, row(board, "b").rank, row(board, "b").n) == (True, None, 60)
    assert row(board, "a").rank == 1
    assert board.rows[-1].model == "b"


def test_an_attack_that_only_others_have_makes_a_row_partial():
    rest = [r for r in TEN if not (r.target.name == r.source.name == "b" and r.attack.label == "cw")]
    (board,) = boards(rest)
    assert row(board, "b").partial
    assert not row(board, "a").partial


def hundred(name, robust, **more):
    statuses = [R] * robust + [B] * (200 - robust)
    return [record(name, "", "clean", [R] * 200), record(name, name, "pgd", statuses, **more)]


@pytest.mark.parametrize(("images", "rank"), [(99, None), (100, 1)])
def test_a_rank_needs_a_hundred_images(images, rank):
    statuses = [R] * 50 + [B] * (images - 50)
    (board,) = boards([record("a", "", "clean", [R] * images), record("a", "a", "pgd", statuses)])
    assert (board.rows[0].rank, board.rows[0].partial) == (rank, False)


def test_neighbours_share_a_rank_where_mcnemar_cannot_tell_them_apart():
    # 100 against 105: 5 discordant, all one way, p = 2 / 2^5 = 0.0625; 105 against 111: p = 2 / 2^6 = 0.03125
    records = hundred("a", 100) + hundred("b", 105) + hundred("c", 111)
    (board,) = boards(records)
    assert [(r.model, r.rank) for r in board.rows] == [("c", 1), ("b", 2), ("a", 2)]


def test_a_finding_in_every_cell_takes_the_rank_and_another_free_cell_gives_it_back():
    records = hundred("a", 190, findings=("zero-gradient",)) + hundred("b", 50)
    (board,) = boards(records)
    assert [(r.model, r.rank, r.doubted) for r in board.rows] == [("b", 1, False), ("a", None, True)]
    assert row(board, "a").findings == ("zero-gradient",)
    assert board.doubts[0].count == 1
    free = record("a", "a", "pgd", [R] * 180 + [B] * 20, gradient="kernel")
    (board,) = boards([*records, free])
    assert (row(board, "a").rank, row(board, "a").findings) == (1, ("zero-gradient",))


def test_a_finding_of_the_source_does_not_doubt_the_target():
    records = [*TEN, record("b", "a", "pgd", [R] * 10, gradient="kernel", findings=("x",))]
    assert "x" not in row(boards(records)[0], "b").findings


def test_minimal_attacks_show_the_median_of_the_smallest_successes():
    one = record("a", "a", "cw", [B, B, R, B], eps="inf", norm="L2", minimises=True, l2=[1.0, 5.0, 0.0, 9.0])
    two = record("a", "a", "cw", [R, B, R, B], eps="inf", norm="L2", minimises=True, l2=[0.0, 3.0, 0.0, 20.0],
                 gradient="linear")  # fmt: skip
    (board,) = boards([record("a", "", "clean", [R] * 4), one, two])
    assert board.eps == float("inf")
    assert row(board, "a").median_l2 == 3.0  # of 1, 3, 9
    assert row(boards(TEN)[0], "a").median_l2 is None


def test_unlike_settings_never_share_a_board():
    records = [
        *hundred("a", 10),
        *hundred("a", 20, eps=0.1),
        *hundred("a", 30, norm="L2"),
        *[changed(r, dataset={"split": "train"}) for r in hundred("a", 40)],
        *[changed(r, dataset={"n": 200, "set": "x"}) for r in hundred("a", 50)],
    ]
    assert len(boards(records)) == 5


@pytest.mark.parametrize(
    "other", [{"knowledge": ["weights"]}, {"knowledge": []}, {"budget": 10}, {"bounds": [-1.0, 1.0]}], ids=str
)
def test_unlike_knowledge_budget_or_box_never_share_a_board(other):
    usual = {"knowledge": ["weights", "template"], "budget": None, "bounds": [0.0, 1.0]}

    def under(terms, robust):
        records = hundred("a", robust)
        return [changed(r, threat={**terms}) if r.threat.norm else r for r in records]

    first, second = boards([*under(usual, 10), *under({**usual, **other}, 20)])
    assert (row(first, "a").worst_case.count, row(second, "a").worst_case.count) == (10, 20)
    assert first.title != second.title
    assert not row(first, "a").partial


def test_same_name_other_weights_and_same_label_other_options_stay_apart():
    records = [*hundred("a", 10, fingerprint="11111111zz"), *hundred("a", 20, fingerprint="22222222zz")]
    records = [changed(r, target={"fingerprint": r.source.fingerprint}) if
               r.source.name else r for r in records]  # fmt: skip
    (board,) = boards(records)
    assert {"a [11111111]", "a [22222222]"} <= {r.model for r in board.rows}
    (board,) = boards([*hundred("a", 10), *hundred("b", 10, options={"steps": 2})])
    assert len(board.attacks) == 2
    assert all(label.startswith("pgd [") for label in board.attacks)


def test_the_same_record_twice_counts_once():
    assert boards([*TEN, *TEN]) == boards(TEN)


def test_clean_only_runs_have_a_board_and_no_records_have_none():
    (board,) = boards([hundred("a", 3)[0], record("b", "", "clean", [M] * 50 + [R] * 150)])
    assert board.norm == ""
    assert [(r.model, r.rank, r.clean.count) for r in board.rows] == [("a", 1, 200), ("b", 2, 150)]
    assert boards([]) == []


def test_empty_units_divide_by_nothing():
    (board,) = boards([record("a", "", "clean", []), record("a", "a", "pgd", [])])
    assert row(board, "a").worst_case is None
    assert board.rows[0].rank is None
