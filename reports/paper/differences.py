"""Differences to the paper's measurements, in words, from records and model cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.paper.matching import PAPERS_SOURCE, OurNumber, other_settings, same
from reports.paper.models import GRAPH, OurModel
from reports.paper.published import Slot, data_sets
from robench.record.threat_summary import radius_text

UNKNOWN = "unknown"
WHOLE = "whole training set"
"""The template of Table 2, whose size is the data set's."""


def of_model(model: OurModel, slot: Slot, batch: int) -> list[str]:
    """Return what differs for a model as a whole: data, network, training, head.

    Args:
        model: the model.
        slot: a cell of its row.
        batch: most images that were judged together.
    """
    return [
        *_data(model),
        *_network(model),
        *_training(model, slot),
        *_head(model, slot, batch),
    ]


def of_attack(measured: OurNumber, slot: Slot) -> list[str]:
    """Return what differs in one column: settings, gradient sources, images that are missing."""
    notes = [
        f"{name} {shown(ours)} (paper: {shown(paper)})"
        for name, (ours, paper) in other_settings(measured, slot).items()
    ]
    if slot.oracle:
        notes += [f"crafted on {measured.crafted_on}"]
        notes += ["which shares this model's network (the paper's was trained by itself)"] * (
            measured.shares_features
        )
    elif slot.head == GRAPH and slot.attack != "clean" and measured.source != PAPERS_SOURCE:
        sources = ", ".join(source or UNKNOWN for source in measured.sources)
        notes += [f"attacked through {sources} (paper: {PAPERS_SOURCE})"]
    if measured.share.n < measured.asked:
        notes += [f"partial: {measured.share.n:,} of {measured.asked:,} images finished"]
    return [f"{slot.column}: {'; '.join(notes)}"] if notes else []


def shown(value: Any) -> str:
    """Return a setting as a reader writes it: 8/255 rather than 0.0313725."""
    if isinstance(value, float):
        return radius_text(value)
    return "none" if value is None else str(value)


def _data(model: OurModel) -> list[str]:
    notes = [f"{model.images[0]}: {model.copy}"] if model.copy else []
    facts = data_sets().get(model.dataset)
    n = max(samples.n for samples in model.samples)
    if facts and n != facts.test:
        notes += [f"{n:,} test images (paper: {facts.test:,})"]
    return notes


def _network(model: OurModel) -> list[str]:
    options = model.details.get("architecture_options") or {}
    return [f"network options {shown(options)}"] if options else []


def _training(model: OurModel, slot: Slot) -> list[str]:
    method, expected = model.training, slot.training.get(slot.head, "")
    notes = []
    if method == "checkpoint":
        notes += ["trained elsewhere: how is not in the records"]
    elif method != expected:
        notes += [f"trained by {method} (paper: {expected})"]
    if slot.trials:
        notes += [f"one training (paper: {slot.trials})"]
    if method in {"none", "checkpoint"}:
        return notes
    if not model.card:
        return [*notes, "settings of the training unknown: its model card is not in the run folder"]
    images = model.training_images
    if slot.training_images is not None and images != slot.training_images:
        ours = UNKNOWN if images is None else f"{images:,}"
        notes += [f"training images: {ours} (paper: {slot.training_images:,})"]
    options = model.options
    return notes + [
        f"training {name} {shown(options.get(name))} (paper: {shown(paper)})"
        for name, paper in slot.training_settings.items()
        if (name in options or method == expected) and not same(options.get(name), paper)
    ]


def _head(model: OurModel, slot: Slot, batch: int) -> list[str]:
    if slot.head != GRAPH:
        return []
    details = model.details
    whole = {"template": data_sets()[slot.dataset].train} if slot.graph.get("template") == WHOLE else {}
    notes = [
        f"graph {name} {shown(details.get(name))} (paper: {shown(paper)})"
        for name, paper in {**slot.graph, **whole}.items()
        if not same(details.get(name), paper)
    ]
    joint = details.get("protocol") in {"joint", "published"}
    if joint and slot.graph_images is not None and batch != slot.graph_images:
        notes += [f"{batch:,} test images share a graph (paper: {slot.graph_images})"]
    unsaid = [name for name in _GRAPH if name not in slot.graph and name in details]
    if unsaid:
        notes += ["graph " + ", ".join(f"{n} {shown(details[n])}" for n in unsaid) + " (not in the paper)"]
    return notes


_GRAPH = ("protocol", "m", "n", "template", "kernel")


def unplaced(reasons: Sequence[tuple[str, str]]) -> list[str]:
    """Return the models without a row, each with why; (name, reason) pairs, the first of each name."""
    first = dict(reversed(reasons))
    return [f"{name}: {first[name]}" for name in dict.fromkeys(name for name, _ in reasons)]
