"""Records for tests, their parts as plain dictionaries."""

import dataclasses
import json

from robench.record.columns.packed_columns import unpacked_columns
from robench.record.parts import (
    Provenance,
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.schema import Record

PARTS = {
    "target": RecordedTarget, "source": RecordedSource, "attack": RecordedAttack, "threat": RecordedThreat,
    "dataset": RecordedDataset, "provenance": Provenance,
}  # fmt: skip


def record_of(**fields):
    """Return a record whose parts are read from dictionaries."""
    return Record(**{name: PARTS[name].read(v) if name in PARTS else v for name, v in fields.items()})


def changed(record, **parts):
    """Return a record with some fields of its parts changed, as in `changed(r, target={"name": "b"})`."""
    values = {
        name: PARTS[name].read({**getattr(record, name).plain(), **value}) if name in PARTS else value
        for name, value in parts.items()
    }
    return dataclasses.replace(record, **values)


def asking(record, count):
    """Return a record whose attack asked so many questions about each image, and for no gradient."""
    n = len(record.columns)
    columns = dataclasses.replace(record.columns, forwards=[count] * n, backwards=[0] * n)
    return record.noting(columns=columns)


def plain_of(path):
    """Return what the file of a record says as plain JSON data, its columns as lists."""
    data = json.loads(path.read_text())
    return {**data, "columns": unpacked_columns(data["columns"]).plain()}
