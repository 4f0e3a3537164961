"""What a label is called."""

from __future__ import annotations

from robench.record.schema import Record


def class_name(record: Record, label: int) -> str:
    """Return the name of a class; that of a rejection, or of no answer, where a label stands for one."""
    classes = record.dataset.get("classes")
    if isinstance(classes, list | tuple) and 0 <= label < len(classes):
        return str(classes[label])
    if isinstance(classes, list | tuple) and label == len(classes):
        return "rejected"  # by a detector
    return "no answer" if label < 0 else str(label)
