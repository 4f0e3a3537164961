"""Certified images of a board, and images that survive attacks: certified <= truth <= survivors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from reports.board.identities import attack_of
from reports.board.samples import Samples
from reports.board.shares import Share, right, robust, worst
from robench.record.schema import Record, Status

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def bounds_of(samples: Samples, target: str) -> Sequence[Record]:
    """Return the records of bounds on a model, given by its identity."""
    return samples.bounded(target)


def certified_images(records: Iterable[Record]) -> dict[int, bool]:
    """Return which of the bounded images are certified, by any of the bounding methods."""
    images: dict[int, bool] = {}
    for record in records:
        if record.certificates:
            for index, verdict in zip(record.columns.index, record.certificates.certified, strict=True):
                images[int(index)] = images.get(int(index), False) or bool(verdict)
    return images


def broken_by_search(records: Iterable[Record]) -> set[int]:
    """Return the images for which a search for a bound found an adversarial image, by the judge's verdict."""
    return {
        int(index)
        for record in records
        for index, status in zip(record.columns.index, record.columns.status, strict=True)
        if record.certificates and status == Status.BROKEN
    }


def robust_but_for(samples: Samples, target: str) -> Callable[[Record], NDArray[np.bool_]]:
    """Return a verdict function in which images that a search for a bound broke are not robust either."""
    breaks = sorted(broken_by_search(samples.bounded(target)))
    if not breaks:
        return robust

    def verdict(record: Record) -> NDArray[np.bool_]:
        import numpy as np

        return robust(record) & ~np.isin(record.columns.array("index"), breaks)

    return verdict


def share_of(images: dict[int, bool]) -> Share | None:
    """Return the share of images that are certified, None for no images."""
    return Share(sum(images.values()), len(images)) if images else None


def shares_by_method(samples: Samples, target: str) -> dict[str, Share]:
    """Return the certified share of each bounding method of a model, by its label."""
    groups: dict[str, list[Record]] = {}
    for record in bounds_of(samples, target):
        groups.setdefault(samples.bound_labels[attack_of(record)], []).append(record)
    shares = {label: share_of(certified_images(groups[label])) for label in samples.bound_labels.values()
              if label in groups}  # fmt: skip
    return {label: share for label, share in shares.items() if share is not None}


def gap_of(samples: Samples, target: str) -> Share | None:
    """Return the share of images that are neither certified nor broken, so that their robustness is unknown.

    A wrong clean image counts as broken; if nothing was attacked, the clean results are used.
    """
    own, attack_records = samples.bounded(target), samples.judged(target)
    proofs = certified_images(own)
    if not proofs:
        return None
    if attack_records:
        images, verdicts = worst(attack_records, robust_but_for(samples, target))
    else:
        images, verdicts = worst(samples.untouched(target), right)
    breaks = set() if attack_records else broken_by_search(own)
    stands = {
        index: verdict and index not in breaks
        for index, verdict in zip(images.tolist(), verdicts.tolist(), strict=True)
    }
    both = proofs.keys() & stands.keys()
    return Share(sum(stands[i] and not proofs[i] for i in both), len(both)) if both else None


def missing_bounds(samples: Samples, target: str) -> dict[str, int]:
    """Return the number of a model's images that each bounding method has bounded, by its label."""
    return {label: share.n for label, share in shares_by_method(samples, target).items()}
