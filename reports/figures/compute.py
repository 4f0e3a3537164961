"""Robust accuracy by forward and backward passes spent on each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reports.board.curves import IN_TURN, BoardCurves
from reports.figures.lines import draw_panels
from reports.figures.selection import draw_curves_to
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.schema import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTE = (
    "From one pass: as if each image were attacked by all attacks and gradient sources in turn and left "
    "alone once broken, white-box. Where a library does not tell when it succeeded, its end counts."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """A panel per attack, a line per model: accuracy by forwards plus backwards per image, with 95 % bands.

    Gradient sources, and in the first panel all attacks, come one after another, each on what still stands.
    """

    info: ClassVar[Info] = Info(title="Accuracy by compute", paper="Carlini et al. 2019, arXiv:1902.06705")

    def __call__(self, records: Sequence[Record], path: Path, *, board: str | None = None) -> Path:
        """Draw the board with that text in its title; see `choosing.draw_curves_to`."""
        return draw_curves_to(self.draw, records, path, board=board)

    def draw(self, curves: BoardCurves, *, note: str = NOTE) -> Figure:
        """Return the figure of one board.

        Raises:
            ConfigError: the board has no white-box attack under a finite eps, or only old records.
        """
        if not curves.passes:
            raise ConfigError(
                where=curves.board.title,
                expected="white-box attacks under a finite eps",
                got="none, or records of an earlier version, which did not note what a success had cost",
                do="Run again with --force",
            )
        panels = sorted(curves.passes, key=lambda panel: panel.attack != IN_TURN)
        xlabel = "forwards + backwards on each image"
        return draw_panels(panels, title=curves.board.title, xlabel=xlabel, note=note)
