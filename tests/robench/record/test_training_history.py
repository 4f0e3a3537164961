"""The history of a training: its file, the epoch it chose, and robust overfitting beyond chance."""

from __future__ import annotations

import csv

import pytest

from robench.errors import StorageError
from robench.record.training_history import COLUMNS, chosen_row, robust_overfitting, write_history


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_was_not_measured_is_empty_and_numbers_read_back_exactly(tmp_path):
    path = tmp_path / "history.csv"
    rows = [
        {"epoch": 1.0, "loss": 0.1 + 0.2, "validation_accuracy": 0.0},
        {"epoch": 2.0, "loss": 1e-20, "x": 7},
    ]
    write_history(path, rows)
    one, two = read(path)
    assert tuple(one) == (*COLUMNS, "x")
    assert (one["epoch"], float(one["loss"]), one["validation_accuracy"]) == ("1", 0.1 + 0.2, "0")
    assert one["validation_robust_accuracy"] == one["x"] == two["validation_accuracy"] == ""
    assert (float(two["loss"]), two["x"]) == (1e-20, "7")


def test_a_full_disk_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "history.csv"
    write_history(path, [{"epoch": 1.0}])
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left") as error:
        write_history(path, [{"epoch": 1.0}, {"epoch": 2.0}])
    assert error.value.exit_code == 4
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["history.csv"]


def test_the_chosen_row_is_the_last_best_one_of_the_last_stage():
    rows = [
        {"epoch": 1.0, "stage": 1.0, "best": 1.0},
        {"epoch": 2.0, "stage": 2.0, "best": 1.0},
        {"epoch": 3.0, "stage": 2.0, "best": 1.0},
        {"epoch": 4.0, "stage": 2.0, "best": 0.0},
    ]
    assert chosen_row(rows)["epoch"] == 3.0
    assert chosen_row([{"epoch": 1.0}, {"epoch": 2.0}])["epoch"] == 2.0
    assert chosen_row([]) is None


def falling(best, last, n):
    name = "validation_robust_accuracy"
    return [{"epoch": float(e), name: a, "validation_images": float(n)} for e, a in ((1, best), (2, last))]


def test_robust_overfitting_is_a_fall_beyond_chance():
    # 95 % Wilson intervals of 500 and 450 in 1000: [0.469, 0.531] and [0.419, 0.481] overlap;
    # of 500 and 400: [0.469, 0.531] and [0.370, 0.431] do not; of 50 and 40 in 100 they do.
    assert robust_overfitting(falling(0.5, 0.45, 1000)) == ""
    assert "40.0 % of 1000" in robust_overfitting(falling(0.5, 0.4, 1000))
    assert robust_overfitting(falling(0.5, 0.4, 100)) == ""
    assert robust_overfitting(falling(0.4, 0.5, 1000)) == ""


def test_earlier_stages_and_histories_without_an_attack_are_no_overfitting():
    rows = [{**row, "stage": 1.0} for row in falling(0.9, 0.1, 1000)]
    later = [{**row, "stage": 2.0} for row in falling(0.4, 0.4, 1000)]
    assert robust_overfitting(rows)
    assert robust_overfitting(rows + later) == ""
    assert robust_overfitting([{"epoch": 1.0, "loss": 0.1}]) == ""
    assert robust_overfitting([]) == ""
