"""Which board a picture shows, the feature spaces that belong to it, and where it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.board.board_types import Board
from reports.board.curves import BoardCurves, Family, board_curves, families
from reports.board.feature_spaces import FeatureSpace, read_feature_spaces
from reports.board.grouping import split_into_boards
from reports.board.leaderboard import boards
from reports.board.samples import Samples
from reports.figures.style import check_suffix, save
from robench.errors import ConfigError
from robench.record.schema import Record
from robench.record.store import Store, check_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DO = "Keep a run (`robench run`, `robench eval`) and draw it by `robench plot FIGURE RUN`"


class OfRunFolders:
    """A figure of data that records do not contain: its `of_runs` draws it from run folders."""

    __slots__ = ()

    def __call__(self, records: Sequence[Record], path: Path, *, board: str | None = None) -> Path:
        """Refuse: records do not contain the data of this figure.

        Raises:
            ConfigError: always; `of_runs` draws from run folders.
        """
        del records, board, path
        expected = "a run folder: this figure shows what records do not hold, such as features or trainings"
        raise ConfigError(where="plot", expected=expected, got="results alone", do=DO)


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
        StorageError: writing to disk failed; an older file is intact.
    """
    check_suffix(path)
    save(draw(choose(records, board)[0]), path)
    return path


def choose(records: Sequence[Record], board: str | None) -> tuple[Board, Samples]:
    """Return the board with that text in its title, and its records; without a text, the only finite one.

    Raises:
        ConfigError: no board or several have that text.
    """
    every = boards(records)
    at = _chosen([one.title for one in every], board, _bounded(every))
    return every[at], split_into_boards(records)[at]


def draw_curves_to(
    draw: Callable[[BoardCurves], Figure], records: Sequence[Record], path: Path, *, board: str | None
) -> Path:
    """Like `draw_to`, for a figure of a board's accuracy curves."""
    check_suffix(path)
    save(draw(board_curves(*choose(records, board))), path)
    return path


def draw_family_to(
    draw: Callable[[Family], Figure], records: Sequence[Record], path: Path, *, board: str | None
) -> Path:
    """Like `draw_to`, for a figure of boards that differ in the radius only; `board` is text of their title.

    Raises:
        ConfigError: no two radii and no attack that looks for small perturbations, or as for `draw_to`.
        StorageError: writing to disk failed; an older file is intact.
    """
    check_suffix(path)
    every = boards(records)
    groups = families(every, split_into_boards(records))
    if not groups:
        raise ConfigError(
            where="; ".join(one.title for one in every),
            expected="an attack that looks for small L2 or Linf perturbations, or several finite eps",
            got="neither",
            do="Add a threat with `eps: inf` and cw, ddn, fmn or fab, or write `eps: [2/255, 4/255, 8/255]`",
        )
    save(draw(groups[_chosen([one.title for one in groups], board, range(len(groups)))]), path)
    return path


def spaces_of_board(
    folders: Sequence[Path], board: str | None
) -> tuple[list[FeatureSpace], dict[str, str], str]:
    """Return the spaces of one board in the order of its rows, the shown names of models, and its title.

    Args:
        folders: of one or several runs.
        board: text in the title of the board wanted; see `selection.choose`.

    Raises:
        ConfigError: a folder is not a run, or the text fits no board or several.
    """
    records: list[Record] = []
    spaces: list[FeatureSpace] = []
    for folder in folders:
        check_run(folder)
        store = Store(folder)
        own, _ = store.readable()
        of_folder, faults = read_feature_spaces(folder, own, store.facts()[0].get("geometry"))
        if faults and not of_folder:
            name, wrong = faults[0]
            do = "Run the same `robench run` command again"
            raise ConfigError(where=str(folder / name), expected="features that were kept", got=wrong, do=do)
        records += own
        spaces += of_folder
    selection, samples = choose(records, board)
    order = {row.model: at for at, row in enumerate(selection.rows)}
    fitting = {space.model: space for space in spaces if space.setting == samples.setting}
    ranking = sorted(fitting.values(), key=lambda space: order[samples.names[space.model]])
    return ranking, samples.names, selection.title


def _bounded(every: Sequence[Board]) -> list[int]:
    return [at for at, one in enumerate(every) if one.norm and one.eps != float("inf")]


def _chosen(titles: Sequence[str], text: str | None, favourites: Sequence[int]) -> int:
    """Return the position of the title with that text; of several without a text, the one preferred."""
    fitting = [at for at, title in enumerate(titles) if text is None or text in title]
    choices = "; ".join(map(repr, titles))
    if not fitting:
        raise ConfigError(where="board", expected=f"text of one of: {choices or 'no board'}", got=repr(text))
    if text is None and len(fitting) > 1:
        fitting = [at for at in fitting if at in favourites]
    if len(fitting) != 1:
        do = "Name one by text of its title: --board TEXT"
        raise ConfigError(where="board", expected="one board", got=f"{len(titles)}: {choices}", do=do)
    return fitting[0]
