"""One board and one row out of several, named by text; never a guess."""

from __future__ import annotations

from collections.abc import Sequence

from reports.board.boards import Board, Row
from robench.errors import ConfigError, nearest


def one_row(boards: Sequence[Board], *, model: str, board: str) -> tuple[Board, Row]:
    """Return the only row that fits.

    Args:
        boards: where to look.
        model: name of the row; empty if there is only one.
        board: text in the title of its board; empty if only one board fits.

    Raises:
        ConfigError: no board or several, no row or several; lists what there is.
    """
    fitting = [one for one in boards if board in one.title]
    if len(fitting) > 1 and not board:  # a board of clean accuracy says less than the one attacked board
        fitting = [one for one in fitting if one.norm and one.eps != float("inf")] or fitting
    if len(fitting) != 1:
        titles = "; ".join(repr(one.title) for one in boards) or "no board"
        do = "Name one by text of its title: --board TEXT"
        raise ConfigError(
            where="board", expected="text of one board", got=f"{len(fitting)} of {titles}", do=do
        )
    rows = [row for row in fitting[0].rows if model in {"", row.model}]
    if len(rows) != 1:
        names = [row.model for row in fitting[0].rows]
        do = nearest(model, names) if model else "Name one: --model NAME"
        got = repr(model) if model else f"{len(rows)}: {', '.join(map(repr, names))}"
        raise ConfigError(where="model", expected=f"a model of {fitting[0].title}", got=got, do=do)
    return fitting[0], rows[0]
