"""The record of one unit: plain data with an exact JSON round trip. No torch here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robench.errors import StorageError
from robench.record.certificates import Certificates
from robench.record.columns.image_columns import LATER_COLUMNS, Columns
from robench.record.columns.packed_columns import checked_columns, packed_columns, unpacked_columns
from robench.record.parts import (
    Provenance,
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.planned import PlannedRun
from robench.record.records_alike import EACH, mark_of, remember, values_like
from robench.record.seal import FIELD, check_text
from robench.record.shared_parts import PARTS, part_of, provenance_of
from robench.record.status import Status
from robench.record.strict_json import (
    UNWRITTEN,
    FieldError,
    Whole,
    check_depth,
    described,
    read_fields,
)

__all__ = ["LATER_COLUMNS", "RECORD_SCHEMA", "Columns", "Finding", "Record", "Status"]

RECORD_SCHEMA = 2
"""Version of the layout of new records."""
_READABLE = (1, RECORD_SCHEMA)
"""Readable versions; version 1 has its columns as plain lists."""
_CHECKED = {"columns", *PARTS}
"""Fields whose own readers check their depth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A coded reason to doubt a number.

    Attributes:
        code: stable short name, such as `nonfinite`.
        evidence: the observation, in numbers.
        remedy: what to do.
    """

    code: str
    evidence: str
    remedy: str


class _Lazy:
    """Makes the provenance from the index of the run folder when it is first used."""

    __slots__ = ()

    if not TYPE_CHECKING:  # the type checker must not take every name for a field

        def __getattr__(self, name: str) -> Any:
            if name != "provenance":
                raise AttributeError(name)
            provenance = self.columns.origin().provenance()
            object.__setattr__(self, "provenance", provenance)
            return provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(_Lazy):
    """One (source, attack, threat, shard) judged on one target; aggregates are derived, never stored.

    Attributes:
        key: hash of everything that can change the results.
        target: the model that was judged.
        source: the model attacked; equal to the target for white-box, without a name for clean images.
        attack: the attack.
        threat: the threat model; all defaults for clean images.
        dataset: the images.
        seed: the plan's seed.
        columns: per-image results.
        findings: reasons to doubt them.
        provenance: how the record was made.
        schema: version of the layout in its file; a record is written again in the same version.
        certificates: the certificates of a record of bounds; None for any other record. Then `attack`
            describes their computation, and `columns` has the judge's results for images that their search
            found.
        planned: the plan of its run folder, noted when the folder is read; not stored in a file.
        indexed: the provenance without `OWN`, None if it was not made yet; not stored in a file.
    """

    key: str
    target: RecordedTarget
    source: RecordedSource
    attack: RecordedAttack
    threat: RecordedThreat
    dataset: RecordedDataset
    seed: Whole
    columns: Columns
    findings: tuple[Finding, ...] = ()
    provenance: Provenance
    schema: int = RECORD_SCHEMA
    certificates: Certificates | None = None
    planned: PlannedRun | None = field(default=None, compare=False, repr=False, metadata=UNWRITTEN)
    indexed: Provenance | None = field(
        init=False, default=None, compare=False, repr=False, metadata=UNWRITTEN
    )

    def __post_init__(self) -> None:
        """Refuse certificates for another number of images."""
        if self.certificates and len(self.certificates.bound) != len(self.columns.index):
            raise ValueError("as many certificates as images")

    @property
    def white_box(self) -> bool:
        """Whether the images were crafted on the same model that judged them."""
        return self.source.name == self.target.name

    @property
    def draws(self) -> int:
        """How often each image was classified under fresh noise; 0 for a model that is not random."""
        return self.columns.draws

    @property
    def conditions(self) -> Provenance:
        """How the record was made, without the parts that differ in every record (`OWN`)."""
        return self.provenance if self.indexed is None else self.indexed

    def noting(self, **values: Any) -> Record:
        """Return the record with other values in some fields; like `dataclasses.replace`, but faster."""
        copy = object.__new__(Record)
        lazily = "columns" not in values and "provenance" not in values and not _has_provenance(self)
        for name, setter in _PUT:
            if name == "indexed":
                setter(copy, None if "provenance" in values else self.indexed)
            elif name in values:
                setter(copy, values[name])
            elif name != "provenance" or not lazily:
                setter(copy, getattr(self, name))
        return copy

    def to_json(self) -> str:
        """Return JSON text; a file of it also has a checksum (`robench.record.seal`).

        Raises:
            ValueError: a number in it is NaN or infinite.
        """
        data = {
            "key": self.key,
            "target": self.target.plain(),
            "source": self.source.plain(),
            "attack": self.attack.plain(),
            "threat": self.threat.plain(),
            "dataset": self.dataset.plain(),
            "seed": self.seed,
            "columns": self.columns.plain() if self.schema == 1 else packed_columns(self.columns),
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "provenance": self.provenance.plain(),
            "schema": self.schema,
            **({"certificates": self.certificates.plain()} if self.certificates else {}),
        }
        return json.dumps(data, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, where: str = "", light: bool = False) -> Record:
        """Read the text of `to_json`, with or without a checksum.

        Args:
            text: JSON.
            where: the file, for messages.
            light: check every column, but keep only the column data that boards need: see
                `robench.record.columns.packed_columns.checked_columns`.

        Raises:
            StorageError: wrong checksum, not JSON, incomplete, a wrong type somewhere, or another
                schema version; names file and field.
        """
        try:
            has_seal = check_text(text, where=where)
        except StorageError as error:
            raise _damaged(text, error) from None
        try:
            data = json.loads(text)
            if has_seal:
                del data[FIELD]
            if not isinstance(data, dict) or "schema" not in data:
                raise FieldError(expected="a record of robench", got="JSON without a field `schema`")
            if type(data["schema"]) is int and data["schema"] not in _READABLE:
                raise StorageError(
                    where=where,
                    expected=f"a record of schema {' or '.join(map(str, _READABLE))}",
                    got=f"schema {described(data['schema'])}",
                    do="Read it with the version of robench that wrote it, or run again",
                )
            if data["schema"] == RECORD_SCHEMA and "columns" in data:
                data["columns"] = (checked_columns if light else unpacked_columns)(data["columns"])
            mark = mark_of(data)
            values = values_like(mark, data)
            return cls._of_data(data, mark) if values is None else _with_values(values)
        except FieldError as error:
            expected, got = error.expected, error.got
        except (ValueError, RecursionError) as error:
            expected, got = "a record of robench", f"{type(error).__name__}: {error}"
        do = "Delete the file and run the same command again"
        raise StorageError(where=where, expected=expected, got=got, do=do)

    @classmethod
    def _of_data(cls, data: dict[str, Any], mark: bytes | None) -> Record:
        """Return the record of plain JSON data; its columns were read already."""
        data |= {name: part_of(kind, data[name], name) for name, kind in PARTS.items() if name in data}
        conditions = None
        if "provenance" in data:
            data["provenance"], conditions = provenance_of(data["provenance"])
        check_depth({name: value for name, value in data.items() if name not in _CHECKED})
        record = cls(**read_fields(cls, data, path=""))
        _PUT_CONDITIONS(record, conditions)
        if mark is not None and conditions is not None:
            remember(mark, {name: getattr(record, name) for name, _ in _PUT if name not in EACH})
        return record


_PUT: tuple[tuple[str, Callable[[Record, Any], None]], ...] = tuple(
    (one.name, Record.__dict__[one.name].__set__) for one in dataclasses.fields(Record)
)
"""Sets the fields of a new record."""
_INDEXED = (
    "key",
    "target",
    "source",
    "attack",
    "threat",
    "dataset",
    "seed",
    "columns",
    "findings",
    "planned",
    "indexed",
)
_PUT_INDEXED = tuple(dict(_PUT)[name] for name in _INDEXED)
_PUT_SCHEMA, _PUT_CERTIFICATES, _PUT_CONDITIONS = (
    dict(_PUT)[name] for name in ("schema", "certificates", "indexed")
)


def _with_values(values: Mapping[str, Any]) -> Record:
    """Return the record with a value for every field."""
    record = object.__new__(Record)
    for name, setter in _PUT:
        setter(record, values[name])
    return record


def _has_provenance(record: Record) -> bool:
    try:
        object.__getattribute__(record, "provenance")
    except AttributeError:
        return False
    return True


def laid_out(*values: Any) -> Record:
    """Return a record of the present schema without certificates, with its provenance from the index.

    Args:
        values: key, target, source, attack, threat, dataset, seed, columns, findings, planned, and the
            provenance in the index.
    """
    record = object.__new__(Record)
    for setter, value in zip(_PUT_INDEXED, values, strict=True):
        setter(record, value)
    _PUT_SCHEMA(record, RECORD_SCHEMA)
    _PUT_CERTIFICATES(record, None)
    return record


def put_targets(records: Iterable[Record], targets: Callable[[RecordedTarget], RecordedTarget]) -> None:
    """Replace the targets of records that were just read and are not shared yet."""
    setter = dict(_PUT)["target"]
    for record in records:
        setter(record, targets(record.target))


def _damaged(text: str, error: StorageError) -> StorageError:
    """Return the error of a wrong checksum, with the record's schema if it is an unknown one."""
    try:
        schema = json.loads(text)["schema"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return error
    says = f", and it says schema {described(schema)}" if schema not in _READABLE else ""
    return StorageError(where=error.where, expected=error.expected, got=error.got + says, do=error.do)
