"""The same weights measured by several runs: one line for each run and board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.board.board_types import Board, Row
from reports.board.grouping import split_into_boards
from reports.board.identities import Setting, fingerprint_of
from reports.board.leaderboard import board_of
from reports.html.table_values import Column, Table, number_entry, share, text_entry
from reports.text.facts import plain
from robench.record.exchange.board_entry import BoardEntry
from robench.record.schema import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One model in one run on one board.

    Attributes:
        entry: the run.
        setting: images and threat.
        name: name of the model in the run.
        fingerprint: fingerprint of the model.
        board: the board of this run alone.
        row: the model's row on it.
        record: one of its records.
    """

    entry: BoardEntry
    setting: Setting
    name: str
    fingerprint: str
    board: Board
    row: Row
    record: Record


def history(entries: Sequence[BoardEntry]) -> list[Measured]:
    """Return the result of every run alone, the earliest first, those without a date last."""
    lines = []
    for entry in sorted(entries, key=lambda one: (not one.day, one.day)):
        every = split_into_boards(entry.records)
        for own in every:
            board = board_of(own, every)
            rows = {row.model: row for row in board.rows}
            first = {
                f"{r.target.fingerprint}:{r.target.name}": r for r in (*own.clean, *own.attacked, *own.bounds)
            }
            lines += [
                Measured(
                    entry=entry,
                    setting=own.setting,
                    name=first[target].target.name,
                    fingerprint=fingerprint_of(target),
                    board=board,
                    row=rows[name],
                    record=first[target],
                )
                for target, name in own.names.items()
                if target in first
            ]
    return lines


def history_table(lines: Sequence[Measured], boards: Mapping[Setting, str], *, caption: str) -> Table:
    """Return the history of one model as a table.

    Args:
        lines: its measurements.
        boards: titles of the site's boards.
        caption: of the table.
    """
    titles = (
        "Run",
        "Day",
        "Called",
        "Board",
        "Worst case, %",
        "Clean, %",
        "Attacks",
        "Remarks",
        "n",
        "Made with",
    )
    numeric = {"Worst case, %", "Clean, %", "n"}
    columns = tuple(Column(title, numeric=title in numeric, head=title == "Run") for title in titles)
    rows = tuple(
        (
            text_entry(line.entry.title),
            text_entry(line.entry.day),
            text_entry(line.name),
            text_entry(boards.get(line.setting, line.board.title)),
            share(line.row.worst_case),
            share(line.row.clean),
            text_entry(", ".join(line.row.attacks)),
            text_entry(", ".join(line.row.remarks)),
            number_entry(line.row.n),
            text_entry(_made_with(line.record)),
        )
        for line in lines
    )
    return Table(name="history", caption=caption, columns=columns, rows=rows)


def _made_with(record: Record) -> str:
    origin, versions = record.provenance, record.provenance.versions
    parts = [f"{name} {plain(versions[name])}" for name in ("robench", "torch") if name in versions]
    parts += [origin.gpu or origin.machine, f"seed {record.seed}"]
    return ", ".join(filter(None, parts))
