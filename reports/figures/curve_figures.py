"""Accuracy curves as figures: over steps, compute and restarts, a panel for each attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reports.board.curves import IN_TURN, BoardCurves
from reports.figures.lines import (
    MOST_PANELS,
    arranged,
    draw_panel,
    draw_panels,
)
from reports.figures.palette import Look, look_of
from reports.figures.selection import draw_curves_to
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.schema import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_CARLINI = "Carlini et al. 2019, arXiv:1902.06705"


@dataclass(frozen=True, slots=True)
class _Panels:
    """The content of a figure with a panel per attack.

    Attributes:
        field: field of `BoardCurves`.
        xlabel: label of the x axis.
        expected: what a board must have.
        got: what the board has instead, if there is no panel.
        do: the remedy, empty for none.
    """

    field: str
    xlabel: str
    expected: str
    got: str
    do: str = ""


_PANELS = {
    "steps": _Panels(
        "points",
        "points tried",
        "white-box attacks under a finite eps that tell when they broke an image",
        "none: attacks of libraries, or records of an earlier version",
    ),
    "compute": _Panels(
        "passes",
        "forwards + backwards on each image",
        "white-box attacks under a finite eps",
        "none, or records of an earlier version, which did not note what a success had cost",
        "Run again with --force",
    ),
    "restarts": _Panels(
        "tries",
        "fresh starts",
        "an attack that starts afresh, under a finite eps",
        "none",
        "Give an attack `restarts`, such as {pgd: {restarts: 5}}",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _PanelFigure:
    """A panel per attack of one board, a line per model."""

    name: ClassVar[str]
    note: ClassVar[str]

    def __call__(self, records: Sequence[Record], path: Path, *, board: str | None = None) -> Path:
        """Draw the board with that text in its title; see `selection.draw_curves_to`."""
        return draw_curves_to(self.draw, records, path, board=board)

    def draw(self, curves: BoardCurves, *, note: str | None = None) -> Figure:
        """Return the figure of one board.

        Args:
            curves: of the board.
            note: a remark below the figure; by default what its curves mean.

        Raises:
            ConfigError: the board has no such curve.
        """
        shows = _PANELS[self.name]
        panels = getattr(curves, shows.field)
        if not panels:
            where = curves.board.title
            raise ConfigError(where=where, expected=shows.expected, got=shows.got, do=shows.do)
        panels = sorted(panels, key=lambda panel: panel.attack != IN_TURN)
        text = self.note if note is None else note
        doubts = [row.model for row in curves.board.rows if row.doubted]
        look = look_of([row.model for row in curves.board.rows], doubted=doubts)
        if len({line.model for panel in panels for line in panel.lines}) == 1:
            look = look_of([panel.attack for panel in panels])
        return draw_panels(panels, title=curves.board.title, xlabel=shows.xlabel, note=text, look=look)

    def parts(self, curves: BoardCurves, look: Look) -> list[tuple[Figure, list[str]]]:
        """Return every panel as a separate figure, with the names of its lines; empty without panels.

        Args:
            curves: of the board.
            look: of its models.
        """
        panels = sorted(getattr(curves, _PANELS[self.name].field), key=lambda panel: panel.attack != IN_TURN)
        whole = arranged(panels)[:MOST_PANELS] if panels else []
        end = max((curve.end for _, lines in whole for _, curve in lines), default=0.0)
        xlabel = _PANELS[self.name].xlabel
        return [
            (draw_panel(heading, lines, xlabel=xlabel, look=look, end=end), [name for name, _ in lines])
            for heading, lines in whole
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps(_PanelFigure):
    """A panel per attack, a line per model: accuracy by points tried, from one pass, with 95 % bands.

    Worst over gradient sources, each of which may try so many. k steps from the clean image ask about
    k + 1 points; the last one is asked about by the judge.
    """

    info: ClassVar[Info] = Info(title="Accuracy by steps", paper=_CARLINI)
    name: ClassVar[str] = "steps"
    note: ClassVar[str] = (
        "From one pass: the share of images this attack had not broken after so many points, white-box. It "
        "is not the accuracy under an attack planned for fewer steps, whose step size would be another."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute(_PanelFigure):
    """A panel per attack, a line per model: accuracy by forwards plus backwards per image, with 95 % bands.

    Gradient sources, and in the first panel all attacks, come one after another, each on what still stands.
    """

    info: ClassVar[Info] = Info(title="Accuracy by compute", paper=_CARLINI)
    name: ClassVar[str] = "compute"
    note: ClassVar[str] = (
        "From one pass: as if each image were attacked by all attacks and gradient sources in turn and left "
        "alone once broken, white-box. Where a library does not tell when it succeeded, its end counts."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts(_PanelFigure):
    """A panel per attack with several tries, a line per model: accuracy by fresh starts, with 95 % bands."""

    info: ClassVar[Info] = Info(title="Accuracy by restarts", paper=_CARLINI)
    name: ClassVar[str] = "restarts"
    note: ClassVar[str] = (
        "From one pass, white-box. A targeted attack starts afresh for every class it aims at, a cascade for "
        "every attack in it. A curve that still falls at its end asks for more."
    )
