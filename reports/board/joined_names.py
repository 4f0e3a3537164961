"""The same network under several names, or from several folders, is one model on a board of many runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from robench.plan.spec import content_hash
from robench.record.board_entry import BoardEntry
from robench.record.parts import RecordedSource, RecordedTarget
from robench.record.planned import PlannedRun
from robench.record.schema import Record

Part = TypeVar("Part", RecordedTarget, RecordedSource)


def network_of(target: RecordedTarget) -> str:
    """Return what two models share that are the same network, wherever the file of its code lies.

    A fingerprint holds the path of a user's file. Where records keep the hashes of that file and of the
    checkpoint, these and all else that is known of the model tell as much without it.
    """
    details = {name: _without_folder(value) for name, value in target.details.items()}
    if details == dict(target.details) or not {"checkpoint", "code_sha256"} <= details.keys():
        return target.fingerprint
    return content_hash([details, target.output, target.coupling, list(target.sources)])


def _without_folder(value: Any) -> Any:
    """Return a reference to a user's code without its file; anything else as it is."""
    file, colon, name = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    return f"file.py:{name}" if colon and file.endswith(".py") else value


def one_fingerprint(entries: Sequence[BoardEntry]) -> list[BoardEntry]:
    """Return the runs with one fingerprint for each network, that of the first run that has it."""
    first: dict[str, str] = {}
    fingerprints: dict[str, str] = {}
    for entry in entries:
        for target in {id(r.target): r.target for r in entry.records}.values():
            if target.fingerprint:
                fingerprints[target.fingerprint] = first.setdefault(network_of(target), target.fingerprint)
    if all(own == other for own, other in fingerprints.items()):
        return list(entries)
    parts: dict[int, tuple[Part, Part]] = {}  # type: ignore[valid-type]

    def part(one: Part) -> Part:
        if id(one) not in parts:
            fingerprint = fingerprints.get(one.fingerprint, one.fingerprint)
            parts[id(one)] = one, dataclasses.replace(one, fingerprint=fingerprint)
        return parts[id(one)][1]

    return [
        dataclasses.replace(
            entry,
            records=tuple(
                dataclasses.replace(record, target=part(record.target), source=part(record.source))
                for record in entry.records
            ),
        )
        for entry in entries
    ]


def names_of_weights(entries: Sequence[BoardEntry]) -> dict[str, tuple[str, ...]]:
    """Return by fingerprint the names that runs give one model, the first run's first."""
    names: dict[str, dict[str, None]] = {}
    for entry in entries:
        for target in {id(r.target): r.target for r in entry.records}.values():
            if target.fingerprint:
                names.setdefault(target.fingerprint, {})[target.name] = None
    return {fingerprint: tuple(own) for fingerprint, own in names.items()}


def under_first_names(entries: Sequence[BoardEntry], names: Mapping[str, Sequence[str]]) -> list[BoardEntry]:
    """Return the runs with every model under the first of its names, in records and in what a plan asks for.

    Args:
        entries: the runs.
        names: as `names_of_weights` has them.
    """
    first = {fingerprint: own[0] for fingerprint, own in names.items() if len(own) > 1}
    return [_renamed(entry, first) for entry in entries]


def _renamed(entry: BoardEntry, first: Mapping[str, str]) -> BoardEntry:
    parts: dict[int, tuple[Part, Part]] = {}  # type: ignore[valid-type]
    new_names: dict[str, str] = {}

    def part(one: Part) -> Part:
        if id(one) not in parts:
            name = first.get(one.fingerprint, one.name)
            new_names[one.name] = name
            parts[id(one)] = one, one if name == one.name else dataclasses.replace(one, name=name)
        return parts[id(one)][1]

    targets = [part(record.target) for record in entry.records]
    sources = [part(record.source) for record in entry.records]
    if all(old == new for old, new in new_names.items()):
        return entry
    plans: dict[int, tuple[PlannedRun, PlannedRun]] = {}

    def plan(one: PlannedRun | None) -> PlannedRun | None:
        if one is None:
            return None
        if id(one) not in plans:
            plans[id(one)] = one, one.renamed(new_names)
        return plans[id(one)][1]

    records: list[Record] = [
        dataclasses.replace(record, target=target, source=source, planned=plan(record.planned))
        for record, target, source in zip(entry.records, targets, sources, strict=True)
    ]
    judged_again = {new_names.get(name, name): text for name, text in entry.judged_again.items()}
    return dataclasses.replace(entry, records=tuple(records), judged_again=judged_again)
