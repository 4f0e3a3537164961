"""Accuracy curves as figures: over steps, compute and restarts by attack, over radii by model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reports.board.curves import IN_TURN, BoardCurves, Family, Radii
from reports.figures.labels import FOLDED, folded
from reports.figures.lines import (
    MOST_PANELS,
    arranged,
    draw_lines,
    draw_panel,
    draw_panels,
    frame,
    grid,
    legend,
    remark,
    shown_line,
)
from reports.figures.palette import Look, look_of
from reports.figures.selection import draw_curves_to, draw_family_to
from reports.figures.style import LONGEST, MARKERS, NARROW, blank, shown, styled
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.curves import Curve
from robench.record.schema import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEARLY_ALL = 0.99
"""The axis ends where this share of what breaks is broken: a few far images would squeeze the rest."""

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_ROWS = 50
_CARLINI = "Carlini et al. 2019, arXiv:1902.06705"


@dataclass(frozen=True, slots=True)
class _Panels:
    """What a figure with a panel per attack shows.

    Attributes:
        field: of `BoardCurves`.
        xlabel: what x is.
        expected: what a board must have.
        got: what it has instead where there is no panel.
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
        """Return every panel as a figure of its own, with the names of its lines; none where there is none.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Eps:
    """A line per model: robust accuracy over eps, with 95 % bands; points at the radii of the boards.

    The line is the exact step function of the smallest perturbations found, where an attack looked for such;
    without one the points are joined by straight lines, for the eye only. It never rises. Dotted, from below:
    what bounds certify at the radii of the boards.
    """

    info: ClassVar[Info] = Info(title="Accuracy by eps", paper=_CARLINI)
    note: ClassVar[str] = (
        "Worst case over all attacks, sources and radii, image by image: what breaks an image at one eps "
        "breaks it at every larger one. Lines are exact for the perturbations found; a stronger attack "
        "lowers them. Dotted, where there are bounds: certified accuracy; the truth lies between."
    )

    def __call__(self, records: Sequence[Record], path: Path, *, board: str | None = None) -> Path:
        """Draw the boards with that text in their title; see `selection.draw_family_to`."""
        return draw_family_to(self.draw, records, path, board=board)

    def draw(self, family: Family, *, note: str | None = None, look: Look | None = None) -> Figure:
        """Return the figure of boards that differ in the radius only.

        Args:
            family: the boards.
            note: a remark below the figure; by default what its lines mean.
            look: of the models; by default the first ones have a colour each.
        """
        names = [one.model for one in family.models]
        look = (look or look_of(names)).of(
            one.model for one in family.models if one.doubted or any(mark.doubted for mark in one.marks)
        )
        right = max(map(_right, family.models)) or 1.0
        with styled():
            figure, (axes,) = grid(
                1, "" if look.narrow else family.title, (NARROW, 3.4) if look.narrow else None
            )
            for one in family.models:
                if one.exact:
                    line_look = look.of([one.model] if one.doubted else [])
                    draw_lines(axes, [(one.model, one.exact.up_to(right))], line_look)
            for place, one in reversed(list(enumerate(family.models))):
                _between(axes, one, look)
                _marks(axes, one, place, look)
                _certified(axes, one, look)
            if not any(one.exact for one in family.models):
                texts = {0.0: "0", **{m.eps: m.eps_text for one in family.models for m in one.marks}}
                axes.set_xticks(sorted(texts), [texts[eps] for eps in sorted(texts)])
            axes.set_xlim(0, 1.03 * right)
            has_attack = any(mark.robust for one in family.models for mark in one.marks) or any(
                one.exact for one in family.models
            )
            frame(
                figure,
                [axes],
                f"eps, {family.norm}",
                "robust accuracy, %" if has_attack else "certified accuracy, %",
            )
            if not look.narrow:
                markers = MARKERS if any(one.marks for one in family.models) else ()
                legend(figure, names, look, markers=markers)
            remark(figure, self.note if note is None else note)
        return figure


def _right(one: Radii) -> float:
    """Return how far to the right a model's line is of interest."""
    far = max((mark.eps for mark in one.marks), default=0.0)
    if one.exact:
        share = (one.exact.n - one.exact.robust[-1]) / one.exact.n
        far = max(far, one.exact.reached(NEARLY_ALL * share) or 0.0)
    return far


def _marks(axes: Axes, one: Radii, place: int, look: Look) -> None:
    """Draw the points of one model, joined if there is no exact line, from its clean accuracy on."""
    in_colour, colour = look.lit(one.model), look.colour(one.model)
    marks = [(mark, mark.robust) for mark in one.marks if mark.robust]
    if one.exact is None and marks:
        x = [0.0, *(mark.eps for mark, _ in marks)]
        y = [100 * one.clean, *(100 * (robust.value or 0.0) for _, robust in marks)]
        wide, dense = (1.2, 1.0) if in_colour else (0.6, 0.7)
        axes.plot(x, y, look.line(one.model), color=colour, linewidth=wide, alpha=dense)
    for mark, robust in marks if in_colour else ():
        at = 100 * (robust.value or 0.0)
        axes.errorbar([mark.eps], [at], yerr=[[at - 100 * robust.low], [100 * robust.high - at]],
                      fmt=MARKERS[look.places[one.model] % len(MARKERS)], color=colour, markersize=4.5,
                      markerfacecolor=look.of([one.model] if mark.doubted else []).face(one.model),
                      elinewidth=0.9, capsize=2, clip_on=False, zorder=3)  # fmt: skip


