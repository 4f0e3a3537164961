"""What a badge says: never more than its row."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reports.board.boards import Board, Row, Share
from reports.text.escape import NOTHING, number, percent, visible

LONGEST = 40
"""Letters of a name that a badge shows; a longer one is cut, and whole in the title."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The texts of a badge.

    Attributes:
        label: what the number is.
        text: the number with its interval, threat, data set and n; doubts first.
        sentence: the same for a screen reader, with names in full.
        sound: whether nothing puts the number in doubt.
    """

    label: str
    text: str
    sentence: str
    sound: bool


def claim(board: Board, row: Row) -> Claim:
    """Return what a badge may say of a row.

    Under a finite radius that is the worst case; under an infinite one the median distance, for every image
    falls sooner or later; without attack the clean accuracy.
    """
    doubts = [*(["in doubt"] if row.doubted else []), *(["partial"] if row.partial else []), *row.standing]
    label, value = _measured(board, row)
    threat = f"{board.norm} {board.eps_text}, {board.goal}" if board.norm else "no attack"
    goal = "" if board.goal in {"", "untargeted"} else f" {_short(board.goal)}"
    short = f"{board.norm} {_short(board.eps_text)}{goal}" if board.norm else "no attack"
    attacks = f", {len(board.attacks)} attacks" if len(board.attacks) > 1 else ""
    text = f"{value}, {short}, {_short(board.dataset)}, n {row.n}"
    sentence = (
        f"{label}, {visible(row.model)} on {visible(board.dataset)} {visible(board.split)}: {value}, "
        f"{visible(threat)}{attacks}, n {row.n}"
    )
    if doubts:
        shown = ", ".join(map(visible, doubts))
        text, sentence = f"{_short(doubts[0])}: {text}", f"{sentence}. {shown}"
    return Claim(label=label, text=text, sentence=sentence, sound=not doubts)


def _measured(board: Board, row: Row) -> tuple[str, str]:
    if not board.norm:
        return "clean accuracy", _interval(row.clean)
    if math.isinf(board.eps):
        # Sizes are kept in L2 and Linf; a median under another norm is that in Linf, and is called so.
        norm, median = ("L2", row.median_l2) if board.norm == "L2" else ("Linf", row.median_linf)
        left = percent(row.worst_case)
        return f"median {norm}", f"{number(median)} of those broken, {left} % unbroken"
    return "robust accuracy", _interval(row.worst_case)


def _interval(share: Share | None) -> str:
    if share is None or share.value is None:
        return NOTHING
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _short(name: str) -> str:
    shown = visible(name)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 3] + "..."
