"""Finds the model for each row of a table, and its number for each column.

What names a cell must be equal: data set (or a known copy of it), test split, network, head, kind of
training, attack with the options the column names, norm, radius, goal; in Tables 3 and 11 also the number of
training images, in Table 10 also m and n. Everything else may differ and is stated (`differences`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.board.identities import attack_of, model_of
from reports.board.samples import Samples
from reports.board.shares import Share, clean_share, robust_share
from reports.paper.models import GRAPH, OurModel
from reports.paper.published import Slot
from robench import plugins
from robench.plan.spec import KNOWN
from robench.record.parts import RecordedAttack
from robench.record.schema import Record

PAPERS_SOURCE = "straight_through"
"""The gradient source of the paper for WNLL (Eq. 13 and 24)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OurNumber:
    """Our number for a cell.

    Attributes:
        share: images that stay right under the attack through the paper's gradient, or through all gradient
            sources together where that one was not used.
        worst: the same, worst over all gradient sources, image by image; None if there is only one.
        source: the gradient source of `share`; empty for all together, or where there is one or none.
        sources: all that were used.
        crafted_on: names of the models the images were crafted on, empty for white-box.
        shares_features: whether that model and this one share the weights of their network.
        options: of the attack.
        label: the attack's label.
        asked: images of the set; fewer in `share` means that units are missing.
        findings: codes met, on the clean images included.
        batch: most images of one record, which share a graph in the joint protocol.
        lacks: what the model's row lacks of its plan under the cell's threat, in words.
    """

    share: Share
    worst: Share | None
    source: str
    sources: tuple[str, ...]
    crafted_on: str
    shares_features: bool
    options: dict[str, Any]
    label: str
    asked: int
    findings: tuple[str, ...]
    batch: int
    lacks: tuple[str, ...]


def mismatch(model: OurModel, slot: Slot) -> tuple[int, str] | None:
    """Return why a model does not belong to a cell, None if it does.

    Returns:
        How many questions it answered rightly before, in the order of the questions, and the reason.
    """
    extra = int(model.details.get("unlabelled") or 0)
    graph = {name: model.details.get(name) for name in slot.graph_exact}
    method = model.training
    kinds = {*slot.training.values(), "checkpoint"}
    images = model.training_images
    reasons = (
        (model.dataset != slot.dataset, f"{model.images[0]} is not {slot.dataset}"),
        (model.images[1] != "test", f"judged on the split {model.images[1]}"),
        (bool(model.details.get("inference")), "an inference-time defense is in front of it"),
        (
            model.architecture != slot.architecture,
            f"its network is {model.architecture or 'unknown'}",
        ),
        (model.head != slot.head, f"its head is {model.details.get('head') or 'unknown'}"),
        (method not in kinds, f"its training is {method or 'unknown'}"),
        (
            slot.images_exact and images != slot.training_images,
            f"trained on {'an unknown number of' if images is None else format(images, ',')} images",
        ),
        (extra != slot.unlabelled, f"{extra:,} unlabelled images in its graph"),
        (graph != slot.graph_exact, ", ".join(f"{name} {value}" for name, value in graph.items())),
    )
    return next(((at, reason) for at, (wrong, reason) in enumerate(reasons) if wrong), None)


def our_number(model: OurModel, slot: Slot) -> OurNumber | None:
    """Return the measurement for a cell of a model that belongs to its row, None if there is none.

    Where several attacks or crafting models fit, the one whose settings differ least from the paper's counts;
    of equals, the one that leaves the fewest images standing.
    """
    if slot.attack == "clean":
        return _clean(model)
    numbers = []
    for samples in model.samples:
        if not _same_threat(samples, slot):
            continue
        groups: dict[tuple[str, str], list[Record]] = {}
        for record in samples.attacked:
            source = model_of(record.source)
            if model_of(record.target) == model.target and _admitted(model, source, slot):
                groups.setdefault((attack_of(record), source), []).append(record)
        numbers += [
            _attacked(model, samples, source, slot, records)
            for (_, source), records in groups.items()
            if _is(records[0].attack, slot)
        ]
    return min(numbers, key=lambda m: (len(other_settings(m, slot)), m.share.value or 0.0), default=None)


