"""Records whose model lacks others, because jobs of it failed: they say so."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from robench.record.schema import Record


def noting_failed(records: Sequence[Record], failed_jobs: Mapping[str, Sequence[str]]) -> list[Record]:
    """Return the records with a note on those of models that lack others, because jobs of theirs failed.

    A board that only sees the records that exist would show such a row as complete.

    Args:
        records: what there is.
        failed_jobs: titles of the jobs that failed, by the model whose row lacks them.
    """
    if not failed_jobs:
        return list(records)

    def noted(record: Record) -> Record:
        titles = tuple(failed_jobs.get(record.target.name, ()))
        if not titles:
            return record
        return record.noting(provenance=dataclasses.replace(record.provenance, failed_jobs=titles))

    return [noted(record) for record in records]
