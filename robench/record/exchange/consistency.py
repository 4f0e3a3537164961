"""Whether a submission agrees with itself: each status with its columns, broken images with the records.

None of this needs a network or an image, so it is asked of every submission before anything else. What agrees
may still be made up: see `robench.audit.submission_rejudgement`. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench.errors import StorageError
from robench.plurals import counted
from robench.record.exchange.broken_images import (
    FOLDER,
    broken_places,
    is_proof,
    member_of,
    of_submission,
    title_of,
)
from robench.record.schema import Record
from robench.record.status import ROBUST, STATUSES, TIED, statuses_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGETED = "targeted"
"""The goal of a threat whose attacker wants the class after the true one."""


def check_records(records: Iterable[Record]) -> None:
    """Refuse records whose status is not what their own columns say.

    Raises:
        StorageError: one does not agree; names its file, and the first image and its columns.
    """
    for record in records:
        _check_range(record)
        columns = record.columns
        clean, adversarial, label, status = columns.arrays("clean", "adversarial", "label", "status")
        true_status = statuses_of(
            clean,
            adversarial,
            label,
            classes=len(record.dataset.classes),
            targeted=record.threat.goal == TARGETED,
        )
        _refuse(record, status != true_status, true_status)
        if record.certificates:
            _check_certificates(record)


def check_images(root: Path, records: Sequence[Record], *, complete: bool) -> None:
    """Refuse broken images in an unpacked submission that are not those of its records.

    Args:
        root: its folder.
        records: its records.
        complete: whether all of its records could be read. Otherwise images may be missing, because those of
            an unreadable record are nobody's.

    Raises:
        StorageError: a file of images is damaged, belongs to no record or to one whose images prove nothing,
            has an image that was not broken, or a broken image is missing.
    """
    proofs = {record.key: record for record in records if is_proof(record)}
    names = {member_of(key) for key in proofs}
    if complete and (strangers := sorted(set(_members(root)) - names)):
        expected = "images of an attack among the records, on a model that is judged image by image"
        raise StorageError(where=strangers[0], expected=expected, got="images of none of these")
    images = set()
    for one in of_submission(root, list(proofs.values())):
        positions = set(one.positions)
        images |= {image for image, position in broken_places(one.record) if position in positions}
    if not complete:
        return
    for record in proofs.values():
        missing = [position for image, position in broken_places(record) if image not in images]
        if missing:
            raise StorageError(
                where=FOLDER,
                expected="an image for each that the records say was broken",
                got=f"none for {counted(len(missing), 'image')} of {title_of(record)}, the first is image "
                f"{int(record.columns.array('index')[missing[0]])}",
            )


def _members(root: Path) -> list[str]:
    return [f"{FOLDER}/{path.name}" for path in (root / FOLDER).glob("*")]


def _check_range(record: Record) -> None:
    """Refuse numbers that are no classes."""
    classes = len(record.dataset.classes)
    limits = {"label": (0, classes - 1), "clean": (TIED, classes), "adversarial": (TIED, classes)}
    for (name, (low, high)), column in zip(limits.items(), record.columns.arrays(*limits), strict=True):
        outside = (column < low) | (column > high)
        if outside.any():
            raise StorageError(
                where=f"units/{record.key}.json",
                expected=f"numbers from {low} to {high} in `{name}`, as it names {counted(classes, 'class')}",
                got=str(column[outside][0]),
            )


def _check_certificates(record: Record) -> None:
    """Refuse certificates of images that were misclassified or broken."""
    import numpy as np

    assert record.certificates is not None
    status = record.columns.array("status")
    wrong = (np.array(record.certificates.certified) == 1) & (status != ROBUST)
    if wrong.any():
        first = int(wrong.argmax())
        image = int(record.columns.array("index")[first])
        raise StorageError(
            where=f"units/{record.key}.json",
            expected="certificates only of images that stand",
            got=f"{counted(int(wrong.sum()), 'certificate')} of others: image {image} is "
            f"{STATUSES[status[first]]}",
        )


def _refuse(record: Record, wrong: NDArray[Any], true_status: NDArray[Any]) -> None:
    """Refuse a record some of whose images, (n,) of bool, have another status than (n,) is right."""
    if not wrong.any():
        return
    first = int(wrong.argmax())
    names = ("index", "label", "clean", "adversarial", "status")
    index, label, clean, adversarial, status = (int(one[first]) for one in record.columns.arrays(*names))
    right = STATUSES[true_status[first]]
    goal = f", goal {record.threat.goal}" if record.threat.goal else ""
    raise StorageError(
        where=f"units/{record.key}.json",
        expected="a `status` that agrees with the record's own columns",
        got=f"another for {counted(int(wrong.sum()), 'image')} of {record.attack.label} on "
        f"{record.target.name}: image {index} is {STATUSES[status]} there, but {right} by "
        f"`label` {label}, `clean` {clean} and `adversarial` {adversarial}{goal}",
    )
