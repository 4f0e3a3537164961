"""Marks records of models whose other records are missing because jobs failed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from robench.record.schema import Record


def noting_failed(records: Sequence[Record], failed_jobs: Mapping[str, Sequence[str]]) -> list[Record]:
    """Return the records; those of models with failed jobs carry a note that other records are missing.

    A board that only sees the existing records would show such a row as complete.

    Args:
        records: the existing records.
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
