"""Doubts from comparing results: a weaker attacker that does better than a stronger one.

Athalye et al. 2018 (arXiv:1802.00420, section 3.1), Carlini et al. 2019 (arXiv:1902.06705, sections 3 and 4)
and the checks of AutoAttack (Croce & Hein 2020, arXiv:2003.01690). Differences on paired images must be
significant: exact McNemar test at 5 %, corrected for all comparisons of one check of one model (Holm 1979).
Under an infinite radius there are no such checks: a larger perturbation proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from reports.board.attack_kinds import is_control, is_one_step, is_proper, uses_gradients
from reports.board.board_types import Doubt
from reports.board.identities import attack_of, by_attack, model_of
from reports.board.paired_images import PairedImages, gap, standing_images, weakness
from reports.board.samples import Samples
from robench.record.measures.statistics import SIGNIFICANCE, holm
from robench.record.parts import RecordedAttack
from robench.record.schema import Record

BLACK_BOX = "black-box-stronger"
NOISE = "noise-stronger"
ONE_STEP = "one-step-stronger"
MORE_STEPS = "more-steps-weaker"
LARGER = "larger-radius-weaker"
LIBRARY = "library-weaker"

MISLED = (
    "Its gradients or the loss mislead: try another loss first (`apgd` with `margin` or `dlr`), then other "
    "gradient sources, or none"
)
BROKEN = "The attack is broken: look at its loss, step size and gradients"
ASTRAY = "Another step size or more steps; or the gradients mislead after the first step"
RESTLESS = "The attack does not converge: choose a smaller or a falling step size"
TOO_SHORT = "Balls hold one another: the attack fails at the larger radius; more steps, other step sizes"
STRONGER = "Trust the stronger of the two, and see `robench parity` for who broke which images"

THEIRS = {"loss": "cross_entropy"}
"""Fixed settings of the libraries' versions for which they have no option."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """An attacker that should not be weaker than another.

    Attributes:
        text: the evidence if it is weaker; `{gap}` is the number of images.
        strong: which images stand against the attacker that should be stronger.
        weak: which images stand against the other.
        in_doubt: whether it puts the number itself in doubt: all stronger attackers together did worse.
    """

    text: str
    strong: PairedImages
    weak: PairedImages
    in_doubt: bool = False


def cross_checks(samples: Samples, target: str) -> tuple[Doubt, ...]:
    """Return the doubts about one model's number from comparing the records of a board.

    Args:
        samples: the board.
        target: identity of the model.
    """
    if samples.unbounded:
        return ()
    mine = samples.judged(target)
    white = samples.white_box(target)
    name = samples.names[target]
    doubts = (
        doubt(name, BLACK_BOX, _black_box(white, mine, samples, target), MISLED),
        doubt(name, NOISE, _noise(white, samples), BROKEN),
        doubt(name, ONE_STEP, _one_step(white, samples), ASTRAY),
        doubt(name, MORE_STEPS, _more_steps(white, samples), RESTLESS),
    )
    return tuple(d for d in doubts if d)


def asked(samples: Samples, others: Sequence[Samples], target: str) -> dict[str, int]:
    """Return the number of comparisons of each check; 0 if the check was not possible.

    Args:
        samples: the board.
        others: all boards of the records, for other radii.
        target: identity of the model.
    """
    if samples.unbounded:
        return dict.fromkeys((BLACK_BOX, NOISE, ONE_STEP, MORE_STEPS, LARGER), 0)
    white = samples.white_box(target)
    smaller = [s for s in others if _same_but_smaller(s, samples) and target in s.names]
    comparisons = {
        BLACK_BOX: _black_box(white, samples.judged(target), samples, target),
        NOISE: _noise(white, samples),
        ONE_STEP: _one_step(white, samples),
        MORE_STEPS: _more_steps(white, samples),
        LARGER: _larger(samples, smaller, target),
    }
    return {code: sum(1 for _ in pairs) for code, pairs in comparisons.items()}


def doubt(name: str, code: str, comparisons: Iterator[Comparison], remedy: str) -> Doubt | None:
    """Return the doubt if any of the comparisons fails significantly; it reports the largest gap."""
    pairs = list(comparisons)
    failures = [
        (c.in_doubt, gap(c.strong, c.weak), -p, c.text)
        for c, p in zip(pairs, holm([weakness(c.strong, c.weak) for c in pairs]), strict=True)
        if p < SIGNIFICANCE
    ]
    if not failures:
        return None
    _, images, p, text = max(failures)
    return Doubt(
        model=name,
        code=code,
        count=len(failures),
        evidence=text.format(gap=images) + f" (p = {-p:.2g})",
        remedy=remedy,
        unlifted=any(f[0] for f in failures),
    )


def _black_box(
    white: Sequence[Record], mine: Sequence[Record], samples: Samples, target: str
) -> Iterator[Comparison]:
    """Compare all its gradients with each other model's images, and with each attack without gradients."""
    own = standing_images(r for r in white if uses_gradients(r))
    if not len(own):
        return
    for source, theirs in _crafted_elsewhere(mine, samples, target):
        text = f"images crafted on {samples.names[source]} break {{gap}} more than those crafted on it"
        yield Comparison(text, own, theirs, in_doubt=True)
    black_box = [r for r in white if not uses_gradients(r) and not is_control(r)]
    for attack, records in by_attack(black_box).items():
        text = f"{samples.labels[attack]}, without gradients, breaks {{gap}} more than all attacks with them"
        yield Comparison(text, own, standing_images(records), in_doubt=True)


