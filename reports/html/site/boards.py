"""The boards of a site: those of a report's page, with the facts about every model and who measured it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.board.board_types import Board, Row
from reports.board.identities import Setting
from reports.board.samples import Samples
from reports.html.accuracy_curves import Drawing
from reports.html.background import Background
from reports.html.board_sections import BoardSection
from reports.html.site.model_runs import ModelRuns, judged_again, titles_of
from reports.html.table_values import Column, Entry, Table, paper_entry, text_entry
from reports.text.escape import NOTHING
from robench.record.exchange.board_entry import BoardEntry

EXTRA = ("Defense", "Architecture", "Parameters", "Extra data", "Paper", "Attacks", "Runs", "Judged again")
"""Columns that a board of many runs has beside those of a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteBoard:
    """One board of a site.

    Attributes:
        section: as on a report's page.
        norm: of its threat; `none` for clean accuracy.
        dataset: the images' name.
        notes: what a reader must know before comparing, in sentences.
        others: title and address of boards of the same data and threat with other images.
        published: whether numbers published elsewhere speak of this data, norm and radius.
        drawings: accuracy over eps and smallest perturbations, where its runs tell.
    """

    section: BoardSection
    norm: str
    dataset: str
    notes: tuple[str, ...]
    others: tuple[tuple[str, str], ...]
    published: bool = False
    drawings: tuple[Drawing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModels:
    """What is known of the models of all boards.

    Attributes:
        backgrounds: of each, by identity.
        runs: those that measured it, and what they call it.
    """

    backgrounds: Mapping[str, Background]
    runs: ModelRuns


def site_board(
    board: Board,
    own: Samples,
    section: BoardSection,
    *,
    models: KnownModels,
    others: Sequence[tuple[str, str]],
    published: bool,
    drawings: Sequence[Drawing] = (),
) -> SiteBoard:
    """Return one board of a site.

    Args:
        board: its numbers.
        own: its records.
        section: the board as a report shows it.
        models: what is known of its models, and of others.
        others: title and address of boards of the same data and threat with other images.
        published: whether numbers published elsewhere are of the same data and threat.
        drawings: its figures over eps.
    """
    identities = {name: identity for identity, name in own.names.items()}
    extra = [
        _entries_of_site(board, row, identity, models.backgrounds, models.runs.on(own.setting, identity))
        for row, identity in ((row, identities[row.model]) for row in board.rows)
    ]
    return SiteBoard(
        section=dataclasses.replace(section, table=_widened(section.table, extra)),
        norm=board.norm or "none",
        dataset=board.dataset,
        notes=tuple(_notes(board, own, models.runs)),
        others=tuple(others),
        published=published,
        drawings=tuple(drawings),
    )


def _entries_of_site(
    board: Board,
    row: Row,
    identity: str,
    backgrounds: Mapping[str, Background],
    runs: Sequence[BoardEntry],
) -> tuple[Entry, ...]:
    background = backgrounds.get(identity, Background())
    attempts = f"{len(row.attacks)} of {len(board.attacks)}" if board.attacks else ""
    many = None if background.parameters is None else f"{background.parameters:,}"
    name = identity.partition(":")[2]
    return (
        text_entry(background.defense),
        text_entry(background.architecture),
        Entry(text=many or NOTHING, order=background.parameters),
        text_entry(background.extra_data(board.dataset)),
        paper_entry(background.paper),
        text_entry(attempts),
        text_entry(titles_of(runs)),
        text_entry(judged_again(name, runs)),
    )


def _widened(table: Table, extra: Sequence[tuple[Entry, ...]]) -> Table:
    """Return a table with the columns of `EXTRA` after its remarks."""
    at = next(i for i, column in enumerate(table.columns) if column.title == "Remarks") + 1
    numeric = {"Parameters"}
    columns = tuple(Column(title, numeric=title in numeric) for title in EXTRA)
    return dataclasses.replace(
        table,
        columns=(*table.columns[:at], *columns, *table.columns[at:]),
        rows=tuple((*row[:at], *cells, *row[at:]) for row, cells in zip(table.rows, extra, strict=True)),
    )


def _notes(board: Board, own: Samples, runs: ModelRuns) -> list[str]:
    """Return the warnings for a comparison of rows of several runs."""
    notes = []
    present = [row for row in board.rows if not row.absent]
    if own.asked is not None and len({frozenset(row.attacks) for row in present}) > 1:
        request = [label for identity, label in own.labels.items() if identity in own.asked]
        rows_met = [sum(label in row.attacks for row in present) for label in request]
        which = "those that more than half of the rows met"
        if not any(2 * count > len(present) for count in rows_met):
            which = "all, for none was met by more than half of the rows"
        notes.append(
            f"Not every row met the same attacks. A rank asks for {which}: {', '.join(request)}. "
            "Whatever else was tried on a row counts against it."
        )
    identities = {name: identity for identity, name in own.names.items()}
    for row in present:
        identity = identities[row.model]
        names = runs.names_on(own.setting, identity, row.fingerprint)
        if len(names) > 1:
            notes.append(f"The same weights under several names, in one row: {', '.join(names)}.")
        elif names and names[0] != identity.partition(":")[2]:
            notes.append(f"{row.model} is called {names[0]} in what was measured here.")
    seeds = {record.seed for record in (*own.clean, *own.attacked)}
    if len(seeds) > 1:
        notes.append(f"The runs have several seeds: {', '.join(map(str, sorted(seeds)))}.")
    return notes


def same_but_for_images(setting: Setting) -> tuple[object, ...]:
    """Return the settings that two boards share if only their images differ.

    The name of a file says nothing by its capitals: `mnist.npz` is called `mnist`, the data set `MNIST`.
    """
    return (setting.dataset.casefold(), setting.split, setting.threat)
