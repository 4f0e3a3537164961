"""Which attacks a rank asks for on a board of several runs, alike in `leaderboard` and on a site."""

from dataclasses import replace

import pytest

from reports.board.grouping import requested_attacks, split_into_boards
from reports.board.leaderboard import boards
from robench.record.planned import PlannedRun
from tests.reports.html.synthetic import made


def run(name, seed, attacks):
    """Return the records of one model of one run, with a plan of its own."""
    plan = PlannedRun(models=(name,), threats=(), digest=name, seed="0")
    records = [made(name, attack, 0, 200, 200, seed=seed) for attack in ("clean", *attacks)]
    return [replace(record, planned=plan).noting(key=f"{name}-{record.key}") for record in records]


def labels(records):
    (own,) = split_into_boards(records)
    return {own.labels[attack] for attack in own.asked or ()}


@pytest.mark.parametrize(
    ("attacks_of_rows", "request_"),
    [
        ([("attack-0",), ("attack-0", "attack-1")], {"attack-0"}),
        ([("attack-0", "attack-1"), ("attack-0", "attack-1"), ("attack-1",)], {"attack-0", "attack-1"}),
        ([("attack-0",), ("attack-1",)], {"attack-0", "attack-1"}),
        ([("attack-0",), ("attack-0",), ("attack-1",), ("attack-1",)], {"attack-0", "attack-1"}),
        ([("attack-0",), ("attack-0",), ("attack-1",)], {"attack-0"}),
    ],
)
def test_more_than_half_of_the_rows_decide(attacks_of_rows, request_):
    runs = [run("abcd"[seed], seed, attacks) for seed, attacks in enumerate(attacks_of_rows)]
    records = [record for one in runs for record in one]
    assert labels(records) == request_
    assert labels([record for one in reversed(runs) for record in one]) == request_


def test_a_leaderboard_of_several_runs_ranks_who_met_them():
    records = [
        *run("a", 1, ("attack-0", "attack-1")),
        *run("b", 5, ("attack-0", "attack-1")),
        *run("c", 3, ("attack-0",)),
        *run("d", 6, ("attack-0", "attack-1", "attack-02")),
    ]
    rows = {row.model: row for row in boards(records)[0].rows}
    assert {name for name, row in rows.items() if row.rank} == {"a", "b", "d"}
    assert "not attacked by attack-1" in rows["c"].lacks


def test_one_run_asks_for_what_its_plan_asks():
    (own,) = split_into_boards(run("a", 1, ("attack-0", "attack-1")))
    assert own.asked is None


def test_nothing_attacked_asks_for_nothing():
    (own,) = split_into_boards([*run("a", 1, ()), *run("b", 2, ())])
    assert requested_attacks(own) is None
