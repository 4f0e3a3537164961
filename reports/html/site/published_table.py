"""Numbers published elsewhere, as tables of their own: nothing here was measured, and nothing has a rank."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reports.board.board_types import Board
from reports.html.table_values import Column, Entry, Table, text_entry
from reports.text.escape import NOTHING
from robench.record.exchange.published_numbers import PublishedNumber

_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSection:
    """The published numbers of one data set and threat."""

    name: str
    title: str
    table: Table


def covers(number: PublishedNumber, board: Board) -> bool:
    """Tell whether a published number speaks of a board's data, norm and radius.

    Text in brackets after a name, as in `CIFAR-10 (JPEG copy)`, names the copy.
    """
    names = (number.dataset, board.dataset.partition("(")[0])
    theirs, own = (_WORD.sub("", name.lower()) for name in names)
    same = theirs == own != ""
    return same and number.threat == board.norm and number.eps is not None and number.eps == board.eps


def published_sections(numbers: Sequence[PublishedNumber]) -> list[PublishedSection]:
    """Return a table for each data set, threat and radius, in the order of the files."""
    groups: dict[tuple[str, str, str], list[PublishedNumber]] = {}
    for one in numbers:
        groups.setdefault((one.dataset, one.threat, one.eps_text), []).append(one)
    return [
        PublishedSection(
            name=f"published-{at}",
            title=" ".join(part for part in place if part),
            table=_table(
                own, name=f"published-{at}-table", caption=f"Published, not measured: {' '.join(place)}"
            ),
        )
        for at, (place, own) in enumerate(groups.items())
    ]


def _table(numbers: Sequence[PublishedNumber], *, name: str, caption: str) -> Table:
    measures = dict.fromkeys(one.measure for one in numbers)
    titles = [
        ("Model", False),
        (f"{' or '.join(measures)}, %", True), ("Best known, %", True), ("Reported, %", True),
        ("Clean, %", True), ("Architecture", False), ("Extra data", False), ("Paper", False),
        ("Authors", False), ("Venue", False), ("Passes", True), ("Notes", False),
    ]  # fmt: skip
    columns = tuple(Column(title, numeric=numeric, head=title == "Model") for title, numeric in titles)
    ranking = sorted(numbers, key=lambda one: (-one.best_known, one.model))
    return Table(
        name=name,
        caption=caption,
        columns=columns,
        rows=tuple(_row(one) for one in ranking),
        filtered=len(numbers) > 1,
    )


def _row(one: PublishedNumber) -> tuple[Entry, ...]:
    extra = "" if one.extra_data is None else "yes" if one.extra_data else "no"
    notes = [*(["marked unreliable by its source"] if one.unreliable else []), one.note]
    return (
        text_entry(one.model),
        _percent(one.robust),
        _percent(one.best_known),
        _percent(one.reported),
        _percent(one.clean),
        text_entry(one.architecture),
        text_entry(extra),
        text_entry(one.title, href=one.link),
        text_entry(one.authors),
        text_entry(one.venue),
        Entry(text=str(one.passes if one.passes is not None else NOTHING), order=one.passes),
        text_entry("; ".join(filter(None, notes))),
    )


def _percent(value: float | None) -> Entry:
    return Entry() if value is None else Entry(text=f"{100 * value:.2f}", order=value)
