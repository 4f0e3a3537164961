"""The question and the answer of a board in plain words."""

import dataclasses
import math

from reports.board.leaderboard import boards
from reports.board.shares import Share
from reports.text.answers import answer
from tests.reports.board.test_leaderboard import B, R, record


def board_of_two(n=200, **changes):
    records = []
    for name, count in (("a", n // 4), ("b", n // 2)):
        records += [
            record(name, "", "clean", [R] * n, gradient=""),
            record(name, name, "pgd", [*[B] * count, *[R] * (n - count)]),
        ]
    (board,) = boards(records)
    return dataclasses.replace(board, **changes)


def test_a_radius():
    own = answer(board_of_two(), lost=50)
    assert own.question == (
        "On how many of 200 images (toy test) does each of 2 models stay right when an attacker may change "
        "every pixel value by at most 0.3?"
    )
    assert (own.figure, own.about) == ("75.0 %", "right against everything tried: a, the best of 2")
    assert own.sentences == (
        "Without an attack it is right on 100.0 %.",
        "The least is 50.0 %: b.",
        "50 of 200 images are wrong or broken on every model.",
    )


def test_doubt_is_said_and_nothing_is_claimed_where_all_are_in_doubt():
    board = board_of_two()
    rows = tuple(dataclasses.replace(row, doubted=True, rank=None) for row in board.rows)
    own = answer(dataclasses.replace(board, rows=rows))
    assert (own.figure, own.about) == ("-", "no number can be believed yet")
    assert own.sentences == ("In doubt, with no rank: a and b.",)
    alone = answer(dataclasses.replace(board, rows=rows[:1]))
    assert alone.sentences == ("Its number is in doubt.",)


def test_no_radius_asks_for_the_size():
    board = board_of_two()
    rows = tuple(dataclasses.replace(row, median_linf=0.1 * (2 - at)) for at, row in enumerate(board.rows))
    own = answer(dataclasses.replace(board, eps=math.inf, eps_text="inf", rows=rows))
    assert own.question.startswith("How small a change (Linf) makes each of 2 models answer wrongly")
    assert (own.figure, own.about) == ("0.2", "median Linf change that breaks a, the hardest to break of 2")
    assert "The easiest to break is b: 0.1." in own.sentences


def test_bounds_alone_ask_for_a_proof():
    board = board_of_two(attacks=())
    rows = tuple(dataclasses.replace(row, certified=Share(40, 200), worst_case=None) for row in board.rows)
    own = answer(dataclasses.replace(board, rows=rows, certificates=("crown",)))
    assert "is it proven that each of 2 models stays right" in own.question
    assert (own.figure, own.about) == ("20.0 %", "proven right: a, the best of 2")


def test_few_images_are_not_ranked():
    own = answer(board_of_two(n=8))
    assert own.about == "right against everything tried: a, the first of 2, not ranked"
    assert "With fewer than 100 images, no model is ranked." in own.sentences


def test_the_best_of_those_with_a_rank_is_not_called_the_best_of_all():
    board = board_of_two()
    first, second = board.rows
    other = dataclasses.replace(second, model="c", rank=None, partial=True, worst_case=Share(190, 200))
    own = answer(dataclasses.replace(board, rows=(first, second, other)))
    assert own.about == "right against everything tried: a, the best of 2 with a rank"
    assert "Measured in part, with no rank: c." in own.sentences
    own = answer(dataclasses.replace(board, rows=(first, other)))
    assert own.about == "right against everything tried: a, the only one of 2 with a rank"


def test_attacks_that_have_not_ended_ask_for_no_proof():
    board = board_of_two(attacks=())
    rows = tuple(dataclasses.replace(row, partial=True, rank=None, worst_case=None) for row in board.rows)
    own = answer(dataclasses.replace(board, rows=rows))
    assert "does each of 2 models stay right when an attacker may change every pixel" in own.question
    assert own.figure == "-"
