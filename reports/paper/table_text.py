"""A filled-in table as raw text cells and notes, for the renderers; nothing is escaped here."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median

from reports.board.shares import Share
from reports.paper.layout import Entry, Line, PaperTable
from reports.paper.published import reference
from reports.text.escape import NOTHING

DAGGER = "\u2020"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableText:
    """A table to show.

    Attributes:
        title: the table in one line.
        header: names of the columns.
        reading: what the lines mean.
        rows: one list of texts per line; the first of a row of the paper holds its label.
        starts: positions in `rows` where a row of the paper begins.
        notes: mark, the models with this mark, and their differences to the paper.
        doubts: model, and the codes of findings.
        unplaced: our models without a row, each with the reason.
    """

    title: str
    header: tuple[str, ...]
    reading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    starts: tuple[int, ...]
    notes: tuple[tuple[str, str, tuple[str, ...]], ...]
    doubts: tuple[tuple[str, tuple[str, ...]], ...]
    unplaced: tuple[str, ...]


READING = (
    "ours: with 95 % Wilson interval over images; medians over trainings with their range",
    "difference: ours minus published, in percentage points",
    "worst gradient: image by image the worst over all gradient sources that were tried; the line of ours "
    "above is through the paper's (Eq. 24)",
    "[a]: settings that differ from the paper's, listed below",
    f"{DAGGER}: a finding puts a number of the line in doubt",
)
UNBOUNDED = (
    "C&W: no radius limits it, so an image counts as right where the attack found no adversarial one at all; "
    "that says how far so many steps reach, not how robust the model is"
)


def table_text(table: PaperTable) -> TableText:
    """Return a table as texts: published, ours, difference and, where it says more, the worst gradient."""
    original = table.published
    kind = "error" if original.error else "accuracy"
    rows: list[tuple[str, ...]] = []
    starts: list[int] = []
    marks: dict[tuple[str, ...], str] = {}
    models: dict[str, list[str]] = {}
    doubts: list[tuple[str, tuple[str, ...]]] = []
    letters = _marks()
    for row in table.rows:
        starts.append(len(rows))
        rows.append((row.label, "published", "", *(f"{slot.published:.2f}" for slot in row.slots)))
        for line in row.lines:
            mark, differences = "", tuple(line.differences)
            if differences:  # models that differ alike, as trainings with other seeds do, share a note
                mark = marks.get(differences) or next(letters)
                marks[differences] = mark
                models.setdefault(mark, []).append(line.model)
            doubts += [(line.model, line.findings)] if line.findings else []
            rows += _lines(line, mark)
        rows += _medians(row.lines)
    return TableText(
        title=f"Table {original.number} of {reference()}: {original.title} ({kind} in percent)",
        header=("Model", "Number", "n", *original.columns),
        reading=(*READING, UNBOUNDED) if "C&W" in original.columns else READING,
        rows=tuple(rows),
        starts=tuple(starts),
        notes=tuple((mark, ", ".join(models[mark]), differences) for differences, mark in marks.items()),
        doubts=tuple(doubts),
        unplaced=table.unplaced,
    )


def _lines(line: Line, mark: str) -> Iterator[tuple[str, ...]]:
    name = f"ours: {line.model}{f' [{mark}]' if mark else ''}{DAGGER if line.findings else ''}"
    yield ("", name, f"{line.images:,}", *(_rate(entry.rate) for entry in line.entries))
    if any(_more(entry) for entry in line.entries):
        yield ("", "ours, worst gradient", "", *(_rate(entry.worst or entry.rate) for entry in line.entries))
    yield ("", "difference", "", *(_difference(entry) for entry in line.entries))


def _medians(lines: Sequence[Line]) -> Iterator[tuple[str, ...]]:
    """Yield the medians over trainings of models of one name on the same images, as the paper states them."""
    groups: dict[tuple[str, tuple[str, str, str, int]], dict[str, Line]] = {}
    for line in lines:
        groups.setdefault((line.name, line.image_set), {}).setdefault(line.fingerprint, line)
    for (name, images), by_training in groups.items():
        trainings = list(by_training.values())
        if len(trainings) < 2:
            continue
        several = sum(other == name for other, _ in groups) > 1
        title = f"{name}, {images[3]:,} images of {images[0]} {images[1]}" if several else name
        columns = list(zip(*(line.entries for line in trainings), strict=True))
        yield (
            "",
            f"median of {len(trainings)} trainings: {title}",
            "",
            *(_median([_value(entry.rate) for entry in column]) for column in columns),
        )
        yield ("", "difference", "", *(_median([e.difference for e in c], "+.2f") for c in columns))


def _value(share: Share | None) -> float | None:
    return None if share is None or share.value is None else 100 * share.value


def _median(values: Sequence[float | None], form: str = ".2f") -> str:
    """Return the median of a column, with its range unless it is a difference; empty if one is missing."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return NOTHING
    text = f"{median(numbers):{form}}"
    return text if form != ".2f" else f"{text} ({min(numbers):.2f} to {max(numbers):.2f})"


def _more(entry: Entry) -> bool:
    """Tell whether another gradient source broke more images."""
    return bool(entry.worst and entry.rate and entry.worst.count != entry.rate.count)


def _rate(share: Share | None) -> str:
    if share is None or share.value is None:
        return NOTHING
    return f"{100 * share.value:.2f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _difference(entry: Entry) -> str:
    return NOTHING if entry.difference is None else f"{entry.difference:+.2f}"


def _marks() -> Iterator[str]:
    """Yield a, b, ..., z, a2, b2, ..."""
    for turn in count(1):
        for letter in string.ascii_lowercase:
            yield letter if turn == 1 else f"{letter}{turn}"
