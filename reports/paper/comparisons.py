"""Two heads on the same images, image by image: by the published protocol, and by everything that was run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reports.board.identities import attack_of, model_of
from reports.board.samples import Samples
from reports.board.shares import right, robust, worst
from reports.paper.matching import PAPERS_SOURCE
from reports.paper.models import OurModel
from robench import plugins
from robench.plan.spec import KNOWN
from robench.record.measures.statistics import gap_interval, holm, mcnemar
from robench.record.schema import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KINDS = {
    **dict.fromkeys(("natural", "svm", "wnll_natural", "wnll_semi_supervised", "graph_natural"), "clean"),
    **dict.fromkeys(("pgd_training", "wnll_pgd", "graph_pgd"), "PGD"),
}
"""Common names for trainings of different heads; any other training is comparable only to itself."""

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
        images: data set and split, such as `MNIST test`.
        lacks: what units of the plan are missing of the two models, in words; empty for none.
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
    images: str = ""
    lacks: tuple[str, ...] = ()

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
    attacked by PGD), with no defense in front, judged on the same set in the same run. Only images that every
    attack of a comparison has judged on both models count. Random models are left out: their answers in the
    draw that was attacked are not their accuracy.
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
    if first.draws(softmax.target) or first.draws(other.target):
        return
    clean = first.untouched(softmax.target), first.untouched(other.target)
    yield from _compared(CLEAN, "", "", softmax, other, clean, first)
    for samples in usual_threats(softmax):
        threat = threat_of(samples)
        for label in dict.fromkeys(record.attack.label for record in samples.attacked):
            records = (
                by_the_paper(samples, softmax.target, label),
                by_the_paper(samples, other.target, label),
            )
            yield from _compared(PUBLISHED, label, threat, softmax, other, records, samples)
        if not samples.unbounded:
            everything = samples.judged(softmax.target), samples.judged(other.target)
            yield from _compared(HONEST, "", threat, softmax, other, everything, samples)


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


def judged_by_all(records: Iterable[Record]) -> NDArray[np.int64]:
    """Return the images that every attack, from every source through every gradient, has judged; in order."""
    import numpy as np

    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        place = attack_of(record), model_of(record.source), record.source.gradient_source
        groups.setdefault(place, []).append(record)
    sets = [np.unique(np.concatenate([r.columns.array("index") for r in group])) for group in groups.values()]
    common = sets[0] if sets else np.zeros(0, dtype=np.int64)
    for one in sets[1:]:
        common = np.intersect1d(common, one, assume_unique=True)
    return common


def stands_on(
    records: Sequence[Record],
    images: NDArray[np.int64],
    verdict: Callable[[Record], NDArray[np.bool_]] = robust,
) -> NDArray[np.bool_]:
    """Return for each of some images, which are in order and all judged, whether every record says yes."""
    import numpy as np

    every, verdicts = worst(records, verdict)
    return verdicts[np.searchsorted(every, images)]


def _compared(
    protocol: str,
    attack: str,
    threat: str,
    softmax: OurModel,
    other: OurModel,
    records: tuple[Sequence[Record], Sequence[Record]],
    samples: Samples,
) -> Iterator[Comparison]:
    """Yield the comparison on the images that every attack judged on both models, if there are any."""
    import numpy as np

    first_images, other_images = map(judged_by_all, records)
    images = np.intersect1d(first_images, other_images, assume_unique=True)
    if not len(images):
        return
    verdict = right if protocol == CLEAN else robust
    first, second = (stands_on(own, images, verdict) for own in records)
    lacks = [
        f"{model.name}: {'; '.join(samples.missing[model.target])}"
        for model in (softmax, other)
        if samples.missing.get(model.target)
    ]
    if protocol == HONEST and not lacks:
        labels = [{record.attack.label for record in own} for own in records]
        for model, own in zip((softmax, other), labels, strict=True):
            lacks += [f"{model.name}: no {label}" for label in sorted(set().union(*labels) - own)]
    yield Comparison(
        protocol=protocol,
        attack=attack,
        threat=threat,
        softmax=softmax.name,
        other=other.name,
        seed=_seed(samples),
        n=len(images),
        softmax_right=int(first.sum()),
        other_right=int(second.sum()),
        only_softmax=int((first & ~second).sum()),
        only_other=int((second & ~first).sum()),
        images=" ".join(softmax.images[:2]),
        lacks=tuple(lacks),
    )


def _seed(samples: Samples) -> int:
    return next((record.seed for record in (*samples.clean, *samples.attacked)), 0)
