"""The same network under several names, or from several folders, is one model on a board of many runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from robench.plan.spec import content_hash
from robench.record.exchange.board_entry import BoardEntry
from robench.record.parts import RecordedSource, RecordedTarget
from robench.record.planned import PlannedRun
from robench.record.schema import Record

Part = TypeVar("Part", RecordedTarget, RecordedSource)


_PLAIN = frozenset(
    {
        "architecture", "architecture_options", "features_of", "buffer", "normalize", "head", "training",
        "code_sha256", "network_sha256", "checkpoint", "checkpoint_key", "checkpoint_card",
        "checkpoint_notes", "class_map",
    }
)  # fmt: skip
"""Details that describe a model completely; other details may mean more, such as a template or a defense."""


def network_of(target: RecordedTarget, *, key: bool = True) -> str:
    """Return an identity that is the same for the same network, independent of the path of its code.

    A fingerprint contains the path of a user's file, and whether a run trained the weights or read them. If a
    model consists of its code and its weights, and records have the hashes of both, these and the settings
    identify it without either.

    Args:
        target: the model.
        key: include the selected part of the checkpoint.
    """
    details = {name: _without_folder(value) for name, value in target.details.items()}
    is_plain = details.keys() <= _PLAIN and details.get("head") == "linear" and not details.get("features_of")
    own_code = any(value != target.details[name] for name, value in details.items())
    if not is_plain or "checkpoint" not in details or (own_code and "code_sha256" not in details):
        return target.fingerprint
    # The file of the weights is known by its hash: where they came from is no matter.
    beside = {"training", "network_sha256", "checkpoint_card", "checkpoint_notes"}
    beside |= set() if key else {"checkpoint_key"}
    details = {name: value for name, value in details.items() if name not in beside}
    return content_hash([details, target.output, target.coupling, list(target.sources)])


def _without_folder(value: Any) -> Any:
    """Return a reference to a user's code without its file; anything else as it is."""
    file, colon, name = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    return f"file.py:{name}" if colon and file.endswith(".py") else value


def _fingerprints(targets: Sequence[RecordedTarget]) -> dict[str, str]:
    """Return for every fingerprint that of the first target with the same network."""
    # If no part of a checkpoint is named, and no note says what was taken or ignored, it has only one part.
    choices = {"checkpoint_key", "checkpoint_notes"}
    whole = {network_of(t, key=False) for t in targets if not choices & t.details.keys()}
    first: dict[str, str] = {}
    fingerprints: dict[str, str] = {}
    for target in targets:
        if target.fingerprint:
            any_part = network_of(target, key=False)
            network = any_part if any_part in whole else network_of(target)
            contents = str(target.details.get("network_sha256") or network)
            one = first.get(contents) or first.get(network) or target.fingerprint
            fingerprints[target.fingerprint] = first.setdefault(contents, first.setdefault(network, one))
    return fingerprints


def with_one_fingerprint(records: Sequence[Record]) -> list[Record]:
    """Return the records with one fingerprint for each network, that of the first record that has it."""
    fingerprints = _fingerprints(list({id(r.target): r.target for r in records}.values()))
    if all(own == other for own, other in fingerprints.items()):
        return list(records)
    parts: dict[int, tuple[Part, Part]] = {}  # type: ignore[valid-type]

    def part(one: Part) -> Part:
        if id(one) not in parts:
            fingerprint = fingerprints.get(one.fingerprint, one.fingerprint)
            parts[id(one)] = one, dataclasses.replace(one, fingerprint=fingerprint)
        return parts[id(one)][1]

    return [record.noting(target=part(record.target), source=part(record.source)) for record in records]


def one_fingerprint(entries: Sequence[BoardEntry]) -> list[BoardEntry]:
    """Return the runs with one fingerprint for each network, that of the first run that has it."""
    records = iter(with_one_fingerprint([record for entry in entries for record in entry.records]))
    return [
        dataclasses.replace(entry, records=tuple(next(records) for _ in entry.records)) for entry in entries
    ]


def names_of_weights(entries: Sequence[BoardEntry]) -> dict[str, tuple[str, ...]]:
    """Return by fingerprint the names of each model in all runs, the first run's name first."""
    names: dict[str, dict[str, None]] = {}
    for entry in entries:
        for target in {id(r.target): r.target for r in entry.records}.values():
            if target.fingerprint:
                names.setdefault(target.fingerprint, {})[target.name] = None
    return {fingerprint: tuple(own) for fingerprint, own in names.items()}


def under_first_names(entries: Sequence[BoardEntry], names: Mapping[str, Sequence[str]]) -> list[BoardEntry]:
    """Return the runs with every model under the first of its names, in records and plans.

    Args:
        entries: the runs.
        names: the result of `names_of_weights`.
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
