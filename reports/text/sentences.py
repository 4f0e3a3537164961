"""The meaning of numbers, in words for a reader who does not know any code."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.board.board_types import Board
from reports.board.run_folder import Run
from robench.plan.spec import TEMPLATE, WEIGHTS
from robench.plurals import counted
from robench.record.parts import RecordedThreat
from robench.record.threat_summary import listed

_STATES = {
    "running": "The run is under way, or was killed.",
    "interrupted": "The run was interrupted.",
    "part": "The run is one of several parts.",
    "failed jobs": "The run came to its end, and some of its jobs failed.",
}
"""The text of a page about a run that is not finished, by the status in `run.json`."""
_DISTANCES = {
    "Linf": "change every pixel value by at most {eps}",
    "L2": "move the image by at most {eps} in Euclidean distance, all pixel values together",
    "L1": "change the pixel values by at most {eps} in sum",
    "L0": "change at most {eps} values of an image (a pixel of three channels has three)",
}


def threat_in_words(board: Board, threat: RecordedThreat) -> str:
    """Return the attacker's capability, goal and knowledge on a board.

    Args:
        board: the board.
        threat: the threat model's spec, as its records hold it.
    """
    if not board.norm:
        return "Nothing was attacked here: the board shows accuracy on clean images only."
    return " ".join(
        part
        for part in (_power(board, threat), _goal(board.goal), _knowledge(board, threat), _budget(threat))
        if part
    )


def _power(board: Board, threat: RecordedThreat) -> str:
    low, high = _bounds(threat)
    scale = f"Pixel values run from {low:g} to {high:g} and stay there."
    if math.isinf(board.eps):
        return (
            "The attacker may change an image as far as it takes, and looks for a small change in "
            f"{board.norm}. {scale} Rows are ordered by the median size of that change over all images, none "
            "where the answer was wrong before. A robust accuracy above zero says that the attack failed, "
            "not that the model is robust."
        )
    text = _DISTANCES.get(board.norm, f"move the image by at most {{eps}} in the distance {board.norm}")
    return f"The attacker may {text.format(eps=board.eps_text)}. {scale}"


def _bounds(threat: RecordedThreat) -> tuple[float, float]:
    return threat.bounds or (0.0, 1.0)


def _goal(goal: str) -> str:
    if goal == "untargeted":
        return "Any wrong class counts as success."
    if goal == "targeted":
        return "Only one chosen wrong class counts as success; whatever else is answered counts as robust."
    return f"The goal is: {goal}." if goal else ""


def _knowledge(board: Board, threat: RecordedThreat) -> str:
    knowledge = threat.knowledge
    if knowledge is None:
        return ""
    parts = board.known if board.known is not None else (WEIGHTS,)  # without graph heads no template
    graph = any(row.head not in {"", "linear"} for row in board.rows)
    sentences = [f"The attacker knows {listed(parts)}."]
    if knowledge and graph and TEMPLATE not in knowledge:
        sentences.append(
            "Attacks that would need the template of a graph head are run on a stand-in: the same network "
            "with another template."
        )
    return " ".join(sentences)


def _budget(threat: RecordedThreat) -> str:
    budget = threat.budget
    return (
        ""
        if budget is None
        else f"Each attack, through each gradient source, may spend {budget} passes per image."
    )


def summary(run: Run, boards: Sequence[Board]) -> str:
    """Return the run in one sentence."""
    if not boards:
        return "No unit of this run is finished, so there is nothing to rank."
    models = {(row.fingerprint, row.model) for board in boards for row in board.rows}
    threat_boards = [board for board in boards if board.norm]
    images = max(board.n for board in boards)
    parts = [_counted(len(models), "model"), _counted(len(threat_boards), "threat model")]
    parts += [
        _counted(len({a for b in threat_boards for a in b.attacks}), "attack"),
        f"{counted(images, 'image')}",
    ]
    status = str(run.facts.get("status") or "")
    return " ".join(
        [f"{', '.join(parts)}.", *([_STATES.get(status, f"The run is {status}.")] * bool(status))]
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
