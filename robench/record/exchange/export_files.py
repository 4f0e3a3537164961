"""Files of one report format from the records of runs, and from their folders where a format reads them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robench.record.schema import Record


def is_of_files(plugin: Any) -> bool:
    """Tell whether a report plugin writes its format as files into a folder."""
    return "folder" in inspect.signature(plugin.__call__).parameters


def write_files(recipe: Any, records: Sequence[Record], folder: Path, *, runs: Sequence[Path]) -> list[Path]:
    """Write a format into a folder and return the paths.

    Args:
        recipe: the report.
        records: what was measured.
        folder: where to write.
        runs: the folders that the records come from; a format that takes `runs` reads there what no record
            holds, such as how a model was trained.
    """
    takes_runs = "runs" in inspect.signature(recipe.__call__).parameters
    paths: list[Path] = recipe(records, folder, **({"runs": runs} if takes_runs else {}))
    return paths
