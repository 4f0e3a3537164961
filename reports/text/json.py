"""Leaderboards as JSON, for programs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from reports.board.leaderboard import boards
from reports.board.over_seeds import over_seeds
from reports.text.one_file import OneFile
from robench.recipe import Info
from robench.record.schema import Record

KEYS = {"rows": "standing", "doubts": "stands"}
"""The name in the file, since version 0.1, of the attribute `unlifted` of rows and of doubts."""
FOR_READERS = ("images",)
"""Attributes of a board that only titles need: a program has the whole hash of the images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JSON(OneFile):
    """One JSON file, leaderboard.json: every board with rows, cells, transfers, findings; spread over seeds.

    Attributes:
        seeds_only: leave the boards out.
    """

    info: ClassVar[Info] = Info(title="JSON", paper="none; RFC 8259")
    file: ClassVar[str] = "leaderboard.json"
    seeds_only: bool = False

    def render(self, records: Sequence[Record]) -> str:
        """Return the boards of some records as JSON text; an infinite radius is the text `inf`."""
        tables: dict[str, Sequence[Any]] = {
            "boards": []
            if self.seeds_only
            else [
                dataclasses.replace(board, cells=tuple(board.cells), transfers=tuple(board.transfers))
                for board in boards(records)
            ],
            "over_seeds": over_seeds(records),
        }
        plain = {
            name: [_plain(dataclasses.asdict(table)) for table in values] for name, values in tables.items()
        }
        return json.dumps({"schema": 1, **plain}, indent=1, allow_nan=False) + "\n"


def _plain(table: dict[str, Any]) -> Any:
    """Return a table with the keys of the file format, in their places, and infinities as text."""
    table = {name: value for name, value in table.items() if name not in FOR_READERS}
    for part, name in KEYS.items():
        if part in table:
            table[part] = [
                {name if key == "unlifted" else key: value for key, value in one.items()}
                for one in table[part]
            ]
    return _finite(table)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    return value
