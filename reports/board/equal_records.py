"""Finds one measurement under two keys, so that it counts once on a board of several runs.

A key contains the names of models and the radius as it was written. So the same images judged by the same
weights have another key if a run names the model differently, or writes 0.1 for 1/10. When a board gives
them the same name, the costs of an attack must not be added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from reports.board.identities import attack_of, model_of, setting_of
from robench.record.schema import Record


def each_once(records: Iterable[Record]) -> list[Record]:
    """Return records without duplicates; the first of equal ones is kept.

    Records are equal if they have the same model, source, attack, setting, shard and seed, the same results
    for every image and the same findings.
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
    """Tell whether records may be of several runs: records of one run share a plan."""
    plans = {id(record.planned): record.planned for record in records}
    return len(plans) > 1 or None in plans.values()


def _measurement(record: Record) -> tuple[Any, ...]:
    source = record.source
    attempt = (model_of(source), source.gradient_source, source.stand_in, attack_of(record))
    return (model_of(record.target), attempt, setting_of(record), record.dataset.digest, record.seed)


def _says_the_same(one: Record, other: Record) -> bool:
    facts = one.findings == other.findings and one.certificates == other.certificates
    return facts and one.columns == other.columns
