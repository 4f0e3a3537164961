"""The limits of a model's numbers, in sentences, from its measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.board.board_types import Board, Row
from robench.record.measures.statistics import ENOUGH_TO_RANK
from robench.record.parts import RecordedTarget

Result = tuple[Board, Row]
_JOINT = {"joint", "batch"}


def limits(target: RecordedTarget, results: Sequence[Result], seeds: Sequence[int]) -> list[str]:
    """Return the limits of a model's numbers, the gravest first.

    Args:
        target: the model in the records.
        results: every board it is on, with its row.
        seeds: of the runs.
    """
    sentences = [*_doubts(results), *_measured(results)]
    if results and max(row.n for _, row in results) < ENOUGH_TO_RANK:
        sentences.append(f"Fewer than {ENOUGH_TO_RANK} images were judged: too few to rank it.")
    sentences.append(
        f"One set of weights, seed {', '.join(map(str, seeds))}: another training of the same kind may "
        "differ by more than the intervals, which are over images only."
    )
    sentences += _graph(target)
    sentences.append(
        "Not for use where an error does harm, on images from elsewhere than the data set named, or scaled "
        "otherwise than to [0, 1]: nothing of that was measured."
    )
    return sentences


def _doubts(results: Sequence[Result]) -> list[str]:
    sentences = []
    for board, row in results:
        if row.doubted:
            codes = ", ".join(row.unlifted)
            sentences.append(f"Do not quote the number of {board.title}: it is in doubt ({codes}).")
        if row.partial:
            sentences.append(f"The row of {board.title} is partial: units are missing{row.lacks}.")
    return sentences


def _measured(results: Sequence[Result]) -> list[str]:
    boards = [board for board, _ in results if board.norm]
    if not boards:
        return ["It was not attacked: nothing is known of its robustness."]
    threats = "; ".join(
        f"{board.threat.power(board.eps_text)}, {board.goal}: {', '.join(board.attacks)}" for board in boards
    )
    sentences = [
        f"Robust means: right against these attacks and no others ({threats}). It is an upper bound, no "
        "proof; a stronger attack can only lower it, and other norms or larger radii were not measured."
    ]
    if any(math.isinf(board.eps) for board in boards):
        sentences.append(
            "Under an infinite radius every image falls sooner or later: there the median distance counts, "
            "not the share that is left."
        )
    return sentences


def _graph(target: RecordedTarget) -> list[str]:
    sentences = []
    if target.coupling in _JOINT:
        sentences.append("Its answer to an image depends on the images that are judged in the same batch.")
    if "template" in target.details:
        sentences.append(
            "It needs its template, images of the training set with their labels, wherever it runs: whoever "
            "has the model has those images."
        )
    return sentences
