"""Names and values as a page lists them: cards, trainings, provenance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from reports.board.run_folder import Run, Training
from robench.intake.user_code import is_reference, short_name
from robench.record.exchange.model_card import NamedPart
from robench.record.parts import RecordedTarget

Fact = tuple[str, str]


def plain(value: Any) -> str:
    """Return a value of a card or an option as one line of text."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return json.dumps(value, ensure_ascii=False, default=str)


def card(target: RecordedTarget) -> tuple[Fact, ...]:
    """Return the facts of a record about a model: its kind of output, its parts, its fingerprint."""
    facts = {
        "output": target.output,
        "images in a batch": target.coupling,
        "attacked through": list(target.sources),
        **{name: without_folders(value) for name, value in target.details.items()},
        "fingerprint": target.fingerprint,
    }
    return tuple(
        (str(name), plain(value)) for name, value in facts.items() if value not in (None, "", [], {})
    )


def without_folders(value: object) -> object:
    """Return a value of a record, without the folders of a user's file of code: a page may be public."""
    return short_name(value) if isinstance(value, str) and is_reference(value) else value


def trained(target: RecordedTarget, trainings: Sequence[Training]) -> tuple[Fact, ...]:
    """Return the facts of the training whose weights a model uses."""
    checkpoint = target.details.get("checkpoint")
    if not checkpoint:
        return ()
    return next((training_facts(t) for t in trainings if t.card.get("sha256") == checkpoint), ())


def training_facts(done: Training) -> tuple[Fact, ...]:
    """Return the facts of a model card about a training, in the order of interest for a reader."""
    card = done.card
    facts: dict[str, object] = {}
    parts = (("defense", "", card.get("defense")), ("data", "data ", card.get("data")))
    for group, prefix, part in (*parts, ("held_out", "held-out ", card.get("held_out"))):
        if part is not None:
            facts[group if group == "defense" else prefix + "set"] = without_folders(
                part.get("name") or part.get("title")
            )
            facts |= {f"{prefix}{name}": value for name, value in part.items() if name in _SHOWN}
            if group == "defense":
                facts |= card.get("defense", NamedPart()).get("options", {})
    names = ("epoch", "epochs", "parameters", "seed", "seconds", "findings", "sha256")
    facts |= {_TITLES.get(name, name): card.get(name) for name in names}
    return tuple((name, plain(value)) for name, value in facts.items() if value not in (None, "", [], {}))


_SHOWN = ("split", "limit", "subset", "images", "digest", "accuracy", "robust_accuracy", "attack")
_KEYS = ("units", "geometry", "failed_models")
_TITLES = {
    "epoch": "epoch kept",
    "epochs": "epochs trained",
    "sha256": "weights SHA-256",
    "expected": "units planned",
}


def provenance(run: Run) -> list[Fact]:
    """Return the conditions of the numbers: versions, hardware, seeds, data, command."""
    facts = {name: value for name, value in run.facts.items() if name not in _KEYS}
    versions: Any = facts.pop("versions", None)
    lines = [
        (_TITLES.get(name, name), plain(value)) for name, value in facts.items() if value not in (None, "")
    ]
    lines += (
        [("seed", ", ".join(sorted({str(record.seed) for record in run.records})))] if run.records else []
    )
    digests = {(r.dataset.name, r.dataset.set) for r in run.records}
    lines += [(f"images of {name}", digest) for name, digest in sorted(digests) if digest]
    if not isinstance(versions, dict):
        versions = next((r.conditions.versions for r in run.records), None)
    if isinstance(versions, dict):
        lines += [(f"version of {name}", plain(value)) for name, value in versions.items()]
    return lines
