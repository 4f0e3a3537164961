"""Who breaks whom: robust accuracy of every model on the images crafted on every other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reports.board.board_types import Board
from reports.figures.selection import draw_to
from reports.figures.style import blank, shown, styled
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.schema import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferMap:
    """A heat map: rows are the models images were crafted on, columns those that judged them.

    Numbers are robust accuracies in percent, worst over all attacks; on the diagonal, framed, the white-box
    accuracies. A pair that was not judged stays empty.
    """

    info: ClassVar[Info] = Info(title="Transfer", paper="Papernot et al. 2017, arXiv:1602.02697")

    def __call__(self, records: Sequence[Record], path: Path, *, board: str | None = None) -> Path:
        """Draw the board with that text in its title and write it to `path`; see `selection.draw_to`."""
        return draw_to(self.draw, records, path, board=board)

    def draw(self, board: Board) -> Figure:
        """Return the figure of one board.

        Raises:
            ConfigError: no crafted image was judged by a model other than its source.
        """
        import numpy as np
        from matplotlib.patches import Rectangle

        shares = {(t.source, t.target): t.robust for t in board.combined_transfers()}
        if not shares:
            single = len(board.rows) == 1
            raise ConfigError(
                where=board.title,
                expected="images judged by several models",
                got=f"one model, {board.rows[0].model!r}" if single else "white-box results only",
                do="Evaluate several models together"
                if single
                else "Set `transfer: true` in the configuration; in Python: transfer=True",
            )
        names = [row.model for row in board.rows if any(row.model in pair for pair in shares)]
        values = np.full((len(names), len(names)), np.nan)
        for (source, target), share in shares.items():
            if share.value is not None:
                values[names.index(source), names.index(target)] = 100 * share.value
        with styled():
            labels = [shown(name) for name in names]
            margin = 0.075 * max(map(len, labels)) + 0.6
            figure, axes = blank(0.5 * len(names) + margin + 1.4, 0.5 * len(names) + 0.75 * margin + 0.6)
            image = axes.imshow(values, vmin=0, vmax=100, cmap="cividis")
            for (row, column), value in np.ndenumerate(values):
                if np.isfinite(value):
                    colour = "black" if value > 60 else "white"
                    axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=8)
                if row == column:
                    axes.add_patch(
                        Rectangle(
                            (column - 0.5, row - 0.5),
                            1,
                            1,
                            fill=False,
                            edgecolor="#D55E00",
                            linewidth=1.5,
                            clip_on=False,
                        )
                    )
            axes.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(names)), labels)
            axes.grid(visible=False)
            axes.set_xlabel("judged on")
            axes.set_ylabel("crafted on")
            title = f"Robust accuracy, %\n{board.norm} {board.eps_text}, {board.n} images"
            title = "\n".join([title, *board.conditions])
            figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
            figure.colorbar(image, ax=axes, shrink=0.8)
        return figure
