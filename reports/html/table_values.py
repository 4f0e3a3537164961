"""Tables as values: the text of a cell, its sort key, and its link."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass

from reports.board.shares import Share
from reports.figures.palette import Look
from reports.text.escape import NOTHING, number, percent

_NUMBER = re.compile(r", arXiv:[0-9.v]+")


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        title: its header.
        numeric: aligned to the right, and the largest first when sorted the first time.
        head: whether its cells are the headers of their rows.
    """

    title: str
    numeric: bool = True
    head: bool = False


@dataclass(frozen=True, slots=True)
class Badge:
    """A short remark on a row, and the place that explains it; one that is lifted puts it in no doubt.

    Attributes:
        text: a few words.
        href: where it is explained.
        lifted: whether it changes nothing.
        code: of the finding behind it.
    """

    text: str
    href: str
    lifted: bool = False
    code: str = ""


@dataclass(frozen=True, slots=True)
class Swatch:
    """The colour of a model or attack in all figures of the page, as a small mark.

    Attributes:
        place: of its colour; None for grey.
        hollow: whether it is in doubt.
        name: beside the mark in a legend.
    """

    place: int | None
    hollow: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One cell.

    Attributes:
        text: its text.
        order: its sort key if not the text; None sorts last.
        bar: drawn with its interval.
        tint: 0 to 10, how strongly it is coloured; None not at all.
        framed: whether it stands out.
        href: where it leads.
        badges: remarks.
        span: two shares in [0, 1], drawn as a bar from the first to the second.
        swatch: the model's mark in the figures, drawn before the text.
        hint: the whole of a text that is shortened.
    """

    text: str = NOTHING
    order: str | float | None = None
    bar: Share | None = None
    tint: int | None = None
    framed: bool = False
    href: str = ""
    badges: tuple[Badge, ...] = ()
    span: tuple[float, float] | None = None
    swatch: Swatch | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that can be sorted by any column.

    Attributes:
        name: letters and digits, unique on the page.
        caption: what it shows.
        columns: one per cell of a row.
        rows: the cells.
        filtered: whether it has a field that filters its rows.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    filtered: bool = False


def text_entry(text: str, *, href: str = "") -> Entry:
    """Return a cell of text."""
    return Entry(text=text or NOTHING, order=text.casefold() or None, href=href)


def number_entry(value: float | None) -> Entry:
    """Return a cell with a number."""
    return Entry(text=number(value), order=value)


def share(value: Share | None, *, drawn: bool = True) -> Entry:
    """Return a cell with a percentage: drawn as a bar with its interval, or tinted."""
    if value is None or value.value is None:
        return Entry()
    if drawn:
        return Entry(text=percent(value), order=value.value, bar=value)
    return Entry(text=percent(value), order=value.value, tint=math.floor(10 * value.value))


def swatch(model: str, look: Look, hollow: bool = False) -> Swatch:
    """Return the mark of a model."""
    return Swatch(look.places.get(model), hollow, model)


def paper_entry(text: str) -> Entry:
    """Return a cell with authors and year of a paper, or another text whole; its tooltip is the full text."""
    short = _NUMBER.sub("", text)
    return dataclasses.replace(text_entry(short), hint=text if short != text else "")
