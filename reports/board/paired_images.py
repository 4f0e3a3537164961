"""Which images stand against some records, and whether one attacker is significantly weaker than another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.board.identities import model_of
from reports.board.samples import Samples
from reports.board.shares import stands, worst
from robench.record.measures.draws import paired_p_value, share_stood, worst_outcome
from robench.record.measures.statistics import mcnemar
from robench.record.schema import Record, Status

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class PairedImages:
    """Images, and whether each stands against all attackers in question.

    Attributes:
        images: their positions in the data set, increasing.
        stands: for each, the share of draws in which it stands: 0 or 1 if there is one draw.
        draws: for a random model one 0 or 1 for each draw; None if there is one draw.
    """

    images: NDArray[np.int64]
    stands: NDArray[np.float64]
    draws: tuple[str, ...] | None = None

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.images)


def standing_images(records: Iterable[Record], *, fresh: bool = True) -> PairedImages:
    """Return which images stand against all of these records.

    Args:
        records: judged on one model.
        fresh: for a random model, use its fresh draws; otherwise the attacked draw.
    """
    import numpy as np

    every = list(records)
    if not fresh or not any(record.columns.draws for record in every):
        images, verdicts = worst(every, stands)
        return PairedImages(images, verdicts.astype(np.float64))
    points: dict[int, list[tuple[str, bool]]] = {}
    for record in every:
        columns = record.columns
        one = ["01"[status == Status.ROBUST] for status in columns.status]
        draws_kept = columns.stood or one
        for index, draws, status in zip(columns.index, draws_kept, columns.status, strict=True):
            points.setdefault(index, []).append((draws, status == Status.ROBUST))
    outcomes = {index: worst_outcome(of_image) for index, of_image in sorted(points.items())}
    shares = np.array([share_stood(draws) for draws in outcomes.values()])
    return PairedImages(np.array(list(outcomes), dtype=np.int64), shares, tuple(outcomes.values()))


def count(some: PairedImages) -> float:
    """Return how many images stand, on average over draws."""
    return _sum(some.stands)


def _sum(shares: NDArray[np.float64]) -> float:
    """Return the sum of shares; exact if they are 0 and 1, otherwise added in order."""
    import numpy as np

    return float(np.add.accumulate(shares)[-1]) if len(shares) else 0.0


def _shared(first: PairedImages, second: PairedImages) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the images that met both attackers are in the one and in the other."""
    import numpy as np

    if np.array_equal(first.images, second.images):
        every = np.arange(len(first))
        return every, every
    _, ours, theirs = np.intersect1d(first.images, second.images, assume_unique=True, return_indices=True)
    return ours, theirs


def gap(first: PairedImages, second: PairedImages) -> int:
    """Return how many more images stand against the first attacker, of those that met both; rounded."""
    ours, theirs = _shared(first, second)
    return round(_sum(first.stands[ours] - second.stands[theirs]))


def weakness(first: PairedImages, second: PairedImages) -> float:
    """Return the p-value of the first attacker being weaker than the second; 1 if it is not.

    Exact McNemar test on the images attacked by both; for means over draws the sign-flip test.
    """
    places, others = _shared(first, second)
    ours, theirs = first.stands[places], second.stands[others]
    if _sum(ours) <= _sum(theirs):
        return 1.0
    if first.draws is None and second.draws is None:
        return mcnemar(int((ours > theirs).sum()), int((theirs > ours).sum()))
    return paired_p_value(_draws(first, places), _draws(second, others))


def _draws(some: PairedImages, places: NDArray[np.int64]) -> list[str]:
    draws = some.draws or ["01"[int(stands)] for stands in some.stands.tolist()]
    return [draws[place] for place in places.tolist()]


def broken_on_all(samples: Samples) -> set[int]:
    """Return the images no model of the board survives; none under an infinite radius, where all fall."""
    if samples.unbounded:
        return set()
    # An image is robust for a target if it is robust in all its records, and lost if it is so for no target.
    images, survivors = set[int](), set[int]()
    for target in dict.fromkeys(model_of(r.target) for r in samples.attacked):
        indices, stands = worst(samples.judged(target))
        images.update(indices.tolist())
        survivors.update(indices[stands].tolist())
    return images - survivors