def other_settings(measured: OurNumber, slot: Slot) -> dict[str, tuple[Any, Any]]:
    """Return the attack's settings that are not the paper's: name to (ours, the paper's)."""
    ours = {name: measured.options.get(name) for name in slot.settings}
    return {n: (ours[n], paper) for n, paper in slot.settings.items() if not same(ours[n], paper)}


def same(ours: Any, paper: Any) -> bool:
    """Tell whether two settings are equal, numbers up to rounding."""
    if isinstance(ours, int | float) and isinstance(paper, int | float):
        return math.isclose(ours, paper, rel_tol=1e-6)
    return bool(ours == paper)


def _same_threat(samples: Samples, slot: Slot) -> bool:
    threat = samples.setting.threat
    # The authors' attacker knows the whole model and has no budget of passes.
    usual = (
        threat.knowledge in {None, KNOWN} and threat.budget is None and threat.bounds in {None, (0.0, 1.0)}
    )
    return (
        usual
        and threat.norm == slot.norm
        and threat.goal == "untargeted"
        and (threat.eps == slot.eps or same(threat.eps, slot.eps))
    )


def _admitted(model: OurModel, source: str, slot: Slot) -> bool:
    if not slot.oracle:
        return source == model.target
    return model.heads.get(source) == (slot.oracle, slot.architecture)


def _is(attack: RecordedAttack, slot: Slot) -> bool:
    if plugins.called("attacks", attack.name) != slot.attack:
        return False
    return all(same(attack.options.get(name), value) for name, value in slot.options.items())


def _clean(model: OurModel) -> OurNumber | None:
    samples = model.samples[0]
    records = [r for r in samples.clean if model_of(r.target) == model.target]
    if not records:
        return None
    return OurNumber(
        share=clean_share(records) or Share(0, 0),
        worst=None,
        source="",
        sources=(),
        crafted_on="",
        shares_features=False,
        options={},
        label="clean",
        asked=samples.n,
        findings=_codes(records),
        batch=max(len(record.columns) for record in records),
        lacks=samples.missing.get(model.target, ()),
    )


def _attacked(
    model: OurModel, samples: Samples, source: str, slot: Slot, records: Sequence[Record]
) -> OurNumber:
    every = [
        r
        for r in samples.judged(model.target)
        if model_of(r.source) == source and attack_of(r) == attack_of(records[0])
    ]
    sources = tuple(dict.fromkeys(r.source.gradient_source for r in records))
    surrogate = model.heads.get(source, ("", ""))[0] == GRAPH and PAPERS_SOURCE in sources
    gradient = PAPERS_SOURCE if surrogate else ""
    lines = [r for r in every if gradient in {"", r.source.gradient_source}]
    clean = samples.untouched(model.target)
    chosen_records = [r for r in records if gradient in {"", r.source.gradient_source}]
    own = samples.untouched(model.target)
    weights = model.checkpoints
    return OurNumber(
        share=robust_share(lines, clean) or Share(0, 0),
        worst=robust_share(every, clean) if len(sources) > 1 else None,
        source=gradient or (sources[0] if len(sources) == 1 else ""),
        sources=sources,
        crafted_on=samples.names[source] if slot.oracle else "",
        shares_features=bool(weights.get(source)) and weights.get(source) == weights.get(model.target),
        options=dict(records[0].attack.options),
        label=samples.labels[attack_of(records[0])],
        asked=samples.n,
        findings=_codes([*own, *chosen_records]),
        batch=max(len(record.columns) for record in records),
        lacks=samples.missing.get(model.target, ()),
    )


def _codes(records: Sequence[Record]) -> tuple[str, ...]:
    return tuple(sorted({finding.code for record in records for finding in record.findings}))
