"""The paper's numbers and settings, from a data file of this package."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from robench.record.strict_json import Part, Radius, read_fields

FILE = "wang_osher_2019.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One cell of a table: the number as printed, and the settings of a comparable measurement.

    Attributes:
        table: number of the table.
        row: label of its row.
        column: label of its column.
        published: the number, in percent.
        error: whether it is an error rate and not an accuracy.
        dataset: name of the data set.
        architecture: name of the model plugin.
        head: `softmax`, `WNLL` or `SVM`.
        oracle: head of the network of the same architecture that images are crafted on; empty for white-box.
        attack: name of the attack plugin; `clean` for none.
        norm: of the radius; empty without attack.
        eps: the radius, `inf` for none.
        options: of the attack, which must be these.
        settings: of the attack, stated where they are others.
        training: by head, the defense plugin the paper's training is.
        training_settings: its options in the paper; those the paper does not give are absent.
        training_images: number of labelled training images, None without a training.
        images_exact: whether that names the cell, and must be so.
        unlabelled: images without a label in the graph.
        graph: settings of the graph the paper gives.
        graph_exact: those of them that name the row, and must be these.
        graph_images: how many test images share a graph, None where the paper does not say.
        trials: number of trainings that the number summarises, empty if nothing is random.
    """

    table: str
    row: str
    column: str
    published: float
    error: bool
    dataset: str
    architecture: str
    head: str
    oracle: str
    attack: str
    norm: str
    eps: float
    options: Mapping[str, Any]
    settings: Mapping[str, Any]
    training: Mapping[str, str]
    training_settings: Mapping[str, Any]
    training_images: int | None
    images_exact: bool
    unlabelled: int
    graph: Mapping[str, Any]
    graph_exact: Mapping[str, Any]
    graph_images: int | None
    trials: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One table of the paper: labels and slots, row by row."""

    number: str
    title: str
    section: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    slots: tuple[tuple[Slot, ...], ...]

    @property
    def error(self) -> bool:
        """Whether its numbers are error rates."""
        return self.slots[0][0].error


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """The meaning of a data set's name in the paper: sizes, and titles of altered copies with the change."""

    train: int
    test: int
    copies: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What table, row and column say together of a cell; see `Slot`."""

    dataset: str
    architecture: str
    head: str
    attack: str
    oracle: str = ""
    norm: str = ""
    eps: Radius = math.inf
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    training_images: int | None = None
    unlabelled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line(Part):
    """A row or a column of the file; `extra` holds its part of the `_Facts`.

    Attributes:
        label: its label.
        values: the numbers of a row, one per column.
        graph: settings of the graph that name a row.
    """

    label: str
    values: tuple[float, ...] = ()
    graph: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry(Part):
    """A table of the file; `extra` holds its part of the `_Facts`.

    Attributes:
        title: its title.
        section: of the paper.
        quantity: `error` or `accuracy`.
        trials: see `Slot`.
        training: see `Slot`.
        training_settings: by head, see `Slot`.
        graph: see `Slot`.
        graph_images: see `Slot`.
        rows: its rows.
        columns: its columns.
    """

    title: str
    section: str
    quantity: str
    trials: str | None
    training: Mapping[str, str]
    training_settings: Mapping[str, Any]
    graph: Mapping[str, Any]
    graph_images: int | None = None
    rows: tuple[_Line, ...]
    columns: tuple[_Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paper(Part):
    """The paper.

    Attributes:
        short: authors and year.
        arxiv: its number there.
    """

    short: str
    arxiv: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _File(Part):
    """The data file.

    Attributes:
        paper: which paper it is.
        datasets: by name, see `DataSet`.
        tables: by number, see `_Entry`.
    """

    paper: _Paper
    datasets: Mapping[str, Any]
    tables: Mapping[str, Any]


@cache
def reference() -> str:
    """Return the paper in one line."""
    paper = _file().paper
    return f"{paper.short}, arXiv:{paper.arxiv}"


@cache
def data_sets() -> dict[str, DataSet]:
    """Return the paper's data sets by name."""
    entries = _file().datasets.items()
    return {name: DataSet(**read_fields(DataSet, entry, path=name)) for name, entry in entries}


@cache
def tables() -> dict[str, Published]:
    """Return the tables by number, `1` to `11`."""
    entries = _file().tables.items()
    return {number: _table(number, _Entry.read(entry, path=number)) for number, entry in entries}


@cache
def _file() -> _File:
    return _File.read(json.loads((files("reports.paper") / FILE).read_text("utf-8")))


def _table(number: str, entry: _Entry) -> Published:
    return Published(
        number=number,
        title=entry.title,
        section=entry.section,
        rows=tuple(row.label for row in entry.rows),
        columns=tuple(column.label for column in entry.columns),
        slots=tuple(
            tuple(
                _slot(number, entry, row, column, value)
                for column, value in zip(entry.columns, row.values, strict=True)
            )
            for row in entry.rows
        ),
    )


def _slot(number: str, entry: _Entry, row: _Line, column: _Line, value: float) -> Slot:
    facts = _Facts(**read_fields(_Facts, {**entry.extra, **row.extra, **column.extra}, path=number))
    return Slot(
        table=number,
        row=row.label,
        column=column.label,
        published=float(value),
        error=entry.quantity == "error",
        dataset=facts.dataset,
        architecture=facts.architecture,
        head=facts.head,
        oracle=facts.oracle,
        attack=facts.attack,
        norm=facts.norm,
        eps=facts.eps,
        options=facts.options,
        settings=facts.settings,
        training=entry.training,
        training_settings=entry.training_settings.get(facts.head, {}),
        training_images=facts.training_images,
        images_exact="training_images" in column.extra,
        unlabelled=facts.unlabelled,
        graph={**entry.graph, **row.graph},
        graph_exact=row.graph,
        graph_images=entry.graph_images,
        trials=entry.trials or "",
    )
