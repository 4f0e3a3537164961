"""Shares of images with intervals: plain, over batches of a joint model, over draws of a random model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from robench.record.measures.draws import mean_stood
from robench.record.measures.fresh_outcomes import outcomes
from robench.record.measures.statistics import ENOUGH_BATCHES, t_interval, wilson
from robench.record.schema import Record
from robench.record.status import ROBUST, robust_images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Batches:
    """The variation of a joint model's accuracy over its batches, each with its own graph.

    Attributes:
        n: number of batches.
        low: lower end of Student's 95 % t interval over their accuracies.
        high: upper end of it.
    """

    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Share:
    """A proportion of images with its 95 % interval: Wilson's, widened where images are not independent.

    Attributes:
        count: number of images that count.
        n: number of all images, including misclassified and failed ones.
        batches: for a joint model with enough batches, the interval over them. The interval of the share
            includes it, because Wilson's assumes independent images, and few batches may agree by luck.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    count: float
    n: int
    batches: Batches | None = None
    low: float = field(init=False)
    high: float = field(init=False)

    def __post_init__(self) -> None:
        """Compute the interval once."""
        low, high = wilson(int(self.count), self.n)
        if self.batches:
            low, high = min(low, self.batches.low), max(high, self.batches.high)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def value(self) -> float | None:
        """The proportion, None for no images."""
        return self.count / self.n if self.n else None

    @property
    def rest(self) -> Share:
        """The share of the other images."""
        other_batches = self.batches and Batches(self.batches.n, 1 - self.batches.high, 1 - self.batches.low)
        return Share(self.n - self.count, self.n, other_batches)


@dataclass(frozen=True, slots=True)
class MeanShare(Share):
    """The average share of a model's fresh draws in which images stood; see `robench.record.measures.draws`.

    `count` is the sum over images of the share of draws in which each stood, and the interval is that of
    `robench.record.mean_stood`.

    Attributes:
        draws: number of draws per image.
    """

    draws: int = 0

    def __post_init__(self) -> None:
        """Start with the widest interval; `of` computes the right one."""
        self._between(0.0, 1.0)

    @classmethod
    def of(cls, images: Sequence[str]) -> MeanShare:
        """Return the share of images given as one 0 (broken) or 1 (stood) for each draw."""
        average = mean_stood(images)
        share = cls(average.mean * len(images), len(images), draws=len(images[0]))
        share._between(average.low, average.high)
        return share

    @property
    def rest(self) -> Share:
        """The share of draws in which images were broken."""
        others = MeanShare(self.n - self.count, self.n, draws=self.draws)
        others._between(1 - self.high, 1 - self.low)
        return others

    def _between(self, low: float, high: float) -> None:
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)


def is_random(records: Iterable[Record]) -> bool:
    """Tell whether any of the records is of a model that was judged under fresh draws."""
    return any(record.columns.draws for record in records)


def right(record: Record) -> NDArray[np.bool_]:
    """Return which clean images of a record are classified right, (n,)."""
    clean, label = record.columns.arrays("clean", "label")
    return cast("NDArray[np.bool_]", clean == label)


def robust(record: Record) -> NDArray[np.bool_]:
    """Return which images of a record count as robust, (n,); see `robench.record.status.robust_images`."""
    status, clean, label = record.columns.arrays("status", "clean", "label")
    return cast("NDArray[np.bool_]", robust_images(status, clean == label))


def stands(record: Record) -> NDArray[np.bool_]:
    """Return which images of a record survived the attack, (n,), right or wrong from the start."""
    return cast("NDArray[np.bool_]", record.columns.array("status") == ROBUST)


Verdicts = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.uint8]"]
"""Images of a record, their clean predictions, labels and statuses."""


def _all_stand(shard: Sequence[Verdicts]) -> NDArray[np.bool_]:
    """Return `stands` for all records of a shard together."""
    import numpy as np

    # ROBUST is the largest of the numbers of statuses.
    least = np.minimum.reduce([one[3] for one in shard]) if len(shard) > 1 else shard[0][3]
    return cast("NDArray[np.bool_]", least == ROBUST)


def _all_robust(shard: Sequence[Verdicts]) -> NDArray[np.bool_]:
    """Return `robust` for all records of a shard together."""
    every = _all_stand(shard)
    pairs = {(id(clean), id(label)): (clean, label) for _, clean, label, _ in shard}  # usually a single pair
    for clean, label in pairs.values():
        every &= clean == label
    return every


