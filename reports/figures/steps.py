"""Robust accuracy by the number of points an attack may try: steps, or queries."""

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
    "From one pass: the share of images this attack had not broken after so many points, white-box. It is "
    "not the accuracy under an attack planned for fewer steps, whose step size would be another."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A panel per attack, a line per model: accuracy by points tried, from one pass, with 95 % bands.

    Worst over gradient sources, each of which may try so many. k steps from the clean image ask about
    k + 1 points; the last one is asked about by the judge.
    """

    info: ClassVar[Info] = Info(title="Accuracy by steps", paper="Carlini et al. 2019, arXiv:1902.06705")

    def __call__(self, records: Sequence[Record], path: Path, *, board: str | None = None) -> Path:
        """Draw the board with that text in its title; see `choosing.draw_curves_to`."""
        return draw_curves_to(self.draw, records, path, board=board)

    def draw(self, curves: BoardCurves, *, note: str = NOTE) -> Figure:
        """Return the figure of one board.

        Raises:
            ConfigError: no attack of the board tells when it broke an image.
        """
        if not curves.points:
            raise ConfigError(
                where=curves.board.title,
                expected="white-box attacks under a finite eps that tell when they broke an image",
                got="none: attacks of libraries, or records of an earlier version",
            )
        return draw_panels(curves.points, title=curves.board.title, xlabel="points tried", note=note)
