"""Two heads on the same images, image by image: by the published protocol, and by everything that was run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reports.board.samples import Samples
from reports.board.shares import right, robust, worst
from reports.paper.matching import PAPERS_SOURCE
from reports.paper.models import OurModel
from robench import plugins
from robench.plan.spec import KNOWN
from robench.record.schema import Record
from robench.record.statistics import gap_interval, holm, mcnemar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KINDS = {
    **dict.fromkeys(("natural", "svm", "wnll_natural", "wnll_semi_supervised", "graph_natural"), "clean"),
    **dict.fromkeys(("pgd_training", "wnll_pgd", "graph_pgd"), "PGD"),
}
"""What the trainings of the heads have in common; any other training is like itself alone."""

CLEAN, PUBLISHED, HONEST = "clean", "published", "honest"
PAPERS_ATTACKS = frozenset({"fgsm", "ifgsm", "cw", "wnll_published"})
"""Attacks of the paper and of its authors' code, whatever their labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A head against the softmax head on the same images.

    Attributes:
        protocol: `clean`, `published` (one of the paper's attacks, through the paper's gradient) or `honest`
            (image by image the worst of all attacks that were run, transferred images included).
        attack: label of the attack; empty for `clean` and `honest`.
        threat: norm and radius in words; empty for `clean`.
        softmax: name of the softmax model.
        other: name of the other model.
        seed: of the run.
        n: images judged on both.
        softmax_right: how many of them the softmax model gets right.
        other_right: how many the other one does.
        only_softmax: how many only the softmax model does.
        only_other: how many only the other one does.
        corrected: p-value by Holm's method over all comparisons that are shown together.
    """

    protocol: str
    attack: str
    threat: str
    softmax: str
    other: str
    seed: int
    n: int
    softmax_right: int
    other_right: int
    only_softmax: int
    only_other: int
    corrected: float = 1.0

    @property
    def p(self) -> float:
        """The exact McNemar p-value, two-sided."""
        return mcnemar(self.only_softmax, self.only_other)

    @property
    def gap(self) -> float:
        """Accuracy of the other model minus that of softmax, in points."""
        return 100 * (self.other_right - self.softmax_right) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % score interval of `gap`, in points."""
        low, high = gap_interval(self.n, self.only_softmax, self.only_other)
        return 100 * low, 100 * high


def comparisons(models: Sequence[OurModel]) -> list[Comparison]:
    """Return every comparison of a graph or SVM head with the softmax head of an equal network.

    Equal are networks of one architecture, trained on as many images and alike (on clean images, or on images
    attacked by PGD), with no defense in front, judged on the same set in the same run.
    """
    pairs = []
    for softmax in models:
        if softmax.head != "softmax":
            continue
        for other in models:
            if (
                other.head != "softmax"
                and other.details.get("head")
                and other.images == softmax.images
                and other.architecture == softmax.architecture
                and other.training_images == softmax.training_images
                and _KINDS.get(other.training, other.training)
                == _KINDS.get(softmax.training, softmax.training)
                and not (other.details.get("inference") or softmax.details.get("inference"))
            ):
                pairs += list(_pair(softmax, other))
    return corrected(pairs)


def corrected(pairs: Sequence[Comparison]) -> list[Comparison]:
    """Return comparisons with the p-values that Holm's method makes of all of them together."""
    adjusted_values = holm([pair.p for pair in pairs])
    return [replace(pair, corrected=p) for pair, p in zip(pairs, adjusted_values, strict=True)]


def _pair(softmax: OurModel, other: OurModel) -> Iterator[Comparison]:
    first = softmax.samples[0]
    clean = _outcomes(first.untouched(softmax.target), right), _outcomes(first.untouched(other.target), right)
    yield from _compared(CLEAN, "", "", softmax, other, clean, _seed(first))
    for samples in usual_threats(softmax):
        threat = threat_of(samples)
        for label in dict.fromkeys(record.attack.label for record in samples.attacked):
            outcomes = (
                _outcomes(by_the_paper(samples, softmax.target, label), robust),
                _outcomes(by_the_paper(samples, other.target, label), robust),
            )
            yield from _compared(PUBLISHED, label, threat, softmax, other, outcomes, _seed(samples))
        if not samples.unbounded:
            everything = (
                _outcomes(samples.judged(softmax.target), robust),
                _outcomes(samples.judged(other.target), robust),
            )
            yield from _compared(HONEST, "", threat, softmax, other, everything, _seed(samples))


def usual_threats(model: OurModel) -> list[Samples]:
    """Return the boards of a model whose attacker knows it and has no budget, as the authors' has not."""
    return [
        samples
        for samples in model.samples
        if samples.setting.threat.knowledge in {None, KNOWN}
        and samples.setting.threat.budget is None
        and samples.attacked
    ]


def threat_of(samples: Samples) -> str:
    """Return norm and radius of a board in words, such as `Linf 8/255 (0.0314)`."""
    return f"{samples.setting.threat.norm} {samples.eps_text}"


def by_the_paper(samples: Samples, target: str, label: str) -> list[Record]:
    """Return white-box records of an attack of the paper, through its gradient; none for other attacks."""
    records = [record for record in samples.white_box(target) if record.attack.label == label]
    if not records or plugins.called("attacks", records[0].attack.name) not in PAPERS_ATTACKS:
        return []
    sources = {record.source.gradient_source for record in records}
    if PAPERS_SOURCE in sources:
        return [record for record in records if record.source.gradient_source == PAPERS_SOURCE]
    return records if len(sources) == 1 else []


Outcomes = tuple["NDArray[np.int64]", "NDArray[np.bool_]"]


def _outcomes(records: Iterable[Record], verdict: Callable[[Record], NDArray[np.bool_]]) -> Outcomes:
    return worst(list(records), verdict)


def _compared(
    protocol: str,
    attack: str,
    threat: str,
    softmax: OurModel,
    other: OurModel,
    outcomes: tuple[Outcomes, Outcomes],
    seed: int,
) -> Iterator[Comparison]:
    """Yield the comparison on the images both met; none where there is no such image."""
    import numpy as np

    (images, first), (others, second) = outcomes
    _, ours, theirs = np.intersect1d(images, others, assume_unique=True, return_indices=True)
    if not len(ours):
        return
    first, second = first[ours], second[theirs]
    yield Comparison(
        protocol=protocol,
        attack=attack,
        threat=threat,
        softmax=softmax.name,
        other=other.name,
        seed=seed,
        n=len(ours),
        softmax_right=int(first.sum()),
        other_right=int(second.sum()),
        only_softmax=int((first & ~second).sum()),
        only_other=int((second & ~first).sum()),
    )


def _seed(samples: Samples) -> int:
    return next((record.seed for record in (*samples.clean, *samples.attacked)), 0)
