"""How much robustness the published protocol sees that everything that was run takes away, model by model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.board.samples import Samples
from reports.board.shares import MeanShare, is_random
from reports.paper.comparisons import by_the_paper, judged_by_all, stands_on, threat_of, usual_threats
from reports.paper.models import OurModel
from robench.record.measures.fresh_outcomes import outcomes
from robench.record.schema import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """A model under all of the paper's attacks together, and under everything that was run.

    Attributes:
        model: its name.
        seed: of the run.
        threat: norm and radius in words.
        n: images that everything has judged.
        published: how many stand against all attacks of the paper through its gradient, image by image.
        honest: how many stand against all attacks of the runs, transferred images included.
        images: data set and split.
    """

    model: str
    seed: int
    threat: str
    n: int
    published: float
    honest: float
    images: str = ""

    @property
    def gap(self) -> float:
        """Points of accuracy that the published protocol took for robustness."""
        return 100 * (self.published - self.honest) / self.n


def shortfalls(models: Sequence[OurModel]) -> list[Shortfall]:
    """Return the shortfall of every model under every finite radius where both protocols were run."""
    return [one for model in models for samples in usual_threats(model) for one in _of(model, samples)]


def _of(model: OurModel, samples: Samples) -> Iterator[Shortfall]:
    if samples.unbounded:
        return
    labels = dict.fromkeys(record.attack.label for record in samples.attacked)
    records = [record for label in labels for record in by_the_paper(samples, model.target, label)]
    everything = samples.judged(model.target)
    images = judged_by_all(everything)
    if not records or len(everything) <= len(records) or not len(images):
        return
    clean = samples.untouched(model.target)
    if is_random(everything) and not set(images.tolist()) <= outcomes(records, clean).keys():
        return  # some were judged in the attacked draw alone, by an earlier version
    yield Shortfall(
        model=model.name,
        seed=records[0].seed,
        threat=threat_of(samples),
        n=len(images),
        published=_standing(records, clean, images),
        honest=_standing(everything, clean, images),
        images=" ".join(model.images[:2]),
    )


def _standing(records: Sequence[Record], clean: Sequence[Record], images: NDArray[np.int64]) -> float:
    """Return how many of some images stand against every record; of a random model, on average over draws."""
    if not is_random(records):
        return float(stands_on(records, images).sum())
    every = outcomes(records, clean)
    return MeanShare.of([every[image] for image in images.tolist()]).count
