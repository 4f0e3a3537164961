"""What a label is called."""

from __future__ import annotations

from robench.record.schema import Record


def class_name(record: Record, label: int) -> str:
    """Return the name of a class; that of a rejection, or of no answer, where a label stands for one."""
    return record.dataset.class_name(label)
