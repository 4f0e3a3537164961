"""Boards without a radius: rows by the median size of the smallest changes."""

import csv
import dataclasses

from reports.board.leaderboard import boards
from reports.text.answers import answer
from reports.text.board_tables import leaderboard_table
from reports.text.csv import CSV
from tests.reports.board.test_leaderboard import B, M, R, record


def without_radius(name, sizes, statuses=None):
    n = len(sizes)
    return [
        record(name, "", "clean", [R] * n, gradient="", fingerprint=name),
        record(name, name, "cw", statuses or [B] * n, eps="inf", norm="L2", minimises=True,
               l2=sizes, fingerprint=name),
    ]  # fmt: skip


def ranks(*groups):
    (board,) = boards([one for group in groups for one in group])
    return [(row.rank, row.model) for row in board.rows]


def test_the_hardest_to_break_comes_first_although_all_fall():
    easy = without_radius("easy", [1.0] * 120)
    hard = without_radius("hard", [2.0] * 120)
    assert ranks(easy, hard) == [(1, "hard"), (2, "easy")]


def test_rows_that_take_larger_changes_by_turns_share_a_rank():
    first = without_radius("first", [1.0, 2.0] * 60)
    second = without_radius("second", [1.9, 1.0] * 60)
    assert ranks(first, second) == [(1, "first"), (1, "second")]


def test_an_image_that_was_wrong_before_takes_no_change_at_all():
    sizes = [1.0] * 120
    right, wrong = without_radius("right", sizes), without_radius("wrong", sizes, [M] * 30 + [B] * 90)
    assert ranks(wrong, right) == [(1, "right"), (2, "wrong")]  # the medians of what was broken are alike


def test_a_model_that_is_mostly_wrong_does_not_lead_by_the_few_images_it_has_right():
    """Its median over broken images is the larger one, and image by image it takes the smaller change."""
    poor = without_radius("poor", [1.02] * 200, [M] * 120 + [B] * 80)
    good, half = without_radius("good", [1.0] * 200), without_radius("half", [0.5] * 200)
    assert ranks(poor, half, good) == [(1, "good"), (2, "half"), (3, "poor")]


def test_twice_as_large_on_every_image_is_another_rank_where_most_are_wrong():
    statuses = [M] * 120 + [B] * 80
    small = without_radius("a small", [1.0] * 200, statuses)
    large = without_radius("large", [2.0] * 200, statuses)
    assert ranks(small, large) == [(1, "large"), (2, "a small")]


def test_what_nothing_broke_takes_an_infinite_change():
    """Such rows are in doubt and have no rank, but they stand in order."""
    every, most = (
        without_radius("z every", [1.0] * 120, [R] * 120),
        without_radius("y most", [1.0] * 120, [R] * 90 + [B] * 30),
    )
    few = without_radius("a few", [2.0] * 120, [R] * 30 + [B] * 90)
    assert ranks(few, most, every) == [(None, "z every"), (None, "y most"), (None, "a few")]


def test_a_doubted_row_has_no_rank_and_stands_last():
    survives = without_radius("survives", [3.0] * 120, [R] * 90 + [B] * 30)
    assert ranks(survives, without_radius("falls", [1.0] * 120)) == [(1, "falls"), (None, "survives")]


def test_the_title_says_what_is_asked():
    (board,) = boards(without_radius("a", [1.0] * 120))
    assert board.title == "toy test, 120 images, smallest L2 perturbation, untargeted"


def in_values(name, counts):
    """Records under L0, of which the column `distance` alone holds the size."""
    records = without_radius(name, [1.0] * len(counts))
    record = records[1]
    columns = dataclasses.replace(record.columns, distance=counts)
    threat = dataclasses.replace(record.threat, norm="L0")
    return [records[0], dataclasses.replace(record, columns=columns, threat=threat)]


def test_sizes_under_l0_are_counts_of_values_and_have_a_column():
    (board,) = boards([*in_values("easy", [2.0] * 120), *in_values("hard", [5.0] * 120)])
    assert board.title == "toy test, 120 images, smallest L0 perturbation, untargeted"
    assert [(row.rank, row.model, row.median_own) for row in board.rows] == [
        (1, "hard", 5.0),
        (2, "easy", 2.0),
    ]
    header, lines = leaderboard_table(board)
    place = header.index("Median L0")
    assert header[place : place + 3] == ["Median L0", "Median L0, broken", "Median L2, broken"]
    assert [line[place] for line in lines] == ["5", "2"]
    assert answer(board).about == "median L0 change that breaks hard, the hardest to break of 2"


def test_records_without_sizes_in_their_norm_are_ranked_by_what_withstood():
    (board,) = boards([*in_values("a", [0.0] * 120), *in_values("b", [0.0] * 120)])
    assert [row.median_own for row in board.rows] == [None, None]
    assert [row.rank for row in board.rows] == [1, 1]


def test_the_sizes_are_in_the_csv_files_of_such_boards_alone():
    text = CSV().render(in_values("a", [4.0] * 120))
    assert next(csv.DictReader(text.splitlines()))["median_own"] == "4.0"
    assert "median_own" not in CSV().render(without_radius("a", [1.0] * 120))


def test_the_number_shown_is_that_which_orders_the_rows():
    """A model that is wrong more often may have the larger median over its broken images."""
    often = without_radius("often wrong", [3.0] * 120, [M] * 90 + [B] * 30)
    rarely = without_radius("rarely wrong", [1.0] * 120, [M] * 10 + [B] * 110)
    (board,) = boards([*often, *rarely])
    assert [(row.rank, row.model, row.median_size) for row in board.rows] == [
        (1, "rarely wrong", 1.0),
        (2, "often wrong", 0.0),
    ]
    header, lines = leaderboard_table(board)
    assert [line[header.index("Median L2")] for line in lines] == ["1", "0"]
    assert [line[header.index("Median L2, broken")] for line in lines] == ["1", "3"]
    words = answer(board)
    assert words.figure == "1"
    assert "The easiest to break is often wrong: 0." in " ".join(words.sentences)
