"""The attackers of two models, and the worst case over the attackers that both models have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from robench.record.comparison.run_verdicts import (
    Point,
    Setting,
    Verdict,
    add_search,
    points_of,
    setting_of,
    worst_verdict,
)
from robench.record.schema import Record

Attacker = tuple[str, str, str]
"""An attack with its options, the place where its images were crafted, and the gradient source."""


def attackers(records: Iterable[Record]) -> dict[tuple[Setting, str], list[Record]]:
    """Return the records of attacks and of bounds on each model under each setting."""
    of_model: dict[tuple[Setting, str], list[Record]] = {}
    for record in records:
        if not record.attack.is_clean:
            of_model.setdefault((setting_of(record), record.target.name), []).append(record)
    return of_model


def lacking(first: Sequence[Record], second: Sequence[Record]) -> list[tuple[str, str]]:
    """Return the attackers of the first model that the second lacks: each an attack's label, and a text.

    Other options make another attack. Sources of transfer are compared by name, except that white-box attacks
    on the two models correspond. Gradient sources are compared only if both models are the same: different
    models have different sources.
    """
    mine, theirs = by_attack_and_place(first, second), by_attack_and_place(second, first)
    return [
        (records[0].attack.label, _words(records[0], attacker, second))
        for attacker, records in mine.items()
        if attacker not in theirs
    ]


def worst_over_shared(
    first: Sequence[Record],
    second: Sequence[Record],
    clean: tuple[Mapping[int, Verdict], Mapping[int, Verdict]],
) -> tuple[dict[int, Verdict], dict[int, Verdict]]:
    """Return the worst cases of two models over the attackers that both met.

    Args:
        first: records of attacks and bounds on one model, under one setting.
        second: the same for the other model.
        clean: verdicts on their clean images, by image.

    Returns:
        For each model the verdict by image, for the images that all of these attackers attacked; empty if the
        models share no attacker.
    """
    mine, theirs = by_attack_and_place(first, second), by_attack_and_place(second, first)
    both = mine.keys() & theirs.keys()
    return _worst(mine, both, clean[0]), _worst(theirs, both, clean[1])


def by_attack_and_place(own: Sequence[Record], other: Sequence[Record]) -> dict[Attacker, list[Record]]:
    """Return the records on a model by attacker, named so that they compare with those of another model.

    Args:
        own: records of attacks and bounds on the model, under one setting.
        other: the same for the other model.
    """
    groups: dict[Attacker, list[Record]] = {}
    alike = bool(own and other) and own[0].target.fingerprint == other[0].target.fingerprint
    for record in own:
        attack = json.dumps([record.attack.name, dict(record.attack.options)], sort_keys=True, default=str)
        if record.certificates:
            groups.setdefault((record.attack.label, "bound", ""), []).append(record)
            continue
        name = record.source.name
        its_own = bool(other) and name == other[0].target.name
        place = "" if record.white_box else "other" if its_own else f"of {name}"
        groups.setdefault((attack, place, record.source.gradient_source if alike else ""), []).append(record)
    return groups


def _worst(
    groups: Mapping[Attacker, Sequence[Record]], some: Iterable[Attacker], clean: Mapping[int, Verdict]
) -> dict[int, Verdict]:
    """Return the worst case over some attackers, for the images that each of them attacked."""
    points: dict[int, list[Point]] = {}
    images: set[int] | None = None
    chosen_ones = list(some)
    for attacker in chosen_ones:
        if attacker[1] == "bound":
            continue
        own = {index for record in groups[attacker] for index in record.columns.index}
        images = own if images is None else images & own
        for record in groups[attacker]:
            for index, draws, stands in points_of(record):
                points.setdefault(index, []).append((draws, stands))
    for attacker in chosen_ones:
        for record in groups[attacker] if attacker[1] == "bound" else ():
            add_search(points, record)
    return {index: worst_verdict(points[index], clean.get(index)) for index in sorted(images or ())}


def _words(record: Record, attacker: Attacker, others: Sequence[Record]) -> str:
    """Return an attacker in words, with its options if the other model has the attack with other options."""
    attack = record.attack
    origin = "" if record.white_box or record.certificates else f" crafted on {record.source.name}"
    through = f" through {attacker[2]}" if attacker[2] else ""
    unlike = [
        other.attack.options
        for other in others
        if other.attack.name == attack.name and other.attack.options != attack.options
    ]
    if not unlike or record.certificates:
        return f"{attack.label}{origin}{through}"
    options = [f"{key}={value}" for key, value in attack.options.items() if unlike[0].get(key) != value]
    return f"{attack.label} with {', '.join(options) or 'other options'}{origin}{through}"
