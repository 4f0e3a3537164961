"""Accuracy curves of several models: panels side by side, interval bands, one legend beside them all."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.board.curves import IN_TURN, Panel
from reports.figures.palette import GREY, HOLLOW, Look, look_of
from reports.figures.style import NARROW, SOFT, shown, styled
from robench.record.measures.curves import Curve
from robench.visible_text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 6
MOST_PLACES, MOST_GREY = 100, 20
"""Places of a coloured and of a grey line in a picture; more cannot be told apart."""

LONG = 50
"""With a longer axis it is logarithmic: most images break early."""

Named = tuple[str, Curve]


def arranged(panels: Sequence[Panel]) -> list[tuple[str, list[Named]]]:
    """Return (title, lines) of every panel to draw: one per attack, or one of all attacks on one model."""
    models = {line.model for panel in panels for line in panel.lines}
    if len(models) > 1:
        return [(attack_title(p.attack), [(line.model, line.curve) for line in p.lines]) for p in panels]
    lines = [(attack_title(panel.attack), line.curve) for panel in panels for line in panel.lines]
    return [(next(iter(models)), lines)]


def attack_title(label: str) -> str:
    """Return the name of an attack's panel or line."""
    return "all attacks, in turn" if label == IN_TURN else label


def draw_panels(
    panels: Sequence[Panel], *, title: str, xlabel: str, note: str = "", look: Look | None = None
) -> Figure:
    """Return the figure of some panels, at least one.

    Args:
        panels: panels of one board.
        title: title of the whole figure.
        xlabel: label of the x axis.
        note: a remark below, for a separate picture.
        look: look of the models; by default the first ones have a colour each.
    """
    whole = arranged(panels)
    parts = whole[:MOST_PANELS]
    names = list(dict.fromkeys(name for _, lines in parts for name, _ in lines))
    end = max(curve.end for _, lines in parts for _, curve in lines)
    left_out = len(whole) - len(parts)
    look = look or look_of(names)
    with styled():
        figure, axes = grid(len(parts), title)
        for one, (heading, lines) in zip(axes, parts, strict=True):
            draw_lines(one, lines, look)
            one.set_title(shown(heading))
            scale(one, max(curve.end for _, curve in lines), log=end > LONG)
        frame(figure, axes, xlabel)
        legend(figure, names, look, what="models" if len(parts) > 1 or len(whole) > 1 else "")
        more = f"{left_out} more attacks are in curves.csv. " if left_out else ""
        remark(figure, more + note)
    return figure


def draw_panel(heading: str, lines: Sequence[Named], *, xlabel: str, look: Look, end: float) -> Figure:
    """Return one panel by itself, for a page that arranges them and names the lines; see `arranged`.

    Args:
        heading: text above the panel.
        lines: name and curve.
        xlabel: what x is.
        look: of the models.
        end: of the longest axis among the panels.
    """
    from matplotlib.figure import Figure

    with styled():
        # Fixed margins: a constrained layout measures all texts first, which takes a third of the time.
        figure = Figure(figsize=(NARROW, 2.7))
        axes = figure.add_axes((0.13, 0.17, 0.82, 0.73))
        draw_lines(axes, lines, look)
        # A fixed height: to find one itself, matplotlib measures every label of the axes several times.
        axes.set_title(shown(heading), y=1.0)
        scale(axes, max(curve.end for _, curve in lines), log=end > LONG)
        frame(figure, [axes], xlabel)
    return figure


