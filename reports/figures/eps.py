"""Robust accuracy by radius: exact where attacks looked for small perturbations, else at boards' radii."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reports.board.curves import Family, Radii
from reports.figures.lines import GREY, LIT, draw_lines, frame, grid, legend, remark
from reports.figures.selection import draw_family_to
from reports.figures.style import COLOURS, MARKERS, styled
from robench.recipe import Info
from robench.record.schema import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOTE = (
    "Worst case over all attacks, sources and radii, image by image: what breaks an image at one eps breaks "
    "it at every larger one. Lines are exact for the perturbations found; a stronger attack lowers them."
)
NEARLY_ALL = 0.99
"""The axis ends where this share of what breaks is broken: a few far images would squeeze the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eps:
    """A line per model: robust accuracy over eps, with 95 % bands; points at the radii of the boards.

    The line is the exact step function of the smallest perturbations found, where an attack looked for such;
    without one the points are joined by straight lines, for the eye only. It never rises.
    """

    info: ClassVar[Info] = Info(title="Accuracy by eps", paper="Carlini et al. 2019, arXiv:1902.06705")

    def __call__(self, records: Sequence[Record], path: Path, *, board: str | None = None) -> Path:
        """Draw the boards with that text in their title; see `choosing.draw_family_to`."""
        return draw_family_to(self.draw, records, path, board=board)

    def draw(self, family: Family, *, note: str = NOTE) -> Figure:
        """Return the figure of boards that differ in the radius only."""
        names = [one.model for one in family.models]
        right = max(map(_right, family.models)) or 1.0
        with styled():
            figure, (axes,) = grid(1, family.title)
            for one in family.models:
                if one.exact:
                    draw_lines(axes, [(one.model, one.exact.up_to(right))], names)
            for place, one in reversed(list(enumerate(family.models))):
                _marks(axes, one, place)
            if not any(one.exact for one in family.models):
                texts = {0.0: "0", **{m.eps: m.eps_text for one in family.models for m in one.marks}}
                axes.set_xticks(sorted(texts), [texts[eps] for eps in sorted(texts)])
            axes.set_xlim(0, 1.03 * right)
            frame(figure, [axes], f"eps, {family.norm}")
            legend(figure, names, markers=MARKERS if any(one.marks for one in family.models) else ())
            remark(figure, note)
        return figure


def _right(one: Radii) -> float:
    """Return how far to the right a model's line is of interest."""
    far = max((mark.eps for mark in one.marks), default=0.0)
    if one.exact:
        broken = (one.exact.n - one.exact.robust[-1]) / one.exact.n
        far = max(far, one.exact.reached(NEARLY_ALL * broken) or 0.0)
    return far


def _marks(axes: Axes, one: Radii, place: int) -> None:
    """Draw the points of one model, joined if there is no exact line, from its clean accuracy on."""
    lit = place < LIT
    colour = COLOURS[place] if lit else GREY
    x = [mark.eps for mark in one.marks]
    y = [100 * (mark.robust.value or 0.0) for mark in one.marks]
    if one.exact is None:
        axes.plot([0.0, *x], [100 * one.clean, *y], color=colour, linewidth=1.2 if lit else 0.6,
                  alpha=1.0 if lit else 0.7)  # fmt: skip
    if lit and x:
        low = [at - 100 * mark.robust.low for at, mark in zip(y, one.marks, strict=True)]
        high = [100 * mark.robust.high - at for at, mark in zip(y, one.marks, strict=True)]
        axes.errorbar(x, y, yerr=[low, high], fmt=MARKERS[place % len(MARKERS)], color=colour, markersize=4.5,
                      elinewidth=0.9, capsize=2, clip_on=False, zorder=3)  # fmt: skip
