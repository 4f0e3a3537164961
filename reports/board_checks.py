"""Doubts about a whole row: too few images, a model no better than guessing, nothing strong tried on it."""

from __future__ import annotations

from collections.abc import Iterator

from reports.boards import Doubt
from reports.cells import is_proper
from reports.samples import Samples, model_of
from robench.statistics import ENOUGH_TO_RANK

FEW_IMAGES = "too-few-images"
LOW_CLEAN = "low-clean"
WEAK_ONLY = "weak-attacks-only"
FAILED_JOBS = "failed-jobs"


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
    yield from _failed_jobs(samples, target, name)
    yield from _low_clean(samples, target, name)
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


def _failed_jobs(samples: Samples, target: str, name: str) -> Iterator[Doubt]:
    """Find jobs of a row that failed: what is left of it looks complete, and is not."""
    records = [r for r in (*samples.clean, *samples.attacked) if model_of(r.target) == target]
    failed = dict.fromkeys(str(title) for r in records for title in r.provenance.get("failed_jobs", ()))
    if failed:
        shown = list(failed)[:3]
        more = f" and {len(failed) - len(shown)} more" if len(failed) > len(shown) else ""
        yield Doubt(
            model=name,
            code=FAILED_JOBS,
            count=len(failed),
            evidence=f"{len(failed)} of its jobs failed: {'; '.join(shown)}{more}",
            remedy="The row lacks them: see why in the folder `errors`, mend it, and run the same again",
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
