"""Without a radius two runs are compared by the sizes of the smallest changes, and a gate sees them fall."""

import json
import math

import pytest
from typer.testing import CliRunner

from robench.cli import app
from robench.record.comparison.size_comparison import size_differences
from robench.record.store import Store
from tests.records import changed
from tests.reports.board.test_leaderboard import B, M, R
from tests.reports.board.test_size_ranks import without_radius


def run(sizes, statuses=None, name="m"):
    return without_radius(name, sizes, statuses)


def test_medians_signs_and_their_test_by_hand():
    (attack, worst) = size_differences(run([1.0, 2.0, 3.0, 4.0, 5.0]), run([1.0, 1.0, 2.0, 3.0, 9.0]))
    assert (attack.column, worst.column) == ("cw", "worst case")
    assert (attack.first, attack.second, attack.n) == (3.0, 2.0, 5)
    assert (attack.larger_first, attack.larger_second) == (3, 1)
    assert attack.p_value == pytest.approx(0.625)  # 2 (1 + 4) / 16
    assert attack.loss == pytest.approx(1 / 3)


def test_wrong_images_count_as_no_change_and_unbroken_ones_as_an_infinite_one():
    first = run([1.0, 1.0, 1.0], [M, M, B])
    second = run([1.0, 1.0, 1.0], [R, R, B])
    (attack, _) = size_differences(first, second)
    assert (attack.first, attack.second, attack.loss) == (0.0, math.inf, 0.0)
    (back, _) = size_differences(second, first)
    assert back.loss == 1.0


def test_two_models_of_one_run_are_compared_by_pairs():
    records = [*run([1.0, 2.0, 3.0], name="a"), *run([2.0, 3.0, 4.0], name="b")]
    result = size_differences(records, records, pairs=[("a", "b")])
    assert {(d.model, d.first, d.second) for d in result} == {("a -> b", 2.0, 3.0)}


def test_only_attackers_that_both_met_count_and_a_radius_leaves_all_to_accuracies():
    first = run([3.0, 3.0, 3.0])
    other = changed(first[1], attack={"label": "ddn", "name": "ddn"})
    (attack, worst) = size_differences([*first, other], run([2.0, 2.0, 2.0]))
    assert (attack.column, worst.second) == ("cw", 2.0)
    records = [first[0], changed(first[1], threat={"eps": 1.0, "eps_text": "1"})]
    assert size_differences(records, records) == []


def test_the_gate_of_the_command_sees_a_median_fall(tmp_path):
    for name, sizes in (("before", [3.0] * 9), ("after", [2.0] * 9)):
        store = Store(tmp_path / name)
        for record in run(sizes):
            store.write(record)
    runs = [str(tmp_path / "before"), str(tmp_path / "after")]
    outcome = CliRunner().invoke(app, ["compare", *runs, "--max-drop", "30"])
    assert outcome.exit_code == 1
    assert "median 3 in A, 2 in B (all images); larger in A for 9 of 9" in outcome.output
    assert "the median change is 33.3 % smaller, more than 30" in outcome.output
    assert CliRunner().invoke(app, ["compare", *runs, "--max-drop", "34"]).exit_code == 0
    lines = json.loads(CliRunner().invoke(app, ["compare", *runs, "--format", "json"]).stdout)
    (line,) = (one for one in lines if one["column"] == "cw")
    assert (line["first_median_size"], line["second_median_size"], line["larger_first"]) == (3.0, 2.0, 9)
