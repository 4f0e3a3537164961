"""Certified images of a board, beside those that attacks leave standing: certified <= truth <= attacked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reports.board.samples import Samples, attack_of, model_of
from reports.board.shares import Share
from robench.record.schema import Record, Status

if TYPE_CHECKING:
    import pandas as pd


def bounds_of(samples: Samples, target: str) -> list[Record]:
    """Return the records of bounds on a model, given by its identity."""
    return [record for record in samples.bounds if model_of(record.target) == target]


def certified_images(records: Iterable[Record]) -> dict[int, bool]:
    """Return which of the images that were bounded are certified, by any of the ways to bound."""
    images: dict[int, bool] = {}
    for record in records:
        if record.certificates:
            for index, certified in zip(record.columns.index, record.certificates.certified, strict=True):
                images[int(index)] = images.get(int(index), False) or bool(certified)
    return images


def broken_by_search(records: Iterable[Record]) -> set[int]:
    """Return the images that a search for a bound found an adversarial image of, as the judge saw it."""
    return {
        int(index)
        for record in records
        for index, status in zip(record.columns.index, record.columns.status, strict=True)
        if record.certificates and status == Status.BROKEN
    }


def with_search(table: pd.DataFrame, samples: Samples, target: str) -> pd.DataFrame:
    """Return lines of attacks on a model in which images that a search broke are not robust either."""
    broken = broken_by_search(bounds_of(samples, target))
    if table.empty or not broken:
        return table
    return table.assign(robust=table["robust"] & ~table["index"].isin(sorted(broken)))


def share_of(images: dict[int, bool]) -> Share | None:
    """Return the share of images that are certified, None for no images."""
    return Share(sum(images.values()), len(images)) if images else None


def shares_by_method(samples: Samples, target: str) -> dict[str, Share]:
    """Return the certified share of each way to bound a model, by its label."""
    groups: dict[str, list[Record]] = {}
    for record in bounds_of(samples, target):
        groups.setdefault(samples.bound_labels[attack_of(record)], []).append(record)
    shares = {label: share_of(certified_images(groups[label])) for label in samples.bound_labels.values()
              if label in groups}  # fmt: skip
    return {label: share for label, share in shares.items() if share is not None}


def gap_of(samples: Samples, target: str, attacked: pd.DataFrame, clean: pd.DataFrame) -> Share | None:
    """Return the share of images that are neither certified nor broken: nobody knows what they are.

    Args:
        samples: the board.
        target: identity of the model.
        attacked: lines of attacks on it, with what searches broke.
        clean: lines of its clean images, of which a wrong one counts as broken; taken where nothing attacked.
    """
    own = bounds_of(samples, target)
    certified = certified_images(own)
    if attacked.empty:
        broken = broken_by_search(own)
        stands = {int(i): bool(right) for i, right in zip(clean.get("index", ()), clean.get("right", ()),
                                                          strict=True)}  # fmt: skip
        stands = {index: stood and index not in broken for index, stood in stands.items()}
    else:
        stands = {int(str(i)): bool(v) for i, v in attacked.groupby("index")["robust"].all().items()}
    both = certified.keys() & stands.keys()
    return Share(sum(stands[i] and not certified[i] for i in both), len(both)) if both else None


def missing_bounds(samples: Samples, target: str) -> dict[str, int]:
    """Return how many images each way to bound has bounded of a model, by its label."""
    return {label: share.n for label, share in shares_by_method(samples, target).items()}
