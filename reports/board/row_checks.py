"""Doubts about a whole row: too few images, a model no better than guessing, no strong attack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reports.board.attack_kinds import FEWEST_QUESTIONS, is_control, is_proper
from reports.board.board_types import Doubt
from reports.board.identities import by_attack, is_joint
from reports.board.paired_images import count, standing_images
from reports.board.samples import Samples
from reports.board.shares import right as correct
from robench.plurals import counted
from robench.record.measures.statistics import ENOUGH_TO_RANK, SIGNIFICANCE, above_chance, wilson
from robench.record.schema import Record
from robench.record.status import ROBUST
from robench.record.training_history import UNCHANGED, unchanged_text

FEW_IMAGES = "too-few-images"
LOW_CLEAN = "low-clean"
BELOW_CARD = "below-card"
UNCHANGED_WEIGHTS = "unchanged-weights"
WEAK_ONLY = "weak-attacks-only"
FAILED_JOBS = "failed-jobs"
SHARD_SIZE = "shard-size"
CLASS_MAP = "class-map"
UNBOUNDED = "unbounded-survives"

FEW = 0.01
"""Share of the images that an unbounded attack may leave standing."""

_FAR = 0.1
"""A clean accuracy is in doubt if it is this far below its card, beyond both intervals."""
_REMEDY = (
    "Its weights are random if none were given: give a checkpoint. Else look at labels off by one, at "
    "preprocessing, at whether the right weights were loaded"
)
_NORMALIZE = (
    "a forgotten `normalize`, or one unlike that of the training, and for a network that wants pixels from 0 "
    "to 255"
)
_UNLOADED = "weights that were never loaded (no checkpoint was given)"
_LABELS = "labels off by one"
_TRAINED = (
    "The training may have failed: look at its loss and accuracy by epoch, at the learning rate, and at the "
    "radius of an adversarial one; then at labels off by one"
)


def row_checks(samples: Samples, target: str) -> Iterator[Doubt]:
    """Yield doubts about a row that do not depend on its numbers.

    Args:
        samples: the board.
        target: identity of the model.
    """
    name = samples.names[target]
    if samples.n < ENOUGH_TO_RANK:
        yield Doubt(
            model=name,
            code=FEW_IMAGES,
            count=1,
            evidence=f"{counted(samples.n, 'image')}; a rank needs {ENOUGH_TO_RANK}",
            remedy="Evaluate more images",
        )
    yield from _failed_jobs(samples, target, name)
    yield from _unchanged(samples, target, name)
    yield from _low_clean(samples, target, name)
    yield from _shard_size(samples, target, name)
    yield from _class_map(samples, target, name)
    white = samples.white_box(target)
    # If no image stands, no accuracy can be too high.
    if any(map(_leaves_some, white)) and not any(is_proper(r) for r in white):
        labels = sorted({r.attack.label for r in white})
        yield Doubt(
            model=name,
            code=WEAK_ONLY,
            count=1,
            evidence=f"nothing stronger than {', '.join(labels)} was run on it: one step, chance, or "
            f"fewer than {FEWEST_QUESTIONS} questions about an image",
            remedy="Run an iterative attack",
            unlifted=True,
        )


def _leaves_some(record: Record) -> bool:
    return bool((record.columns.array("status") == ROBUST).any())


def _failed_jobs(samples: Samples, target: str, name: str) -> Iterator[Doubt]:
    """Find failed jobs of a row, which looks complete but is not."""
    records = samples.everything(target)
    titles = dict.fromkeys(title for r in records for title in r.conditions.failed_jobs)
    if titles:
        first = list(titles)[:3]
        more = f" and {len(titles) - len(first)} more" if len(titles) > len(first) else ""
        yield Doubt(
            model=name,
            code=FAILED_JOBS,
            count=len(titles),
            evidence=f"{len(titles)} of its jobs failed: {'; '.join(first)}{more}",
            remedy="The row lacks them: see why in the folder `errors`, mend it, and run the same again",
            unlifted=True,
        )


def _unchanged(samples: Samples, target: str, name: str) -> Iterator[Doubt]:
    """Find weights that their training did not change: the row is of an untrained network."""
    counts = (r.target.details.get(UNCHANGED) for r in samples.everything(target))
    if unchanged_count := next((number for number in counts if type(number) is int and number > 0), 0):
        yield Doubt(
            model=name,
            code=UNCHANGED_WEIGHTS,
            count=1,
            evidence=unchanged_text(unchanged_count),
            remedy="Train the network that is given, in place; look at the optimiser's parameters and at the "
            "learning rate",
            unlifted=True,
        )


def _low_clean(samples: Samples, target: str, name: str) -> Iterator[Doubt]:
    """Compare the clean accuracy with chance, and for weights from a file with their card.

    An untrained architecture of the zoo is known to guess: it is in doubt only if it is worse than chance.
    """
    records = samples.untouched(target)
    classes = max((len(r.dataset.classes) for r in records), default=0)
    right, n = sum(int(correct(r).sum()) for r in records), sum(len(r.columns) for r in records)
    if not n or not classes:
        return
    details = records[0].target.details
    training = str(details.get("training", ""))
    # A factory in the user's file may bring weights trained elsewhere, like a checkpoint, and so may a
    # network of the running program, whose training is unknown.
    own = training == "none" and ".py:" in str(details.get("architecture", ""))
    from_file = own or training in {"", "checkpoint"}
    remedy = _REMEDY if training == "none" else _TRAINED
    if from_file:
        suspects = [*([_UNLOADED] if own else []), _NORMALIZE]
        # Guessing is sometimes right: a model that hardly ever is right probably has shifted labels.
        suspects.insert(0 if right * classes * 4 <= n else len(suspects), _LABELS)
        remedy = f"Look first for {'; then for '.join(suspects)}"
    count = f"{right} of {n} clean images are classified right"
    chance = f"chance is 1 in {classes}"
    if right * classes <= n:
        yield _doubt(name, LOW_CLEAN, f"{count}, and {chance}", remedy)
    elif (
        remedy != _REMEDY
        and 2 * right * classes < n * (1 + classes)
        and (p := above_chance(right, n, classes)) >= SIGNIFICANCE
    ):
        yield _doubt(name, LOW_CLEAN, f"{count}, and {chance}: no more than luck gives, p {p:.2f}", remedy)
    elif from_file and (card := _card(details)):
        accuracy, images, low = card
        high = wilson(right, n)[1]
        both = f"{count}; the card beside the weights says {100 * accuracy:.1f} % of {images}"
        if high < accuracy / 2:
            yield _doubt(name, LOW_CLEAN, f"{both}, more than twice as many", remedy)
        elif high < low - _FAR:
            apart = f"even the ends of both intervals are {100 * (low - high):.0f} points apart"
            yield _doubt(name, BELOW_CARD, f"{both}: {apart}", remedy)


def _card(details: Mapping[str, Any]) -> tuple[float, int, float] | None:
    """Return accuracy, images and the interval's lower end of a card, if it is about this classifier."""
    card = details.get("checkpoint_card")
    if not isinstance(card, dict) or details.get("inference") or details.get("head", "linear") != "linear":
        return None
    accuracy, images = card.get("accuracy"), card.get("images")
    if not isinstance(accuracy, int | float) or not isinstance(images, int) or images < 1:
        return None
    return accuracy, images, wilson(round(accuracy * images), images)[0]


