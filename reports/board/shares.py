"""Shares of images with their intervals: plain, over batches of a joint model, over draws of a random one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from robench.record.draws import mean_stood, worst_outcome
from robench.record.schema import Record
from robench.record.statistics import ENOUGH_BATCHES, t_interval, wilson

if TYPE_CHECKING:
    import pandas as pd

Outcomes = dict[int, str]
"""Image to one 0 (fell) or 1 (stood) for each fresh draw, at the worst of its points."""


@dataclass(frozen=True, slots=True)
class Batches:
    """How the accuracy of a joint model varies over its batches, each of them a graph of its own.

    Attributes:
        n: how many batches.
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
        count: how many of the n.
        n: how many images; always all of them, misclassified and failed ones included.
        batches: of a joint model with enough batches, the interval over them; the interval holds it too, for
            Wilson's takes the images of one graph as independent, and few batches may agree by luck.
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
        return Share(self.n - self.count, self.n)


@dataclass(frozen=True, slots=True)
class MeanShare(Share):
    """How often images stood on average over fresh draws of a model's noise; see `robench.record.draws`.

    `count` is the sum over images of the share of draws in which each stood, and the interval is that of
    `robench.record.mean_stood`.

    Attributes:
        draws: how often each image was asked about.
    """

    draws: int = 0

    def __post_init__(self) -> None:
        """Know nothing; `of` knows the interval."""
        self._between(0.0, 1.0)

    @classmethod
    def of(cls, images: Sequence[str]) -> MeanShare:
        """Return the share of images given as one 0 (fell) or 1 (stood) for each draw."""
        average = mean_stood(images)
        share = cls(average.mean * len(images), len(images), draws=len(images[0]))
        share._between(average.low, average.high)
        return share

    @property
    def rest(self) -> Share:
        """The share of draws in which images fell."""
        others = MeanShare(self.n - self.count, self.n, draws=self.draws)
        others._between(1 - self.high, 1 - self.low)
        return others

    def _between(self, low: float, high: float) -> None:
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)


def is_random(table: pd.DataFrame) -> bool:
    """Tell whether any line is of a model that was judged under fresh draws."""
    return not table.empty and bool((table["stood"] != "").any())


def outcomes(table: pd.DataFrame, clean: pd.DataFrame | None = None) -> Outcomes:
    """Return how each image of the table fares at the worst of its points, in index order.

    Args:
        table: lines of attacks on one model, or of its clean images.
        clean: lines of its clean images, where the table is of attacks: who attacks may leave an image alone.
    """
    points: dict[int, list[tuple[str, bool]]] = {}
    lines = table[table["stood"] != ""]
    for index, stood, robust in zip(lines["index"], lines["stood"], lines["robust"], strict=True):
        points.setdefault(int(index), []).append((stood, bool(robust)))
    if clean is not None and not clean.empty:
        for index, stood, right in zip(clean["index"], clean["stood"], clean["right"], strict=True):
            if stood and int(index) in points:
                points[int(index)].append((stood, bool(right)))
    return {index: worst_outcome(of_image) for index, of_image in sorted(points.items())}


def robust_share(table: pd.DataFrame, clean: pd.DataFrame | None = None) -> Share | None:
    """Return the share of images that are robust in every line; over fresh draws if the model is random."""
    if is_random(table):
        return MeanShare.of(list(outcomes(table, clean).values()))
    return one_draw_share(table)


def clean_share(table: pd.DataFrame) -> Share | None:
    """Return the share of clean images that are right; over draws if the model is random."""
    return robust_share(table) if is_random(table) else one_draw_share(table, "right")


def one_draw_share(table: pd.DataFrame, column: str = "robust") -> Share | None:
    """Return the share of images that are robust in every line, in the draw that was attacked."""
    if table.empty:
        return None
    worst = table.groupby("index")[column].all()
    return Share(int(worst.sum()), len(worst), over_batches(table, worst))


def draws_of(records: Iterable[Record]) -> int:
    """Return the number of fresh draws of some records of one model; 0 if it is not random."""
    return max((record.draws for record in records), default=0)


def over_batches(table: pd.DataFrame, verdicts: pd.Series) -> Batches | None:
    """Return the interval over the batches of a joint model.

    Args:
        table: its lines, with the columns `index`, `shard` and `joint`.
        verdicts: whether each image counts, by index.

    Returns:
        None for an independent model, for fewer than `ENOUGH_BATCHES` batches, and where batches differ by
        more than one image or an image was in several: then they are no repetitions of one another.
    """
    if not bool(table["joint"].all()):
        return None
    places = table[["index", "shard"]].astype({"shard": str}).drop_duplicates()
    if places["index"].duplicated().any():
        return None
    shares = verdicts.groupby(places.set_index("index")["shard"].reindex(verdicts.index))
    sizes = shares.size()
    if len(sizes) < ENOUGH_BATCHES or int(sizes.max()) - int(sizes.min()) > 1:
        return None
    low, high = t_interval([float(share) for share in shares.mean()])
    return Batches(len(sizes), low, high)
