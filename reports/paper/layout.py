"""A table in the paper's layout: for each of its rows the published numbers, ours, and the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.board.run_folder import Training
from reports.board.shares import Share
from reports.paper.differences import of_attack, of_model, unplaced
from reports.paper.matching import OurNumber, mismatch, our_number
from reports.paper.models import OurModel, our_models
from reports.paper.published import Published, Slot, tables
from robench.record.schema import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One cell: the published number and ours, if there is one.

    Attributes:
        slot: the paper's cell.
        ours: our number, None if nothing was measured.
        notes: differences to the paper's measurement in this column.
    """

    slot: Slot
    ours: OurNumber | None
    notes: tuple[str, ...]

    @property
    def rate(self) -> Share | None:
        """Our number as the paper counts: images that stay right, or wrong ones where it prints errors."""
        return self._counted(self.ours.share) if self.ours else None

    @property
    def worst(self) -> Share | None:
        """The same over all gradient sources, None if only one was used."""
        return self._counted(self.ours.worst) if self.ours and self.ours.worst else None

    @property
    def difference(self) -> float | None:
        """Ours minus the published number, in percentage points."""
        rate = self.rate
        if rate is None or rate.value is None:
            return None
        return 100 * rate.value - self.slot.published

    def _counted(self, share: Share) -> Share:
        return share.rest if self.slot.error else share


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One of our models in a row of the paper.

    Attributes:
        model: its shown name.
        name: the name it has in its configuration, which several trainings may share.
        fingerprint: hash of its weights and details.
        images: images it was judged on.
        image_set: data set, split, digest and size of the set.
        entries: one per column.
        notes: differences to the paper's measurement in all columns.
        findings: codes of the reasons to doubt a number of this line.
    """

    model: str
    name: str
    fingerprint: str
    images: int
    image_set: tuple[str, str, str, int]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]
    findings: tuple[str, ...]

    @property
    def differences(self) -> tuple[str, ...]:
        """Everything that was measured otherwise, in one column or in all."""
        return (*self.notes, *(note for entry in self.entries for note in entry.notes))


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRow:
    """A row of the paper and our models that belong to it."""

    label: str
    slots: tuple[Slot, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTable:
    """A table of the paper, filled in.

    Attributes:
        published: the paper's table.
        rows: its rows.
        unplaced: our models that belong to no row, each with the reason.
    """

    published: Published
    rows: tuple[PaperRow, ...]
    unplaced: tuple[str, ...]

    @property
    def filled(self) -> bool:
        """Whether any cell has a number of ours."""
        return any(row.lines for row in self.rows)


def paper_tables(records: Sequence[Record], trainings: Sequence[Training] = ()) -> list[PaperTable]:
    """Return the paper's tables 1 to 11, filled with the numbers of the records.

    Args:
        records: of one or several runs.
        trainings: networks trained in these runs, with their model cards.
    """
    ours = our_models(records, trainings)
    return [_table(table, ours) for table in tables().values()]


def _table(table: Published, ours: Sequence[OurModel]) -> PaperTable:
    rows = []
    with_row: set[tuple[str, object]] = set()
    reasons: list[tuple[str, str]] = []
    for label, slots in zip(table.rows, table.slots, strict=True):
        lines = []
        for model in ours:
            line = _line(model, slots)
            if line:
                lines.append(line)
                with_row.add((model.target, model.images))
        rows.append(PaperRow(label=label, slots=slots, lines=tuple(lines)))
    for model in ours:
        if (model.target, model.images) not in with_row:
            reasons.append((model.name, _why(model, table)))
    return PaperTable(published=table, rows=tuple(rows), unplaced=tuple(unplaced(reasons)))


def _line(model: OurModel, slots: Sequence[Slot]) -> Line | None:
    entries, pairs = [], []
    for slot in slots:
        number = our_number(model, slot) if mismatch(model, slot) is None else None
        notes = tuple(of_attack(number, slot)) if number else ()
        entries.append(Entry(slot=slot, ours=number, notes=notes))
        pairs += [(slot, number)] if number else []
    if not pairs:
        return None
    batch = max(number.batch for _, number in pairs)
    return Line(
        model=model.name,
        name=model.target.partition(":")[2],
        fingerprint=model.target.partition(":")[0],
        images=max(number.share.n for _, number in pairs),
        image_set=model.images,
        entries=tuple(entries),
        notes=tuple(of_model(model, pairs[0][0], batch)),
        findings=tuple(sorted({code for _, number in pairs for code in number.findings})),
    )


def _why(model: OurModel, table: Published) -> str:
    """Return why no row of the table fits a model: the mismatch in the most similar cell."""
    refusals = [mismatch(model, slot) for slots in table.slots for slot in slots]
    if None in refusals:
        return "no attack of the table was run under the paper's threat model"
    return max(refusal for refusal in refusals if refusal)[1]
