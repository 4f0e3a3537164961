"""Error against depth for the template."""

from __future__ import annotations

import dataclasses

from markupsafe import Markup

from reports.board.boards import Board
from reports.board.depth import details_of, series_of
from reports.board.samples import Samples
from reports.figures.depth import Depth
from reports.html.inline_svg import inline_svg
from reports.text.escape import percent, visible
from robench.errors import ConfigError


def depth_figure(board: Board, own: Samples, name: str) -> Markup | None:
    """Return the figure of a board that holds at least two depths of a family; None for any other."""
    series = series_of(board, details_of((*own.clean, *own.attacked)))
    named = dataclasses.replace(board, norm=visible(board.norm), eps_text=visible(board.eps_text))
    try:
        figure = Depth().draw(named, series)
    except ConfigError:  # nothing to compare, or an infinite radius
        return None
    points = [
        f"{visible(point.row.model)}, depth {point.depth}: clean accuracy {percent(point.row.clean)}, "
        f"robust {percent(point.row.worst_case)}"
        for one in series
        for point in one.points
    ]
    description = f"Clean and robust error against depth. In percent: {'; '.join(points)}."
    return inline_svg(figure, name=f"{name}-depth", description=description)
