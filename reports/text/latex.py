"""Leaderboards as LaTeX tables in the style of booktabs, to paste into a paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from reports.board.board_types import Board, Row
from reports.board.leaderboard import boards
from reports.board.shares import Share
from reports.board.size_ranks import median_of
from reports.text.board_tables import FRESH, ONE_DRAW
from reports.text.escape import NOTHING, number, visible
from reports.text.one_file import OneFile
from robench.recipe import Info
from robench.record.schema import Record

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LaTeX(OneFile):
    r"""One file, leaderboard.tex: a table per board; it needs `\usepackage{booktabs}`."""

    info: ClassVar[Info] = Info(title="LaTeX", paper="none; booktabs (Fear 2020)")
    file: ClassVar[str] = "leaderboard.tex"

    def render(self, records: Sequence[Record]) -> str:
        """Return the tables of some records."""
        head = "% Needs \\usepackage{booktabs} and a T1 font encoding. Made by robench.\n"
        return head + "\n".join(_table(board) for board in boards(records))


def escape(text: str) -> str:
    """Return text that LaTeX, inside a table or not, prints as it is."""
    return "".join(_ESCAPED.get(sign, sign) for sign in visible(text))


NORMS = {"Linf": r"$L_\infty$", "L2": "$L_2$", "L1": "$L_1$", "L0": "$L_0$"}
"""Norms as a formula."""


def _table(board: Board) -> str:
    attacks = board.attacks if board.norm else ()
    minimal = any(row.median_l2 is not None for row in board.rows)
    norm = board.norm if any(median_of(row, board.norm) is not None for row in board.rows) else "L2"
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("Model", lambda row: escape(row.model) + (r"$^\dagger$" if row.doubted or row.partial else "")),
        ("Clean", lambda row: _share(row.clean)),
        *((escape(label), _of_attack(label)) for label in attacks),
        *([("Worst case", lambda row: _share(row.worst_case))] if board.norm else []),
        *([(ONE_DRAW, lambda row: _plain(row.one_draw))] if board.random else []),
        *(
            [(f"Median {NORMS.get(norm, '$L_2$')}", lambda row: number(median_of(row, norm)))]
            if minimal
            else []
        ),
    ]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(board.title)}. Accuracy in percent with 95\,\% Wilson intervals; the worst case "
        r"is over all attacks, gradient sources and transferred images, image by image. $\dagger$: a finding "
        rf"puts the number in doubt, or the row is partial.{_partial(board)}{_fresh(board)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
        r"\toprule",
        " & ".join(title for title, _ in columns) + r" \\",
        r"\midrule",
        *(" & ".join(text(row) for _, text in columns) + r" \\" for row in board.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _partial(board: Board) -> str:
    """Return the caption's text about partial rows."""
    return "".join(f" {escape(f'{row.model}: partial{row.lacks}.')}" for row in board.rows if row.partial)


def _fresh(board: Board) -> str:
    """Return the caption's text about random models."""
    return f" {escape(FRESH)}" if board.random else ""


def _of_attack(label: str) -> Callable[[Row], str]:
    return lambda row: _plain(row.attacks.get(label))


def _plain(share: Share | None) -> str:
    return NOTHING if share is None or share.value is None else f"{100 * share.value:.1f}"


def _share(share: Share | None) -> str:
    if share is None or share.value is None:
        return NOTHING
    # In braces: LaTeX would read a cell that begins with a bracket as an option of the line break before it.
    return f"{100 * share.value:.1f} {{\\small [{100 * share.low:.1f}, {100 * share.high:.1f}]}}"
