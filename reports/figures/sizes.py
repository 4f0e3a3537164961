"""The smallest perturbations as a figure: a row per model with median, quartiles and tails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reports.board.curves import Family
from reports.figures.labels import FOLDED, folded
from reports.figures.lines import remark, shown_line
from reports.figures.palette import Look, look_of
from reports.figures.selection import draw_family_to
from reports.figures.style import LONGEST, NARROW, blank, shown, styled
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.measures.curves import Curve
from robench.record.schema import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)

MOST_ROWS = 50


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