def _between(axes: Axes, one: Radii, look: Look) -> None:
    """Shade what is neither certified nor broken, between the two sides of one model."""
    both = [(mark.eps, mark.certified, mark.robust) for mark in one.marks if mark.certified and mark.robust]
    if look.lit(one.model) and len(both) > 1:
        low, high = (
            [100 * (share.value or 0.0) for share in side] for side in list(zip(*both, strict=True))[1:]
        )
        axes.fill_between(
            [eps for eps, *_ in both], low, high, color=look.colour(one.model), alpha=0.1, linewidth=0
        )


def _certified(axes: Axes, one: Radii, look: Look) -> None:
    """Draw what is certified of one model: a bound at each radius, joined for the eye only."""
    bounds = [(mark.eps, mark.certified) for mark in one.marks if mark.certified]
    if not bounds:
        return
    in_colour = look.lit(one.model)
    y = [100 * (share.value or 0.0) for _, share in bounds]
    axes.plot(
        [eps for eps, _ in bounds],
        y,
        color=look.colour(one.model),
        linestyle=":",
        linewidth=1.5 if in_colour else 0.7,
        marker="^" if in_colour else "",
        markersize=4.0,
        clip_on=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """A row per model: median, quartiles and 5 to 95 % of the smallest perturbations that break its images.

    The quartiles are the radii at which its robust accuracy falls to 75, 50 and 25 %.
    """

    info: ClassVar[Info] = Info(
        title="Smallest perturbations", paper="Moosavi-Dezfooli et al. 2016, arXiv:1511.04599"
    )
    note: ClassVar[str] = (
        "Of all images, the smallest perturbation found by any attack or source: median (point), quartiles "
        "(bar), 5 to 95 % (line). An image wrong from the start has size 0; an arrow: nothing broke the rest."
    )

    def __call__(self, records: Sequence[Record], path: Path, *, board: str | None = None) -> Path:
        """Draw the boards with that text in their title; see `selection.draw_family_to`."""
        return draw_family_to(self.draw, records, path, board=board)

    def draw(self, family: Family, *, note: str | None = None, look: Look | None = None) -> Figure:
        """Return the figure of boards that differ in the radius only.

        Args:
            family: the boards.
            note: a remark below the figure; by default what its marks mean.
            look: of the models; by default the first ones have a colour each.

        Raises:
            ConfigError: no attack looked for small perturbations.
        """
        look = (look or look_of([one.model for one in family.models])).of(
            one.model for one in family.models if one.doubted
        )
        every = [(one.model, one.exact) for one in family.models if one.exact]
        if not every:
            raise ConfigError(
                where=family.title,
                expected="an attack that looks for the smallest perturbation",
                got="none",
                do="Add a threat with `eps: inf` and such an attack: cw, ddn, fmn or fab",
            )
        rows = every[:MOST_ROWS]
        ends = [curve.reached(share) or 0.0 for _, curve in rows for share in SHARES]
        right = 1.06 * max(*ends, *(c.end for _, c in rows if math.isfinite(c.end))) or 1.0
        with styled():
            figure, axes = blank(NARROW if look.narrow else 7.6, 0.26 * len(rows) + 1.2)
            for place, (name, curve) in enumerate(rows):
                _row(axes, curve, place, right, look.colour(name), look.face(name))
            width = FOLDED if look.narrow else LONGEST
            axes.set_yticks(range(len(rows)), [folded(shown(name), width) for name, _ in rows])
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.set_xlim(0, right)
            axes.grid(visible=False, axis="y")
            axes.set_xlabel(f"smallest perturbation found, {family.norm}")
            if not look.narrow:
                figure.suptitle(shown_line(family.title), x=0.01, ha="left", fontsize=10, fontweight="bold")
            rest = (
                f"{len(every) - len(rows)} more models are in curves.csv. " if len(every) > len(rows) else ""
            )
            remark(figure, rest + (self.note if note is None else note))
        return figure


def _row(axes: Axes, curve: Curve, place: int, right: float, colour: str, face: str) -> None:
    low, first, middle, third, high = (curve.reached(share) for share in SHARES)
    for start, end, width in ((low, high, 1.0), (first, third, 5.0)):
        if start is not None:
            stop = right if end is None else end
            (line,) = axes.plot([start, stop], [place, place], color=colour, linewidth=width)
            line.set(alpha=0.45 if width > 1 else 1.0, solid_capstyle="butt")
    if high is None and low is not None:
        axes.plot([right], [place], marker=">", color=colour, markersize=5, clip_on=False)
    if middle is not None:
        axes.plot([middle], [place], marker="o", color=colour, markerfacecolor=face, markersize=6, zorder=3)
