"""The training images that a graph head puts into its graph: labelled templates and unlabelled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.data.images import ImageSet
from robench.errors import InputError
from robench.randomness import seed_from


def draw_templates(
    data: ImageSet, size: int | None, *, votes: int, balanced: bool, classes: int, seed: int
) -> list[ImageSet]:
    """Draw disjoint templates from the training split, in a seeded order.

    Args:
        data: the training split or a subset of it; images without a label are skipped.
        size: images per template T; None divides all of `data` among the templates.
        votes: number of templates.
        balanced: take equally many images of each class, as far as there are enough of them.
        classes: number of classes K; every template must contain all of them.
        seed: seed of all random numbers.

    Returns:
        `votes` sets of `size` images each.

    Raises:
        InputError: `data` is not the training split, is too small, or a template misses a class (named).
    """
    if data.split != "train":
        do = "A template from other images would be told the answers"
        raise InputError(where="template", expected="the training split", got=repr(data.split), do=do)
    data = data.labelled()
    each = len(data) // votes if size is None else size
    if not 0 < each * votes <= len(data):
        raise InputError(
            where="template",
            expected=f"at least {max(each, 1) * votes} labelled training images ({votes} x {max(each, 1)})",
            got=f"{len(data)}",
            do="Lower `template` or `votes`, or give more training images",
        )
    generator = torch.Generator().manual_seed(seed_from("template", seed))
    order = torch.randperm(len(data), generator=generator)
    if balanced:
        # In rounds: first one image of every class, then a second of every class, and so on.
        order = order[_rank_in_class(data.labels[order]).argsort(stable=True)]
    templates = [data.subset(order[start : start + each]) for start in range(0, each * votes, each)]
    for template in templates:
        _check_classes(template, classes)
    return templates


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphImages:
    """The training images of a graph head.

    Attributes:
        templates: the template images, one set for each vote.
        unlabelled: those that join every joint graph, None for none.
    """

    templates: Sequence[ImageSet]
    unlabelled: ImageSet | None


def draw_graph_images(
    data: ImageSet,
    size: int | None,
    *,
    votes: int,
    balanced: bool,
    unlabelled: int,
    m: int,
    classes: int,
    seed: int,
) -> GraphImages:
    """Draw all training images of a graph head: its templates, and unlabelled images if any are wanted.

    Args:
        data: the training split or a subset of it.
        size: images per template T; None divides all of `data` among the templates.
        votes: number of templates.
        balanced: see `draw_templates`.
        unlabelled: number of images without a label.
        m: neighbours that every point of the graph keeps, itself counted first.
        classes: number of classes K.
        seed: seed of all random numbers.

    Raises:
        InputError: as `draw_templates` and `draw_unlabelled`, or a template is smaller than m.
    """
    templates = draw_templates(data, size, votes=votes, balanced=balanced, classes=classes, seed=seed)
    if m > len(templates[0]):
        raise InputError(
            where="template",
            expected=f"a template of at least m = {m} images",
            got=f"{len(templates[0])}",
            do="Lower `m`, or give the template more training images",
        )
    extra = draw_unlabelled(data, unlabelled, seed=seed) if unlabelled else None
    return GraphImages(templates=templates, unlabelled=extra)


def draw_unlabelled(data: ImageSet, size: int, *, seed: int) -> ImageSet:
    """Draw images without a label from the training split, in a seeded order.

    Raises:
        InputError: `data` is not the training split, or has too few.
    """
    if data.split != "train":
        do = "The images to evaluate on must not join every graph"
        raise InputError(where="unlabelled", expected="the training split", got=repr(data.split), do=do)
    data = data.unlabelled()
    if size > len(data):
        raise InputError(
            where="unlabelled",
            expected=f"at least {size} training images without a label",
            got=f"{len(data)}",
            do="Lower `unlabelled`, or set `labelled` in the training data below its `limit`",
        )
    generator = torch.Generator().manual_seed(seed_from("unlabelled", seed))
    return data.subset(torch.randperm(len(data), generator=generator)[:size])


def _rank_in_class(labels: Tensor) -> Tensor:
    """Return how many earlier entries have the same label, (N,)."""
    order = labels.argsort(stable=True)
    counts = torch.bincount(labels)
    starts = counts.cumsum(0) - counts
    rank = torch.empty_like(labels)
    rank[order] = torch.arange(len(labels)) - starts[labels[order]]
    return rank


def _check_classes(template: ImageSet, classes: int) -> None:
    missing = (torch.bincount(template.labels, minlength=classes) == 0).nonzero().flatten().tolist()
    if missing:
        titles = dict(enumerate(template.classes))
        names = ", ".join(repr(titles.get(label, str(label))) for label in missing[:10])
        raise InputError(
            where="template",
            expected=f"a template with all {classes} classes",
            got=f"{len(template)} images without {names}",
            do="Raise `template`, set `balanced`, or add training images of these classes",
        )
