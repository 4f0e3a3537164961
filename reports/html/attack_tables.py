"""Results of single attacks: transfers as a heat map, and the white-box attacks on one model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from reports.board.board_types import Board, Measurement
from reports.board.shares import Share
from reports.html.table_values import Column, Entry, Table, number_entry, share, text_entry
from reports.text.board_tables import median_titles, medians
from reports.text.escape import over_batches

MOST_MODELS = 64
"""Rows and columns of a heat map; it grows with their square."""


def heat_map(board: Board, *, name: str) -> Table:
    """Return source x target: robust accuracy of targets on images crafted on sources, worst over attacks."""
    transfers = {(t.source, t.target): t.robust for t in board.combined_transfers()}
    every = {name for pair in transfers for name in pair}
    there = [row.model for row in board.rows if row.model in every]
    models = there[:MOST_MODELS]
    sources = {source for source, _ in transfers}
    columns = (Column("Crafted on", numeric=False, head=True), *(Column(model) for model in models))
    rows = tuple(
        (text_entry(source), *(_pair(transfers.get((source, target)), source == target) for target in models))
        for source in models
        if source in sources
    )
    caption = (
        "Robust accuracy in percent of the model at the top on images crafted on the model at the left, "
        "worst over all attacks and gradient sources. Framed: both are the same, so the attack is white-box."
    )
    if len(there) > MOST_MODELS:
        caption += f" The first {MOST_MODELS} of {len(there)} models of the board are shown."
    return Table(name=name, caption=caption, columns=columns, rows=rows)


def _pair(value: Share | None, same: bool) -> Entry:
    return dataclasses.replace(share(value, drawn=False), framed=same)


def measurement_table(measurements: Sequence[Measurement], *, norm: str, name: str, caption: str) -> Table:
    """Return the white-box cells of one model on one board: one row per attack and gradient source."""
    titles = [
        "Broken",
        "Wrong before",
        "Failed",
        *median_titles(norm),
        "Forwards",
        "Backwards",
    ]
    columns = [Column("Attack", numeric=False, head=True), Column("Gradient source", numeric=False)]
    columns += [Column("Robust, %"), Column("Findings", numeric=False)]
    columns += [Column(title) for title in titles] + [Column("Library", numeric=False)]
    has_batches = any(cell.robust.batches for cell in measurements)
    columns += [Column("Batches"), Column("Over batches, %", numeric=False)] if has_batches else []
    rows = tuple(
        (
            text_entry(cell.attack),
            text_entry(cell.gradient_source),
            share(cell.robust),
            text_entry(", ".join(cell.findings)),
            number_entry(cell.broken),
            number_entry(cell.misclassified),
            number_entry(cell.failed),
            *(number_entry(size) for size in medians(cell, norm)),
            number_entry(cell.forwards),
            number_entry(cell.backwards),
            text_entry(cell.library),
            *(map(text_entry, over_batches(cell.robust)) if has_batches else ()),
        )
        for cell in measurements
    )
    return Table(name=name, caption=caption, columns=tuple(columns), rows=rows)
