"""Which board a picture drawn from run folders shows, and the views that belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports.board.feature_views import View, read_views
from reports.figures.selection import choose
from robench.errors import ConfigError
from robench.record.schema import Record
from robench.record.store import Store, is_run


def chosen_views(folders: Sequence[Path], board: str | None) -> tuple[list[View], dict[str, str], str]:
    """Return the views of one board in the order of its rows, the shown names of models, and its title.

    Args:
        folders: of one or several runs.
        board: text in the title of the board wanted; see `choosing.choose`.

    Raises:
        ConfigError: a folder is no run, no board or several have that text.
        StorageError: a record or a kept geometry cannot be read; names the file.
    """
    records: list[Record] = []
    views: list[View] = []
    for folder in folders:
        if not is_run(folder):
            do = "Name the folder that `robench run` printed last"
            raise ConfigError(where=str(folder), expected="a run folder", got="no `units` in it", do=do)
        store = Store(folder)
        own = store.read_records()
        facts = store.read_json("run.json")
        found, faults = read_views(folder, own, facts.get("geometry") if isinstance(facts, dict) else None)
        if faults:
            name, wrong = faults[0]
            do = "Delete the file and run the same `robench run` command again"
            raise ConfigError(where=str(folder / name), expected="features that were kept", got=wrong, do=do)
        records += own
        views += found
    shown, samples = choose(records, board)
    order = {row.model: at for at, row in enumerate(shown.rows)}
    fitting = {view.model: view for view in views if view.setting == samples.setting}
    ordered = sorted(fitting.values(), key=lambda view: order[samples.names[view.model]])
    return ordered, samples.names, shown.title
