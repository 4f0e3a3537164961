"""The paper's numbers and settings, from a data file of this package."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

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
    options: dict[str, Any]
    settings: dict[str, Any]
    training: dict[str, str]
    training_settings: dict[str, Any]
    training_images: int | None
    images_exact: bool
    unlabelled: int
    graph: dict[str, Any]
    graph_exact: dict[str, Any]
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
    copies: dict[str, str]


@cache
def reference() -> str:
    """Return the paper in one line."""
    paper = _file()["paper"]
    return f"{paper['short']}, arXiv:{paper['arxiv']}"


@cache
def data_sets() -> dict[str, DataSet]:
    """Return the paper's data sets by name."""
    return {name: DataSet(**facts) for name, facts in _file()["datasets"].items()}


@cache
def tables() -> dict[str, Published]:
    """Return the tables by number, `1` to `11`."""
    return {number: _table(number, entry) for number, entry in _file()["tables"].items()}


@cache
def _file() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((files("reports.paper") / FILE).read_text("utf-8"))
    return content


def _table(number: str, entry: dict[str, Any]) -> Published:
    return Published(
        number=number,
        title=entry["title"],
        section=entry["section"],
        rows=tuple(row["label"] for row in entry["rows"]),
        columns=tuple(column["label"] for column in entry["columns"]),
        slots=tuple(
            tuple(
                _slot(number, entry, row, column, value)
                for column, value in zip(entry["columns"], row["values"], strict=True)
            )
            for row in entry["rows"]
        ),
    )


def _slot(
    number: str, entry: dict[str, Any], row: dict[str, Any], column: dict[str, Any], value: float
) -> Slot:
    facts = {**entry, **row, **column}
    head = facts["head"]
    exact = row.get("graph", {})
    return Slot(
        table=number,
        row=row["label"],
        column=column["label"],
        published=float(value),
        error=entry["quantity"] == "error",
        dataset=facts["dataset"],
        architecture=facts["architecture"],
        head=head,
        oracle=facts.get("oracle", ""),
        attack=facts["attack"],
        norm=facts.get("norm", ""),
        eps=float(facts.get("eps", math.inf)),
        options=facts.get("options", {}),
        settings=facts.get("settings", {}),
        training=entry["training"],
        training_settings=entry["training_settings"].get(head, {}),
        training_images=facts.get("training_images"),
        images_exact="training_images" in column,
        unlabelled=facts.get("unlabelled", 0),
        graph={**entry["graph"], **exact},
        graph_exact=exact,
        graph_images=entry.get("graph_images"),
        trials=entry["trials"] or "",
    )
