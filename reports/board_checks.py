"""Doubts about a whole row: too few images, a model no better than guessing, nothing strong tried on it."""

from __future__ import annotations

from collections.abc import Iterator

from reports.boards import Doubt
from reports.cells import is_proper
from reports.samples import Samples, is_joint, model_of
from robench.statistics import ENOUGH_TO_RANK

FEW_IMAGES = "too-few-images"
LOW_CLEAN = "low-clean"
WEAK_ONLY = "weak-attacks-only"
SHARD_SIZE = "shard-size"


def board_checks(samples: Samples, target: str) -> Iterator[Doubt]:
    """Yield what makes a row worth little, whatever its numbers are.

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
            evidence=f"{samples.n} images; a rank needs {ENOUGH_TO_RANK}",
            remedy="Evaluate more images",
        )
    yield from _low_clean(samples, target, name)
    yield from _shard_size(samples, target, name)
    white = [r for r in samples.attacked if model_of(r.target) == target and model_of(r.source) == target]
    if white and not any(is_proper(r) for r in white):
        labels = sorted({str(r.attack["label"]) for r in white})
        yield Doubt(
            model=name,
            code=WEAK_ONLY,
            count=1,
            evidence=f"nothing stronger than {', '.join(labels)} was run on it: one gradient step, or chance",
            remedy="Run an iterative attack",
            stands=True,
        )


def _low_clean(samples: Samples, target: str, name: str) -> Iterator[Doubt]:
    records = [r for r in samples.clean if model_of(r.target) == target]
    pairs = [p for r in records for p in zip(r.columns.clean, r.columns.label, strict=True)]
    classes = max((len(r.dataset.get("classes") or ()) for r in records), default=0)
    right = sum(clean == label for clean, label in pairs)
    if not pairs or not classes or right * classes > len(pairs):
        return
    yield Doubt(
        model=name,
        code=LOW_CLEAN,
        count=1,
        evidence=f"{right} of {len(pairs)} clean images are classified right, and chance is 1 in {classes}",
        remedy="Look at labels off by one, at preprocessing, at whether the right weights were loaded",
        stands=True,
    )


def _shard_size(samples: Samples, target: str, name: str) -> Iterator[Doubt]:
    """Compare the batches of a joint model with each other, and with the size that was asked for."""
    records = [r for r in (*samples.clean, *samples.attacked) if model_of(r.target) == target and is_joint(r)]
    sizes = {str(r.dataset.get("digest")): len(r.columns.index) for r in records}
    if not sizes:
        return
    least, most = min(sizes.values()), max(sizes.values())
    asked = {r.provenance["shard"] for r in records if isinstance(r.provenance.get("shard"), int)}
    uneven = most - least > 1
    if not uneven and all(size - least <= 1 for size in asked):
        return
    if uneven:
        evidence = f"graphs of {least} to {most} images: on each size the model is another classifier"
    else:
        wanted = _to(min(asked), max(asked))
        evidence = (
            f"{len(sizes)} graphs of {_to(least, most)} images, where shards of {wanted} were asked for"
        )
    yield Doubt(
        model=name,
        code=SHARD_SIZE,
        count=len(sizes),
        evidence=evidence,
        remedy="Choose `shard` so that it divides the number of images, and compare runs of equal shards",
        stands=uneven,
    )


def _to(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} to {most}"
