"""The table of bars: medians beside their bars; rows of each machine stay until they are measured anew."""

import pytest

from benchmarks.bars.commands import processor_seconds
from benchmarks.bars.table import kept, ratio_row, this_machine, written


@pytest.mark.parametrize(
    ("bar", "at_most", "met"),
    [(1.5, False, "yes"), (2.1, False, "no"), (2.1, True, "yes"), (1.5, True, "no")],
)
def test_the_median_of_the_ratios_is_held_against_the_bar(bar, at_most, met):
    row = ratio_row("PGD", "ART", bar, [9.0, 2.0, 1.0], at_most=at_most)
    assert (row.figure, row.spread, row.met) == ("2.00", "1.00 to 9.00", met)


def test_rows_of_every_machine_stay_until_they_are_measured_anew_there(tmp_path):
    row, other = (ratio_row("PGD | 8 images", "ART", 2.0, [ratio]) for ratio in (2.5, 3.5))
    name = (row.work, row.against)
    lines = written({this_machine(): {name: row}, "another": {name: other}}, tmp_path)
    assert (tmp_path / "RESULTS.md").read_text().splitlines() == lines
    assert [line for line in lines if line.startswith("Machine: ")] == [
        f"Machine: {this_machine()}.",
        "Machine: another.",
    ]
    assert kept(tmp_path) == {this_machine(): {name: row}, "another": {name: other}}


def test_a_folder_without_results_has_no_rows(tmp_path):
    assert kept(tmp_path) == {this_machine(): {}}


def test_what_a_command_takes_is_of_that_command_alone(tmp_path):
    little = processor_seconds(["-c", "pass"], tmp_path)
    much = processor_seconds(["-c", "import time\nwhile time.process_time() < 0.6: pass"], tmp_path)
    assert 0 < little < much
    assert much >= 0.6


def test_a_command_that_fails_has_no_time(tmp_path):
    with pytest.raises(RuntimeError, match="ended with 2"):
        processor_seconds(["-c", "raise SystemExit(2)"], tmp_path)
