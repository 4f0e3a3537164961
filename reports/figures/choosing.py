"""Which board a picture shows, and where it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.boards import Board
from reports.figures.style import check_suffix, save
from reports.leaderboard import boards
from robench.errors import ConfigError
from robench.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_to(
    draw: Callable[[Board], Figure], records: Sequence[Record], path: Path, *, board: str | None
) -> Path:
    """Draw one board of some records and write the picture.

    Args:
        draw: makes the figure of a board.
        records: of one or several runs.
        path: ends in .svg, .png or .pdf.
        board: text in the title of the board wanted; None if it is the only one the figure can show.

    Raises:
        ConfigError: no board or several have that text, the figure cannot show it, or another suffix.
        StorageError: the disk refused; an older file is intact.
    """
    check_suffix(path)
    known = boards(records)
    fitting = [one for one in known if board is None or board in one.title]
    titles = "; ".join(repr(one.title) for one in known)
    if not fitting:
        raise ConfigError(where="board", expected=f"text of one of: {titles or 'no board'}", got=repr(board))
    if board is None and len(fitting) > 1:
        fitting = [one for one in fitting if one.norm and one.eps != float("inf")]
    if len(fitting) != 1:
        do = "Name one by text of its title: --board TEXT"
        raise ConfigError(where="board", expected="one board", got=f"{len(known)}: {titles}", do=do)
    save(draw(fitting[0]), path)
    return path