def grid(count: int, title: str, size: tuple[float, float] | None = None) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many panels in up to two columns, its size in inches; for inside `styled`."""
    from matplotlib.figure import Figure

    columns = min(count, 2)
    rows = -(-count // columns)
    size = size or (7.6, 3.6 if rows == 1 else 2.3 * rows + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for empty in axes[count:]:
        empty.remove()
    if title:
        figure.suptitle(shown_line(title), x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure, axes[:count]


def draw_lines(axes: Axes, lines: Sequence[Named], look: Look) -> None:
    """Draw the curves of one panel, in the colours of their models; those without are thin and grey."""
    grey: dict[str, tuple[list[float], list[float]]] = {}
    for name, curve in lines:
        # Grey lines of one style are drawn as a single line: dozens would take most of the time.
        if not look.lit(name):
            x, y = _steps(curve.thinned(MOST_GREY))
            every_x, every_y = grey.setdefault(look.line(name), ([], []))
            every_x += [*x, math.nan]
            every_y += [*y, math.nan]
    for style, (x, y) in grey.items():
        axes.plot(x, y, style, drawstyle="steps-post", color=GREY, linewidth=0.6, alpha=0.7)
    for name, curve in reversed(lines):  # so that the first ones lie on top
        if not look.lit(name):
            continue
        colour, thin = look.colour(name), curve.thinned(MOST_PLACES)
        x, y = _steps(thin)
        low, high = zip(*thin.band(), strict=True)
        axes.fill_between(
            x,
            [100 * v for v in (*low, low[-1])],
            [100 * v for v in (*high, high[-1])],
            step="post",
            color=colour,
            alpha=0.13,
            linewidth=0,
        )
        axes.plot(x, y, look.line(name), drawstyle="steps-post", color=colour, linewidth=1.5)


def _steps(curve: Curve) -> tuple[list[float], list[float]]:
    """Return the places of a curve and the percentages from each on."""
    places = [*curve.x, max(curve.end, curve.x[-1])]
    return places, [100 * count / curve.n for count in (*curve.robust, curve.robust[-1])]


def scale(axes: Axes, end: float, *, log: bool) -> None:
    """Begin the axis at 0, with whole numbers on it."""
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    if log:
        axes.set_xscale("symlog", linthresh=1)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(MaxNLocator(1))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0, end or 1.0)  # if every clean image is misclassified, no attack takes a step


def frame(figure: Figure, axes: Sequence[Axes], xlabel: str, ylabel: str = "robust accuracy, %") -> None:
    """Give all panels the same percentages, and name the axes once."""
    for one in axes:
        one.set_ylim(-2, 102)
    if len(axes) == 1:
        axes[0].set_xlabel(xlabel)
        axes[0].set_ylabel(ylabel)
    else:
        for last in axes[-2:]:  # the lowest of each column
            last.set_xlabel(xlabel)
        figure.supylabel(ylabel, fontsize=9)


def legend(
    figure: Figure,
    names: Sequence[str],
    look: Look,
    *,
    what: str = "models",
    markers: Sequence[str] = (),
) -> None:
    """Name the lines beside the panels, where no line can run; say how many have no name of their own."""
    from matplotlib.lines import Line2D

    highlights = [name for name in names if look.lit(name)]
    handles = [
        Line2D(
            [],
            [],
            color=look.colour(name),
            linestyle=look.line(name),
            linewidth=1.8,
            label=shown(name),
            markerfacecolor=look.face(name),
            marker=markers[look.places[name] % len(markers)] if markers else "",
        )
        for name in highlights
    ]
    if len(names) < 2 and not look.doubted.intersection(names):
        return
    if len(names) > len(highlights):
        label = f"the other {len(names) - len(highlights)} {what}".strip()
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, label=label))
    if look.doubted.intersection(names):
        marker = "o" if markers else ""
        words = "hollow, dashed: in doubt" if markers else "dashed: in doubt"
        handles.append(
            Line2D([], [], color=SOFT, linestyle="--", marker=marker, markerfacecolor=HOLLOW, label=words)
        )
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)


def remark(figure: Figure, text: str) -> None:
    """Write a remark below everything, in a strip kept free for it."""
    if not text.strip():
        return
    lines = textwrap.wrap(text.strip(), 125)
    height = (0.14 * len(lines) + 0.08) / figure.get_figheight()
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, height, 1, 1 - height))  # type: ignore[call-arg]
    figure.text(0.01, 0.05 / figure.get_figheight(), "\n".join(lines), va="bottom", fontsize=7, color=SOFT)


def shown_line(title: str) -> str:
    """Return a title as a picture can hold it: visible, on at most two lines."""
    clean = visible(title)
    return "\n".join(textwrap.wrap(clean, 64)[:2])