def _crafted_elsewhere(
    mine: Sequence[Record], samples: Samples, target: str
) -> Iterator[tuple[str, PairedImages]]:
    """Yield every other model, and what stands against the images crafted on it."""
    judgement = samples.judgement(target)
    if judgement is not None:
        for source in judgement.packed:
            if source != target:
                yield source, PairedImages(judgement.images, judgement.stands(source).astype(float))
        return
    by_source: dict[str, list[Record]] = {}
    for record in mine:
        by_source.setdefault(model_of(record.source), []).append(record)
    for source, records in by_source.items():
        if source != target:
            yield source, standing_images(records)


def _noise(white: Sequence[Record], samples: Samples) -> Iterator[Comparison]:
    """Compare each proper attack, and all of them together, with each control."""
    real = by_attack([r for r in white if not is_control(r)])
    for control, records in by_attack([r for r in white if is_control(r)]).items():
        noise, label = standing_images(records), samples.labels[control]
        for attack, theirs in real.items():
            text = f"{label} breaks {{gap}} more than {samples.labels[attack]}"
            yield Comparison(text, standing_images(theirs), noise)
        if real:
            everything = standing_images(r for theirs in real.values() for r in theirs)
            yield Comparison(
                f"{label} breaks {{gap}} more than all attacks together", everything, noise, True
            )


def _one_step(white: Sequence[Record], samples: Samples) -> Iterator[Comparison]:
    """Compare each iterative gradient attack, and all together, with each one-step attack."""
    in_ball = [r for r in white if uses_gradients(r) and not r.attack.minimises]
    iterative = by_attack([r for r in in_ball if is_proper(r)])
    for single, records in by_attack([r for r in in_ball if is_one_step(r)]).items():
        one, label = standing_images(records), samples.labels[single]
        for attack, theirs in iterative.items():
            if _sources(theirs) >= _sources(records) or len(_sources(theirs)) == 1:
                text = f"{label} breaks {{gap}} more than {samples.labels[attack]}"
                yield Comparison(text, standing_images(theirs), one)
        if iterative:
            everything = standing_images(r for theirs in iterative.values() for r in theirs)
            yield Comparison(f"{label} breaks {{gap}} more than all iterative attacks", everything, one, True)


def _sources(records: Sequence[Record]) -> set[str]:
    return {r.source.gradient_source for r in records}


