"""One measurement under two keys: on a board of several runs it counts once.

A key holds the names of models and the radius as it was written. So the same images judged by the same
weights have another key where a run calls the model otherwise, or writes 0.1 for 1/10. Once a board calls
them alike, what an attack cost there must not be added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from reports.board.identities import attack_of, model_of, setting_of
from robench.record.schema import Record


def each_once(records: Iterable[Record]) -> list[Record]:
    """Return records, of equal ones the first.

    Equal are those of one model, source, attack, setting, shard and seed that say the same of every image and
    have the same findings.
    """
    unique: list[Record] = []
    places: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        alike = places.setdefault(_measurement(record), [])
        if not any(_says_the_same(record, other) for other in alike):
            alike.append(record)
            unique.append(record)
    return unique


def may_be_of_several_runs(records: Sequence[Record]) -> bool:
    """Tell whether records may be of several runs: those of one have a plan in common."""
    plans = {id(record.planned): record.planned for record in records}
    return len(plans) > 1 or None in plans.values()


def _measurement(record: Record) -> tuple[Any, ...]:
    source = record.source
    attempt = (model_of(source), source.gradient_source, source.stand_in, attack_of(record))
    return (model_of(record.target), attempt, setting_of(record), record.dataset.digest, record.seed)


def _says_the_same(one: Record, other: Record) -> bool:
    facts = one.findings == other.findings and one.certificates == other.certificates
    return facts and one.columns == other.columns
