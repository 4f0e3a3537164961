"""Boards by model: for each model its boards, and a file name for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from reports.board.board_types import Board, Row
from reports.board.grouping import split_into_boards
from reports.board.leaderboard import boards_of
from reports.board.samples import Samples
from robench.errors import ConfigError
from robench.plan.file_names import check_name
from robench.record.schema import Record

_PLAIN = re.compile(r"[^0-9A-Za-z._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One model on one board.

    Attributes:
        board: the board.
        row: the model's row on it.
        samples: the records of the board.
        target: identity of the model among them.
    """

    board: Board
    row: Row
    samples: Samples
    target: str

    @property
    def records(self) -> list[Record]:
        """The records that were judged on the model, the clean ones first."""
        return list(self.samples.everything(self.target))


@dataclass(slots=True, kw_only=True)
class MeasuredModel:
    """A model with all its results.

    Attributes:
        name: its name on the boards.
        file: a unique name of a file or folder that is valid on every system.
        results: one for each board it is on.
    """

    name: str
    file: str
    results: list[Result] = field(default_factory=list)

    @property
    def records(self) -> list[Record]:
        """All records that were judged on it."""
        return [record for result in self.results for record in result.records]


def by_model(records: Sequence[Record]) -> list[MeasuredModel]:
    """Return every model with records, in the order of the boards."""
    models: dict[str, MeasuredModel] = {}
    file_names: set[str] = set()
    samples = split_into_boards(records)
    for board, own in zip(boards_of(samples), samples, strict=True):
        identities = {label: target for target, label in own.names.items()}
        for row in board.rows:
            if row.absent:
                continue  # it has no records
            target = identities[row.model]
            if target not in models:
                models[target] = MeasuredModel(name=row.model, file=_file(row, file_names))
            models[target].results.append(Result(board=board, row=row, samples=own, target=target))
    return list(models.values())


def file_part(text: str) -> str:
    """Return a text as part of a file's name: letters, digits, points and dashes, at most 60."""
    return _PLAIN.sub("-", text)[:60].strip("-.")


def _file(row: Row, file_names: set[str]) -> str:
    """Return a free name that is valid on every system; the fingerprint distinguishes equal names."""
    plain = file_part(row.model)
    try:
        harmless = plain == check_name(row.model, what="name of a model")
    except ConfigError:
        harmless = False
    name = plain if harmless else f"{plain or 'model'}-{_PLAIN.sub('', row.fingerprint)[:8]}"
    while name.lower() in file_names:
        name += "-2"
    file_names.add(name.lower())
    return name
