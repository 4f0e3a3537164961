"""How much robustness the published protocol sees that everything that was run takes away, model by model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reports.board.samples import Samples
from reports.board.shares import robust, worst
from reports.paper.comparisons import by_the_paper, threat_of, usual_threats
from reports.paper.models import OurModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """A model under all of the paper's attacks together, and under everything that was run.

    Attributes:
        model: its name.
        seed: of the run.
        threat: norm and radius in words.
        n: images.
        published: how many stand against all attacks of the paper through its gradient, image by image.
        honest: how many stand against everything that was run, transferred images included.
    """

    model: str
    seed: int
    threat: str
    n: int
    published: int
    honest: int

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
    if not records or len(everything) <= len(records):
        return
    yield Shortfall(
        model=model.name,
        seed=records[0].seed,
        threat=threat_of(samples),
        n=len(worst(records, robust)[0]),
        published=int(worst(records, robust)[1].sum()),
        honest=int(worst(everything, robust)[1].sum()),
    )
