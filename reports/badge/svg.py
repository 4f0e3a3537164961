"""The plugin: records to a badge."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from reports.badge.claim import Claim, claim
from reports.board.choosing import one_row
from reports.board.leaderboard import boards
from robench.recipe import Info
from robench.record.files import write_atomic
from robench.record.schema import Record

PADDING = 12
NARROW, WIDE = 6.1, 11.0
"""Widths of letters of Verdana at 11 px, near enough: the text is fitted to the box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """One SVG, badge.svg: a model's headline with interval, threat, data set and n; doubts stand before it.

    Attributes:
        model: name of the row; empty if there is only one.
        board: text in the title of its board; empty if only one can be meant.
    """

    info: ClassVar[Info] = Info(title="badge", paper="none; SVG 2")
    model: str = ""
    board: str = ""

    def render(self, records: Sequence[Record]) -> str:
        """Return the badge of some records.

        Raises:
            ConfigError: no row fits, or several; names them.
        """
        return _drawn(claim(*one_row(boards(records), model=self.model, board=self.board)))

    def __call__(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write the badge and return its path.

        Raises:
            ConfigError: as `render`.
            StorageError: the disk refused; an older file is intact.
        """
        path = folder / "badge.svg"
        write_atomic(path, self.render(records))
        return [path]


def _drawn(said: Claim) -> str:
    split = _width(said.label)
    text: str = _template().render(claim=said, split=split, width=split + _width(said.text))
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
