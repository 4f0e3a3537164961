"""What was measured on one work unit: plain data with an exact JSON round trip. No torch here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from robench.errors import StorageError
from robench.plan.spec import SCHEMA
from robench.record.certificates import Certificates
from robench.record.parts import (
    Provenance,
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.planned import PlannedRun
from robench.record.reader import UNWRITTEN, FieldError, Whole, check_depth, described, read_fields
from robench.record.seal import FIELD, check_text

LATER_COLUMNS = ("points", "tries", "first_passes", "first_try")
"""Columns that records of earlier versions do not have."""


class Status(StrEnum):
    """The judge's verdict on one image.

    Only `robust` counts as robust: an image that was misclassified before any attack, and one for which the
    model or the attack failed, do not.
    """

    ROBUST = "robust"
    BROKEN = "broken"
    MISCLASSIFIED = "misclassified"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A coded reason to doubt a number.

    Attributes:
        code: stable short name, such as `nonfinite`.
        evidence: what was seen, in numbers.
        remedy: what to do about it.
    """

    code: str
    evidence: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """One entry per image, all lists of the same length.

    Attributes:
        index: position in the full split.
        label: true class.
        clean: predicted class of the clean image, -1 if the output was not a number, -2 if it was a tie.
        adversarial: predicted class of the proposed image after the judge's checks.
        status: a Status.
        linf: largest pixel change.
        l2: Euclidean size of the change.
        forwards: forward passes the attack spent on the source.
        backwards: backward passes the attack spent on the source.
        first_success: how many points the attack had tried on the source at its first success there, 0 if
            never or unknown; it is not asked about its last point, unless the image had fallen before.
        points: how many points it tried, 0 if unknown.
        tries: how many fresh starts it made, 0 if unknown.
        first_passes: forwards plus backwards spent at the first success, 0 if never or unknown.
        first_try: the fresh start of the first success, from 1; 0 if never or unknown.
        stood: of a random model one text per image, such as `1101`: whether it stood (1) in each fresh draw
            of noise, at the judged point; empty for any other. `status` is of the draw that was attacked.

    Columns that a record of an earlier version does not have are 0 throughout.

    Raises:
        TypeError: one of the others is missing.
        ValueError: the columns are not of one length, a status is unknown, or `stood` is not made of equally
            many 0 and 1.
    """

    index: list[int]
    label: list[int]
    clean: list[int]
    adversarial: list[int]
    status: list[str]
    linf: list[float]
    l2: list[float]
    forwards: list[float]
    backwards: list[float]
    first_success: list[int]
    points: list[int] = field(default_factory=list)
    tries: list[int] = field(default_factory=list)
    first_passes: list[int] = field(default_factory=list)
    first_try: list[int] = field(default_factory=list)
    stood: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Fill columns that came later with zeros, and refuse what does not fit together."""
        for name in LATER_COLUMNS:
            if not getattr(self, name):
                object.__setattr__(self, name, [0] * len(self.index))
        lengths = {name: len(column) for name, column in self.plain().items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of lengths {lengths}")
        if len(set(map(len, self.stood))) > 1 or set("".join(self.stood)) - {"0", "1"}:
            raise ValueError("texts in `stood` that are not made of equally many 0 and 1")
        if unknown := set(self.status) - set(Status):
            raise ValueError(f"the unknown status {described(min(unknown))} in `status`")

    def plain(self) -> dict[str, list[Any]]:
        """Return plain JSON data; `stood` is in it only for a random model."""
        columns = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return columns if self.stood else {k: v for k, v in columns.items() if k != "stood"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One (source, attack, threat, shard) judged on one target; aggregates are derived, never stored.

    Attributes:
        key: hash of everything that can change the answer.
        target: the model that was judged.
        source: the model attacked; equal to the target for white-box, without a name for clean images.
        attack: what attacked it.
        threat: what it was allowed; all by default for clean images.
        dataset: the images.
        seed: the plan's seed.
        columns: per-image results.
        findings: reasons to doubt them.
        provenance: how the record was made.
        schema: version of this layout.
        certificates: of a record of bounds what they certify; None for any other. Then `attack` says how
            they were computed, and `columns` how the judge saw the images that their search found.
        planned: what the plan of its run folder asks for, noted when the folder is read; in no file.
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
    schema: int = SCHEMA
    certificates: Certificates | None = None
    planned: PlannedRun | None = field(default=None, compare=False, repr=False, metadata=UNWRITTEN)

    def __post_init__(self) -> None:
        """Refuse certificates of other images."""
        if self.certificates and len(self.certificates.bound) != len(self.columns.index):
            raise ValueError("as many certificates as images")

    @property
    def white_box(self) -> bool:
        """Whether the images were crafted on the very model they were judged on."""
        return self.source.name == self.target.name

    @property
    def draws(self) -> int:
        """How often each image was asked about under fresh noise; 0 for a model that is not random."""
        return len(self.columns.stood[0]) if self.columns.stood else 0

    def to_json(self) -> str:
        """Return JSON text; a file of it also holds a checksum (`robench.record.seal`).

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
            "columns": self.columns.plain(),
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "provenance": self.provenance.plain(),
            "schema": self.schema,
            **({"certificates": self.certificates.plain()} if self.certificates else {}),
        }
        return json.dumps(data, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, where: str = "") -> Record:
        """Read what `to_json` wrote, with or without a checksum.

        Args:
            text: JSON.
            where: the file, for messages.

        Raises:
            StorageError: another checksum, not JSON, incomplete, of a wrong type somewhere, or of another
                schema version; names file and field.
        """
        try:
            sealed = check_text(text, where=where)
        except StorageError as error:
            raise _damaged(text, error) from None
        try:
            data = json.loads(text)
            if sealed:
                del data[FIELD]
            if not isinstance(data, dict) or "schema" not in data:
                raise FieldError(expected="a record of robench", got="JSON without a field `schema`")
            if type(data["schema"]) is int and data["schema"] != SCHEMA:
                raise StorageError(
                    where=where,
                    expected=f"a record of schema {SCHEMA}",
                    got=f"schema {described(data['schema'])}",
                    do="Read it with the version of robench that wrote it, or run again",
                )
            check_depth({name: value for name, value in data.items() if name != "columns"})
            return cls(**read_fields(cls, data, path=""))
        except FieldError as error:
            expected, got = error.expected, error.got
        except (ValueError, RecursionError) as error:
            expected, got = "a record of robench", f"{type(error).__name__}: {error}"
        do = "Delete the file and run the same command again"
        raise StorageError(where=where, expected=expected, got=got, do=do)


def _damaged(text: str, error: StorageError) -> StorageError:
    """Return the error of a wrong checksum, with the schema that the record says, where it is another."""
    try:
        schema = json.loads(text)["schema"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return error
    says = f", and it says schema {described(schema)}" if schema != SCHEMA else ""
    return StorageError(where=error.where, expected=error.expected, got=error.got + says, do=error.do)


def noting_failed(records: Sequence[Record], failed_jobs: Mapping[str, Sequence[str]]) -> list[Record]:
    """Return the records with a note on those of models that lack others, because jobs of theirs failed.

    A board that only sees the records that exist would show such a row as complete.

    Args:
        records: what there is.
        failed_jobs: titles of the jobs that failed, by the model whose row lacks them.
    """

    def noted(record: Record) -> Record:
        failed = tuple(failed_jobs.get(record.target.name, ()))
        provenance = dataclasses.replace(record.provenance, failed_jobs=failed)
        return dataclasses.replace(record, provenance=provenance) if failed else record

    return [noted(record) for record in records]