def _all(
    shard: Sequence[Verdicts], records: Sequence[Record], verdict: Callable[[Record], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Return for each image of a shard whether it is true in all records; faster for the usual verdicts."""
    import numpy as np

    if verdict is robust:
        return _all_robust(shard)
    if verdict is stands:
        return _all_stand(shard)
    return cast("NDArray[np.bool_]", np.logical_and.reduce([verdict(one) for one in records]))


def worst(
    records: Iterable[Record], verdict: Callable[[Record], NDArray[np.bool_]] = robust
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the images of some records in increasing order, and for each whether it is true in all records.

    Args:
        records: with an image in one or in several of them.
        verdict: returns one bool for each image of a record.
    """
    import numpy as np

    groups: dict[int, tuple[list[Verdicts], list[Record]]] = {}
    for record in records:
        own = record.columns.verdicts()
        group = groups.get(id(own[0]))  # records of one shard share their array
        if group is None:
            groups[id(own[0])] = ([own], [record])
        else:
            group[0].append(own)
            group[1].append(record)
    if not groups:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    shards = [(own[0][0], _all(own, group, verdict)) for own, group in groups.values()]
    in_order = sorted(shards, key=lambda shard: int(shard[0][0]) if len(shard[0]) else -1)
    images = np.concatenate([index for index, _ in in_order])
    verdicts = np.concatenate([own for _, own in in_order])
    if (images[1:] > images[:-1]).all():
        return images, verdicts
    unique, places = np.unique(images, return_inverse=True)
    every = np.ones(len(unique), dtype=bool)
    np.logical_and.at(every, places, verdicts)
    return unique, every


def robust_share(
    records: Sequence[Record],
    clean: Sequence[Record] = (),
    verdict: Callable[[Record], NDArray[np.bool_]] = robust,
) -> Share | None:
    """Return the share of images that are robust in every record; over fresh draws if the model is random.

    Args:
        records: judged on one model.
        clean: its clean images.
        verdict: returns which images of a record are robust, if the model is not random.
    """
    if is_random(records):
        return MeanShare.of(list(outcomes(records, clean).values()))
    return one_draw_share(records, verdict)


def clean_share(records: Sequence[Record]) -> Share | None:
    """Return the share of clean images that are right; over draws if the model is random."""
    return robust_share(records) if is_random(records) else one_draw_share(records, right)


def one_draw_share(
    records: Sequence[Record], verdict: Callable[[Record], NDArray[np.bool_]] = robust
) -> Share | None:
    """Return the share of images that are robust in every record, in the attacked draw."""
    images, verdicts = worst(records, verdict)
    if not len(images):
        return None
    return Share(int(verdicts.sum()), len(images), over_batches(records, images, verdicts))


def draws_of(records: Iterable[Record]) -> int:
    """Return the number of fresh draws of some records of one model; 0 if it is not random."""
    return max((record.draws for record in records), default=0)


def over_batches(
    records: Sequence[Record], images: NDArray[np.int64], verdicts: NDArray[np.bool_]
) -> Batches | None:
    """Return the interval over the batches of a joint model.

    Args:
        records: its records.
        images: their images, in increasing order.
        verdicts: whether each image counts.

    Returns:
        None for an independent model, for fewer than `ENOUGH_BATCHES` batches, and if batch sizes differ by
        more than one image or an image was in several batches: then they are not repetitions.
    """
    if not all(record.target.joint for record in records):
        return None
    import numpy as np

    batches: dict[str, NDArray[np.int64]] = {}
    for record in records:
        index, digest = record.columns.array("index"), record.dataset.digest
        before = batches.get(digest)
        if before is not index:
            batches[digest] = np.unique(index if before is None else np.concatenate([before, index]))
    sizes = [len(batch) for batch in batches.values()]
    if sum(sizes) != len(images):
        return None  # an image was in several
    if len(sizes) < ENOUGH_BATCHES or max(sizes) - min(sizes) > 1:
        return None
    shares = [int(verdicts[np.searchsorted(images, batch)].sum()) / len(batch) for batch in batches.values()]
    low, high = t_interval(shares)
    return Batches(len(sizes), low, high)
