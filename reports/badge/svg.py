"""The plugin: makes a badge from records; the badge never claims more than its row."""

from __future__ import annotations

import math
import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from reports.board.board_types import Board, Row
from reports.board.leaderboard import boards
from reports.board.shares import Share
from reports.board.size_ranks import median_of
from reports.text.escape import NOTHING, number, percent, visible
from reports.text.one_file import OneFile
from robench.errors import ConfigError, nearest
from robench.recipe import Info
from robench.record.schema import Record

PADDING = 12
NARROW, WIDE = 6.1, 11.0
"""Approximate widths of letters of Verdana at 11 px, to fit the text into the box."""

MOST_NAMES = 20
"""Names of models that an error lists; the rest is counted."""

LONGEST = 40
"""Letters of a name on a badge; a longer name is cut, and complete in the title."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The texts of a badge.

    Attributes:
        label: name of the number.
        text: the number with its interval, threat, data set and n; doubts first.
        sentence: the same for a screen reader, with names in full.
        sound: whether the number is not in doubt.
    """

    label: str
    text: str
    sentence: str
    sound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge(OneFile):
    """One SVG, badge.svg: a model's headline with interval, threat, data set and n; doubts stand before it.

    Attributes:
        model: name of the row; empty if there is only one.
        board: text in the title of its board; empty if only one board is possible.
    """

    info: ClassVar[Info] = Info(title="badge", paper="none; SVG 2")
    file: ClassVar[str] = "badge.svg"
    model: str = ""
    board: str = ""

    def render(self, records: Sequence[Record]) -> str:
        """Return the badge of some records.

        Raises:
            ConfigError: no row fits, or several; names them.
        """
        return _drawn(claim(*one_row(boards(records), model=self.model, board=self.board)))


def one_row(boards: Sequence[Board], *, model: str, board: str) -> tuple[Board, Row]:
    """Return the only row that fits.

    Args:
        boards: where to look.
        model: name of the row; empty if there is only one.
        board: text in the title of its board; empty if only one board fits.

    Raises:
        ConfigError: no board or several, no row or several; lists the existing ones.
    """
    fitting = [one for one in boards if board in one.title]
    if len(fitting) > 1 and not board:  # prefer the only attacked board to boards of clean accuracy
        fitting = [one for one in fitting if one.norm and one.eps != float("inf")] or fitting
    if len(fitting) != 1:
        titles = "; ".join(repr(one.title) for one in boards) or "there is none"
        got = f"{board!r}, which fits {len(fitting) or 'none'} of them" if board else "no text"
        raise ConfigError(
            where="--board",
            expected=f"text in the title of one board: {titles}",
            got=got if boards else "nothing that was measured",
            do="Name one of them by text of its title: --board TEXT" if boards else "Run `robench run` first",
        )
    rows = [row for row in fitting[0].rows if model in {"", row.model}]
    if len(rows) != 1:
        raise _no_one_model(fitting[0], model)
    return fitting[0], rows[0]


def _no_one_model(board: Board, model: str) -> ConfigError:
    """Return an error that lists the rows and explains how to name one."""
    names = [row.model for row in board.rows]
    more = [f"{len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    excerpt = ", ".join([*map(repr, names[:MOST_NAMES]), *more]) or "there is none"
    same = [name for name in names if name.startswith(f"{model} [")]
    if model and same:  # two models of one name: each is called with its seed or fingerprint
        do = f"Name one of those called so with what stands behind it: --model {shlex.quote(same[0])}"
    else:
        close = nearest(model, names) if model else ""
        example = shlex.quote(names[0]) if names else "NAME"
        do = close if close.endswith("?") else f"Name one of them, such as --model {example}"
    got = repr(model) if model else "no name"
    return ConfigError(where="--model", expected=f"one model of {board.title!r}: {excerpt}", got=got, do=do)


def claim(board: Board, row: Row) -> Claim:
    """Return the texts of a badge for a row.

    Under a finite radius the number is the worst case; under an infinite radius the median distance, because
    every image breaks at some distance; without attack the clean accuracy.
    """
    doubts = [*(["in doubt"] if row.doubted else []), *(["partial"] if row.partial else []), *row.unlifted]
    codes = [f"partial{row.lacks}" if doubt == "partial" else doubt for doubt in doubts]
    label, value = _measured(board, row)
    threat = f"{board.threat.power(board.eps_text)}, {board.goal}" if board.norm else "no attack"
    goal = "" if board.goal in {"", "untargeted"} else f" {_short(board.goal)}"
    power = board.threat.power(_short(board.eps_text))
    short = f"{power}{goal}" if board.norm else "no attack"
    attacks = f", {len(board.attacks)} attacks" if len(board.attacks) > 1 else ""
    text = f"{value}, {short}, {_short(board.dataset)}, n {row.n}"
    sentence = (
        f"{label}, {visible(row.model)} on {visible(board.dataset)} {visible(board.split)}: {value}, "
        f"{visible(threat)}{attacks}, n {row.n}"
    )
    if doubts:
        text, sentence = f"{_short(doubts[0])}: {text}", f"{sentence}. {', '.join(map(visible, codes))}"
    return Claim(label=label, text=text, sentence=sentence, sound=not doubts)


def _measured(board: Board, row: Row) -> tuple[str, str]:
    if not board.norm:
        return "clean accuracy", _interval(row.clean)
    if math.isinf(board.eps):
        norm, median, rest = board.norm, median_of(row, board.norm), percent(row.worst_case)
        if median is None and norm not in {"L2", "Linf"}:  # a record of an earlier version, without that size
            norm, median = "Linf", row.median_linf
        of_broken = " of those broken" if row.median_size is None else ""
        return f"median {norm}", f"{number(median)}{of_broken}, {rest} % unbroken"
    return "robust accuracy", _interval(row.worst_case)


def _interval(share: Share | None) -> str:
    if share is None or share.value is None:
        return NOTHING
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _short(name: str) -> str:
    text = visible(name)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _drawn(texts: Claim) -> str:
    split = _width(texts.label)
    text: str = _template().render(claim=texts, split=split, width=split + _width(texts.text))
    return text


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(sign) in {"W", "F"} for sign in text)
    return round(PADDING + NARROW * (len(text) - wide) + WIDE * wide)


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("reports.badge", ".")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("badge.svg.jinja")
