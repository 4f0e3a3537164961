"""The question of a board and its answer, in plain words: the first text that a reader sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.board.board_types import Board, Row
from reports.board.shares import Share
from reports.board.size_ranks import is_by_size, median_of
from reports.text.doubt_sentences import listed_in_words
from reports.text.escape import NOTHING, number, percent
from robench.plan.data_title import images_title
from robench.record.measures.statistics import ENOUGH_TO_RANK

_POWERS = {
    "Linf": "change every pixel value by at most {eps}",
    "L2": "move the image by at most {eps} (L2, all pixel values together)",
    "L1": "change the pixel values by at most {eps} in sum",
    "L0": "change at most {eps} values of an image (L0, a pixel of three channels has three)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of one board.

    Attributes:
        question: the question.
        figure: the number that answers it, such as `56.0 %`; a dash if no number is reliable.
        about: the meaning of the number.
        sentences: other facts that a reader must know, the most important first.
    """

    question: str
    figure: str
    about: str
    sentences: tuple[str, ...]


def answer(board: Board, lost: int = 0) -> Answer:
    """Return the question of a board and its answer.

    Args:
        board: the board.
        lost: how many images no model of it survives.
    """
    present = [row for row in board.rows if not row.absent]
    contenders = [row for row in present if row.rank]
    sound = contenders or [row for row in present if not row.doubted and not row.partial]
    if board.norm and not _attacked(board):  # their order is that of the clean accuracy
        sound = sorted(sound, key=_proven, reverse=True)
    best = sound[0] if sound else None
    figure, about = _headline(board, best, contenders=len(contenders), count=len(present))
    sentences = [
        *(_about_best(board, best, sound) if best else ()),
        *(_lost(board, lost, len(present))),
        *_left_out(board, present),
    ]
    return Answer(question=question(board), figure=figure, about=about, sentences=tuple(sentences))


def question(board: Board) -> str:
    """Return the question in one sentence."""
    count = sum(not row.absent for row in board.rows)
    models = "the model" if count == 1 else f"each of {count} models"
    images = f"{board.n} images ({images_title(board.dataset, board.split)})"
    if not board.norm:
        return f"On how many of {images} is {models} right, with no attack at all?"
    if math.isinf(board.eps):
        goal = "answer one chosen wrong class" if board.goal == "targeted" else "answer wrongly"
        return f"How small a change ({board.norm}) makes {models} {goal}, image by image, on {images}?"
    power = _POWERS.get(board.norm, f"change the image by at most {{eps}} in {board.norm}")
    power = power.format(eps=board.eps_text)
    if not _attacked(board) and board.certificates:  # without either, no attack has ended yet
        return (
            f"On how many of {images} is it proven that {models} stays right, whatever an attacker does who "
            f"may {power}?"
        )
    return f"On how many of {images} does {models} stay right when an attacker may {power}?"


def _attacked(board: Board) -> bool:
    return bool(board.attacks)


def _headline(board: Board, best: Row | None, *, contenders: int, count: int) -> tuple[str, str]:
    """Return the number and its meaning; the first model with a rank need not be the best of all models."""
    if best is None:
        return NOTHING, "no number can be believed yet"
    name = best.model
    if count > 1 and best.rank is None:
        name += f", the first of {count}, not ranked"
    elif 1 < contenders < count:
        name += f", the best of {contenders} with a rank"
    elif count > 1:
        name += f", the best of {count}" if contenders == count else f", the only one of {count} with a rank"
    if not board.norm:
        return _percent(best.clean), f"right: {name}"
    if is_by_size(board):
        name = name.replace(", the best of ", ", the hardest to break of ")
        return number(median_of(best, board.norm)), f"median {board.norm} change that breaks {name}"
    if not _attacked(board):
        return _percent(best.certified), f"proven right: {name}"
    return _percent(best.worst_case), f"right against everything tried: {name}"


def _percent(share: Share | None) -> str:
    text = percent(share)
    return text if text == NOTHING else f"{text} %"


def _about_best(board: Board, best: Row, sound: Sequence[Row]) -> list[str]:
    sentences = []
    if board.norm and best.clean:
        sentences.append(f"Without an attack it is right on {_percent(best.clean)}.")
    if _attacked(board) and best.certified:
        sentences.append(f"On {_percent(best.certified)} it is proven that no attack can succeed.")
    has_comparison = _attacked(board) or not board.norm
    equal = [row.model for row in sound[1:] if has_comparison and row.rank == best.rank and best.rank]
    if equal:
        sentences.append(f"{listed_in_words(equal)} cannot be told apart from it.")
    last = sound[-1]
    if last is not best and (not has_comparison or last.rank != best.rank):
        least = f"The least is {_least(board, last)}: {last.model}."
        easiest = f"The easiest to break is {last.model}: {_least(board, last)}."
        sentences.append(easiest if is_by_size(board) else least)
    return sentences


def _proven(row: Row) -> float:
    return (row.certified.value or 0.0) if row.certified else 0.0


def _least(board: Board, row: Row) -> str:
    if not board.norm:
        return _percent(row.clean)
    if is_by_size(board):
        return number(median_of(row, board.norm))
    return _percent(row.worst_case if _attacked(board) else row.certified)


def _lost(board: Board, losses: int, count: int) -> list[str]:
    if not losses:
        return []
    where = "wrong or broken" if count == 1 else "wrong or broken on every model"
    return [f"{losses} of {board.n} images are {where}."]


def _left_out(board: Board, present: Sequence[Row]) -> list[str]:
    """Return which models have no rank, and why."""
    doubts = [row.model for row in present if row.doubted]
    partial = [row.model for row in board.rows if row.partial and row.model not in doubts]
    sentences = []
    if doubts:
        what = "Its number is" if len(doubts) == len(present) == 1 else "In doubt, with no rank:"
        names = "in doubt" if what.startswith("Its") else listed_in_words(doubts)
        sentences.append(f"{what} {names}.")
    if partial:
        sentences.append(f"Measured in part, with no rank: {listed_in_words(partial)}.")
    if 0 < board.n < ENOUGH_TO_RANK and len(present) > 1:
        sentences.append(f"With fewer than {ENOUGH_TO_RANK} images, no model is ranked.")
    return sentences