def _doubt(name: str, code: str, evidence: str, remedy: str) -> Doubt:
    return Doubt(model=name, code=code, count=1, evidence=evidence, remedy=remedy, unlifted=True)


def _class_map(samples: Samples, target: str, name: str) -> Iterator[Doubt]:
    """Note that only some outputs of a network count, so that the others cause no errors."""
    outputs = next((r.target.details.get("class_map") for r in samples.everything(target)), None)
    if isinstance(outputs, list | tuple):
        yield Doubt(
            model=name,
            code=CLASS_MAP,
            count=1,
            evidence=f"{counted(len(outputs), 'output')} count, and what any other wins is no error",
            remedy="If the data have more classes than these labels show, say how many with their option "
            "`classes` and leave the map out",
        )


def _shard_size(samples: Samples, target: str, name: str) -> Iterator[Doubt]:
    """Compare the batches of a joint model with each other, and with the requested size."""
    records = [r for r in samples.everything(target) if is_joint(r)]
    sizes = {r.dataset.digest: len(r.columns) for r in records}
    if not sizes:
        return
    least, most = min(sizes.values()), max(sizes.values())
    sizes_asked_for = {r.conditions.shard for r in records if r.conditions.shard is not None}
    is_uneven = most - least > 1
    if not is_uneven and all(size - least <= 1 for size in sizes_asked_for):
        return
    if is_uneven:
        evidence = f"graphs of {least} to {most} images: on each size the model is another classifier"
    else:
        request = _to(min(sizes_asked_for), max(sizes_asked_for))
        evidence = (
            f"{len(sizes)} graphs of {_to(least, most)} images, where shards of {request} were asked for"
        )
    yield Doubt(
        model=name,
        code=SHARD_SIZE,
        count=len(sizes),
        evidence=evidence,
        remedy="Choose `shard` so that it divides the number of images, and compare runs of equal shards",
        unlifted=is_uneven,
    )


def _to(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} to {most}"


def unbounded_check(samples: Samples, target: str) -> Doubt | None:
    """Return the doubt if attacks leave images standing although any perturbation is allowed.

    Athalye et al. 2018 (arXiv:1802.00420, section 3.1: unbounded attacks), Carlini et al. 2019
    (arXiv:1902.06705, section 4.3).
    """
    if not samples.whole_box:
        return None
    real = by_attack([r for r in samples.white_box(target) if not is_control(r)])
    # In the draw that was attacked: a smallest perturbation is at the edge, where another draw may stand.
    survivors = {attack: standing_images(records, fresh=False) for attack, records in real.items()}
    counts = {a: int(count(s)) for a, s in survivors.items() if count(s) > FEW * len(s)}
    if not counts:
        return None
    together = standing_images((r for records in real.values() for r in records), fresh=False)
    worst = max(counts, key=lambda attack: counts[attack])
    return Doubt(
        model=samples.names[target],
        code=UNBOUNDED,
        count=len(counts),
        evidence=f"{samples.labels[worst]} leaves {counts[worst]} "
        f"of {counted(len(survivors[worst]), 'image')} standing although it may change them into any other",
        remedy="The attack fails, not the radius: more steps, a longer step, a larger c; its smallest "
        "perturbations are too large as well",
        unlifted=count(together) > FEW * len(together),
    )
