"""Claims about one model on one board for exports: numbers with n, interval, threat and doubts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from reports.board.board_types import Board, Row
from reports.board.shares import Share
from reports.board.size_ranks import median_of

MEDIAN = "median over all images, 0 for one that was wrong before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One number about one model, with everything that a reader needs to judge it.

    Attributes:
        metric: `accuracy`, `robust_accuracy` or `median_perturbation`.
        name: the same in words.
        value: percent of all images, two decimals; of a perturbation its size, three significant digits.
        notes: threat, attacks, n, interval, doubts and version, in one line.
        arguments: the same as plain data.
    """

    metric: str
    name: str
    value: float
    notes: str
    arguments: dict[str, Any]


def clean_claim(board: Board, row: Row) -> Claim | None:
    """Return the accuracy on clean images; None if it was not measured."""
    if row.clean is None or row.clean.value is None:
        return None
    return Claim(
        metric="accuracy",
        name="Accuracy on clean images",
        value=percentage(row.clean),
        notes=_sentence(["percent of all images", _interval(row.clean), *_state(row)]),
        arguments={"images": board.n, **_ends(row.clean)},
    )


def robust_claim(board: Board, row: Row) -> Claim | None:
    """Return the headline under a board's threat: the worst case, or without a radius the median size.

    None if nothing was attacked, or without a radius if no image was broken.
    """
    if not board.norm or row.worst_case is None or row.worst_case.value is None:
        return None
    threat = board.threat.text(board.eps_text)
    attacks = f"attacks: {', '.join(row.attacks)}" if row.attacks else "images of other models only"
    arguments = {
        "norm": board.norm,
        "eps": board.eps_text,
        "goal": board.goal,
        "attacks": list(row.attacks),
        "images": board.n,
    }
    if board.eps == float("inf"):
        size = median_of(row, board.norm)
        if size is None or math.isinf(size):  # most images stand, whatever may change: there is no number
            return None
        return Claim(
            metric="median_perturbation",
            name=f"Median smallest perturbation, {board.norm}",
            value=float(f"{size:.3g}"),
            notes=_sentence([f"{MEDIAN}, {threat}", attacks, *_state(row)]),
            arguments={**arguments, "doubted": row.doubted, "findings": list(row.findings)},
        )
    kind = "percent of all images, image by image the worst over all attacks and gradient sources"
    return Claim(
        metric="robust_accuracy",
        name=f"Robust accuracy, {threat}",
        value=percentage(row.worst_case),
        notes=_sentence([kind, threat, attacks, _interval(row.worst_case), *_state(row)]),
        arguments={
            **arguments,
            **_ends(row.worst_case),
            "doubted": row.doubted,
            "findings": list(row.findings),
        },
    )


def percentage(share: Share) -> float:
    """Return a share in percent with two decimals.

    Example:
        >>> percentage(Share(2, 3))
        66.67
    """
    return round(100 * share.count / share.n, 2)


def _ends(share: Share) -> dict[str, float]:
    return {"low": round(100 * share.low, 2), "high": round(100 * share.high, 2)}


def _interval(share: Share) -> str:
    ends = _ends(share)
    return f"n {share.n}, 95 % interval {ends['low']} to {ends['high']}"


def _state(row: Row) -> list[str]:
    """Return the doubts about the number, the worst first, and the version that measured it."""
    states = []
    if row.doubted:
        states.append(f"IN DOUBT: {', '.join(row.unlifted)}")
    if row.partial:
        states.append(f"PARTIAL{row.lacks}")
    if row.lifted:
        states.append(f"met and lifted: {', '.join(row.lifted)}")
    return [*states, f"robench {version('robench')}"]


def _sentence(parts: list[str]) -> str:
    return "; ".join(parts)
