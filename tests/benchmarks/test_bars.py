"""The table of bars: medians beside their bars; rows of this machine stay until they are measured anew."""

import csv

import pytest

from benchmarks.bars.commands import processor_seconds
from benchmarks.bars.table import kept, ratio_row, written


@pytest.mark.parametrize(
    ("bar", "at_most", "met"),
    [(1.5, False, "yes"), (2.1, False, "no"), (2.1, True, "yes"), (1.5, True, "no")],
)
def test_the_median_of_the_ratios_is_held_against_the_bar(bar, at_most, met):
    row = ratio_row("PGD", "ART", bar, [9.0, 2.0, 1.0], at_most=at_most)
    assert (row.figure, row.spread, row.met) == ("2.00", "1.00 to 9.00", met)


def test_rows_of_this_machine_stay_and_those_of_others_go(tmp_path):
    row = ratio_row("PGD | 8 images", "ART", 2.0, [2.5])
    lines = written([row], tmp_path)
    assert (tmp_path / "RESULTS.md").read_text().splitlines() == lines
    assert kept(tmp_path) == {(row.work, row.against): row}
    with (tmp_path / "results.csv").open(newline="") as file:
        head, line = csv.reader(file)
    line[head.index("machine")] = "another"
    with (tmp_path / "results.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, line])
    assert kept(tmp_path) == {}


def test_a_folder_without_results_has_no_rows(tmp_path):
    assert kept(tmp_path) == {}


def test_what_a_command_takes_is_of_that_command_alone(tmp_path):
    little = processor_seconds(["-c", "pass"], tmp_path)
    much = processor_seconds(["-c", "import time\nwhile time.process_time() < 0.6: pass"], tmp_path)
    assert 0 < little < much
    assert much >= 0.6


def test_a_command_that_fails_has_no_time(tmp_path):
    with pytest.raises(RuntimeError, match="ended with 2"):
        processor_seconds(["-c", "raise SystemExit(2)"], tmp_path)
