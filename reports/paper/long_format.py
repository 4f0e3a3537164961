"""The paper's tables in long form: one line per cell and model of ours, for CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from reports.board.shares import Share
from reports.paper.layout import Entry, Line, PaperTable
from reports.paper.published import Slot, reference

COLUMNS = (
    "paper", "table", "row", "column", "quantity", "dataset", "network", "head", "attack", "norm", "eps",
    "published", "model", "fingerprint", "n", "ours", "ours_low", "ours_high", "difference_points",
    "gradient_source", "worst", "worst_low", "worst_high", "attack_label", "crafted_on", "findings",
    "deviations", "row_lacks",
)  # fmt: skip


def long_rows(tables: Sequence[PaperTable]) -> list[dict[str, Any]]:
    """Return one line per cell and model; a cell without a number of ours has one line. None: no value.

    Rates are fractions, the difference is in percentage points.
    """
    return [line for table in tables for row in table.rows for line in _rows(row.slots, row.lines)]


def _rows(slots: Sequence[Slot], lines: Sequence[Line]) -> Iterator[dict[str, Any]]:
    for at, slot in enumerate(slots):
        entries = [(line, line.entries[at]) for line in lines if line.entries[at].ours]
        if not entries:
            yield _published(slot)
        for line, entry in entries:
            yield _published(slot) | _ours(line, entry)


def _published(slot: Slot) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {
        "paper": reference(),
        "table": int(slot.table),
        "row": slot.row,
        "column": slot.column,
        "quantity": "error" if slot.error else "accuracy",
        "dataset": slot.dataset,
        "network": slot.architecture,
        "head": slot.head,
        "attack": slot.attack,
        "norm": slot.norm,
        "eps": slot.eps if slot.norm else None,
        "published": round(slot.published / 100, 6),
    }


def _ours(line: Line, entry: Entry) -> dict[str, Any]:
    ours = entry.ours
    assert ours is not None  # only cells with a number of ours come here
    difference = entry.difference
    return {
        "model": line.model,
        "fingerprint": line.fingerprint,
        "n": ours.share.n,
        **_ends("ours", entry.rate),
        "difference_points": None if difference is None else round(difference, 6),
        "gradient_source": ours.source,
        **_ends("worst", entry.worst),
        "attack_label": ours.label,
        "crafted_on": ours.crafted_on,
        "findings": " ".join(ours.findings),
        "deviations": "; ".join([*line.notes, *entry.notes]),
        "row_lacks": "; ".join(ours.lacks),
    }


def _ends(name: str, share: Share | None) -> dict[str, float | None]:
    if share is None or share.value is None:
        return {}
    return {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
