"""Robust accuracy over eps as a figure: a line per model, points at the radii of the boards, bounds too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reports.board.curves import Family, Radii
from reports.figures.lines import (
    draw_lines,
    frame,
    grid,
    legend,
    remark,
)
from reports.figures.palette import Look, look_of
from reports.figures.selection import draw_family_to
from reports.figures.style import MARKERS, NARROW, styled
from robench.recipe import Info
from robench.record.schema import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEARLY_ALL = 0.99
"""The axis ends where this share of the broken images is broken: a few far images would squeeze the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eps:
    """A line per model: robust accuracy over eps, with 95 % bands; points at the radii of the boards.

    The line is the exact step function of the smallest perturbations found, where an attack looked for such;
    without one the points are joined by straight lines, for the eye only. It never rises. Dotted, from below:
    what bounds certify at the radii of the boards.
    """

    info: ClassVar[Info] = Info(title="Accuracy by eps", paper="Carlini et al. 2019, arXiv:1902.06705")
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
    """Draw the points of one model from its clean accuracy on; joined if an exact line is not known."""
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
    """Shade the share that is neither certified nor broken, between the two curves of one model."""
    both = [(mark.eps, mark.certified, mark.robust) for mark in one.marks if mark.certified and mark.robust]
    if look.lit(one.model) and len(both) > 1:
        low, high = (
            [100 * (share.value or 0.0) for share in side] for side in list(zip(*both, strict=True))[1:]
        )
        axes.fill_between(
            [eps for eps, *_ in both], low, high, color=look.colour(one.model), alpha=0.1, linewidth=0
        )


def _certified(axes: Axes, one: Radii, look: Look) -> None:
    """Draw the certified accuracy of one model: a bound at each radius, joined only for readability."""
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
