"""Robust accuracy by the number of fresh starts an attack may make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reports.board.curves import BoardCurves
from reports.figures.lines import draw_panels
from reports.figures.selection import draw_curves_to
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.schema import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTE = (
    "From one pass, white-box. A targeted attack starts afresh for every class it aims at, a cascade for "
    "every attack in it. A curve that still falls at its end asks for more."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """A panel per attack with several tries, a line per model: accuracy by fresh starts, with 95 % bands."""

    info: ClassVar[Info] = Info(title="Accuracy by restarts", paper="Carlini et al. 2019, arXiv:1902.06705")

    def __call__(self, records: Sequence[Record], path: Path, *, board: str | None = None) -> Path:
        """Draw the board with that text in its title; see `choosing.draw_curves_to`."""
        return draw_curves_to(self.draw, records, path, board=board)

    def draw(self, curves: BoardCurves, *, note: str = NOTE) -> Figure:
        """Return the figure of one board.

        Raises:
            ConfigError: no attack of the board starts afresh.
        """
        if not curves.tries:
            raise ConfigError(
                where=curves.board.title,
                expected="an attack that starts afresh, under a finite eps",
                got="none",
                do="Give an attack `restarts`, such as {pgd: {restarts: 5}}",
            )
        return draw_panels(curves.tries, title=curves.board.title, xlabel="fresh starts", note=note)