def _more_steps(white: Sequence[Record], samples: Samples) -> Iterator[Comparison]:
    """Compare each attack with itself at fewer steps, all else equal."""
    groups: dict[tuple[str, str, str], dict[int, list[Record]]] = {}
    for record in white:
        options = dict(record.attack.options)
        steps = options.pop("steps", None)
        if isinstance(steps, int):
            rest = repr(sorted(options.items()))
            place = (record.attack.name, rest, record.source.gradient_source)
            groups.setdefault(place, {}).setdefault(steps, []).append(record)
    for runs in groups.values():
        for fewer, more in pairwise(sorted(runs)):
            label = samples.labels[attack_of(runs[more][0])]
            text = f"{label}: {more} steps break {{gap}} fewer images than {fewer}"
            yield Comparison(text, standing_images(runs[more]), standing_images(runs[fewer]))


def radius_check(samples: Samples, others: Sequence[Samples], target: str) -> Doubt | None:
    """Return the doubt if fewer images break at this radius than at a smaller one on the run's other boards.

    Args:
        samples: the board.
        others: all boards of the records, with or without this one.
        target: identity of the model.
    """
    smaller = [s for s in others if _same_but_smaller(s, samples) and target in s.names]
    return doubt(samples.names[target], LARGER, _larger(samples, smaller, target), TOO_SHORT)


def _same_but_smaller(other: Samples, samples: Samples) -> bool:
    mine, theirs = samples.setting, other.setting
    alike = theirs._replace(threat=theirs.threat._replace(eps=mine.threat.eps))
    return alike == mine and not samples.unbounded and theirs.threat.eps < mine.threat.eps


def _larger(samples: Samples, smaller: Sequence[Samples], target: str) -> Iterator[Comparison]:
    """Compare each attack, and all together, with the same at a smaller radius."""
    here = by_attack(samples.white_box(target))
    for other in smaller:
        there = by_attack(other.white_box(target))
        for attack in here.keys() & there.keys():
            text = (
                f"{samples.labels[attack]} breaks {{gap}} fewer images at {samples.eps_text} than at "
                f"{other.eps_text}"
            )
            yield Comparison(text, standing_images(here[attack]), standing_images(there[attack]))
        if here and there:
            text = f"all attacks together break {{gap}} fewer at {samples.eps_text} than at {other.eps_text}"
            now = standing_images(r for records in here.values() for r in records)
            before = standing_images(r for records in there.values() for r in records)
            yield Comparison(text, now, before, in_doubt=True)


def library_check(samples: Samples, target: str) -> Doubt | None:
    """Return the doubt if a library's version of one of our attacks broke fewer of a model's images."""
    return doubt(samples.names[target], LIBRARY, _pairs(samples.white_box(target), samples), STRONGER)


def _pairs(white: Sequence[Record], samples: Samples) -> Iterator[Comparison]:
    groups = list(by_attack(white).values())
    for ours in groups:
        for theirs in groups:
            if _versions(ours[0].attack, theirs[0].attack):
                label = samples.labels
                first, second = (label[next(iter(by_attack(g)))] for g in (theirs, ours))
                text = f"{first} breaks {{gap}} fewer images than {second}, with the same options"
                yield Comparison(text, standing_images(theirs), standing_images(ours))


def _versions(ours: RecordedAttack, theirs: RecordedAttack) -> bool:
    """Tell whether these are our and a library's version of one attack with equal options.

    A library's version has our title, followed by the library in brackets. An option that only one of them
    has must have the value that the other uses.
    """
    if ours.library != "robench" or theirs.library == "robench":
        return False
    if not ours.title or theirs.title.rpartition(" (")[0] != ours.title:
        return False
    mine, other = ours.options, theirs.options
    common = mine.keys() & other.keys()
    return all(mine[k] == other[k] for k in common) and all(mine.get(k, v) == v for k, v in THEIRS.items())
