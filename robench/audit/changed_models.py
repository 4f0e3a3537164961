"""Which models of a run are not what its records say, and in what they differ."""

from __future__ import annotations

from collections.abc import Iterable

from robench.record.schema import Record
from robench.run.work import Work

_WORDS = {
    "checkpoint": "weights",
    "code_sha256": "code",
    "defense_code_sha256": "code of the defense",
    "architecture": "architecture, or place of its file",
    "normalize": "normalisation",
}
"""What the details of a model are called, by their names in records."""


def changed_models(work: Work, records: Iterable[Record]) -> list[str]:
    """Return a text for each model of a plan that has other weights, code or settings than its records."""
    targets = {record.target.name: record.target for record in records}
    texts = []
    for entry in work.models:
        before = targets.get(entry.model.name)
        if before is None or before.fingerprint == entry.fingerprint:
            continue
        now = entry.model.details
        names = [
            _WORDS.get(name, name)
            for name in sorted({*before.details, *now})
            if str(before.details.get(name)) != str(_plain(now.get(name)))
        ]
        texts.append(f"{entry.model.name} has other {' and '.join(names) or 'weights'}")
    return texts


def _plain(value: object) -> object:
    """Return a detail as records hold it: with lists in place of tuples."""
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
