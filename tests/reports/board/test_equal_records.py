"""One measurement under two keys counts once; whatever differs in anything else counts by itself."""

import dataclasses

import pytest

from reports.board.grouping import each_once
from reports.board.leaderboard import boards
from robench.record.planned import PlannedRun
from robench.record.schema import Finding
from tests.records import changed
from tests.reports.board.test_leaderboard import B, R, record


def run(eps_text, **fields):
    """Return a run of one model that writes the radius as it likes."""
    plan = PlannedRun(models=("a",), threats=(), digest=eps_text, seed="0")
    clean = record("a", "", "clean", [R, R, R], gradient="")
    attempt = changed(record("a", "a", "pgd", [B, R, R], **fields), threat={"eps_text": eps_text})
    return [dataclasses.replace(one, planned=plan) for one in (clean, attempt)]


def test_what_an_attack_cost_is_not_added_up_over_runs():
    one, other = run("0.3"), run("3/10")
    assert one[1].key != other[1].key
    (alone,) = boards(one)
    (board,) = boards([*one, *other])
    assert board.rows == alone.rows
    assert board.rows[0].passes == 5.0
    assert list(board.cells) == list(alone.cells)


def test_findings_of_two_runs_are_told_once():
    (board,) = boards([*run("0.3", findings=["nonfinite"]), *run("3/10", findings=["nonfinite"])])
    assert ("nonfinite", 1) in [(doubt.code, doubt.count) for doubt in board.doubts]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"source": {"gradient_source": "linear"}},
        {"target": {"fingerprint": "g"}},
        {"attack": {"options": {"steps": 7}}},
        {"threat": {"budget": 9}},
        {"dataset": {"digest": "other"}},
        {"findings": (Finding(code="not-reproduced", evidence="e", remedy="r"),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_else_differs_stays(change):
    one = record("a", "a", "pgd", [B, R, R])
    parts = {name: value for name, value in change.items() if isinstance(value, dict)}
    fields = {name: value for name, value in change.items() if name not in parts}
    other = dataclasses.replace(changed(one, **parts), key="other", **fields)
    assert each_once([one, other]) == [one, other]


def test_other_verdicts_and_other_costs_stay_and_order_too():
    one, worse = record("a", "a", "pgd", [R, R, R]), record("a", "a", "pgd", [B, R, R])
    again, dearer = (
        dataclasses.replace(one, key="again"),
        record("a", "a", "pgd", [R, R, R], passes=(9.0, 2.0)),
    )
    assert each_once([worse, one, dearer, again]) == [worse, one, dearer]


def test_the_records_of_one_run_are_taken_as_they_are(monkeypatch):
    from reports.board import grouping

    monkeypatch.setattr(grouping, "each_once", None)
    boards(run("0.3"))
