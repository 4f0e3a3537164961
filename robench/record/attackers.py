"""Which attackers two models met, and the worst case over those that both of them did."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from robench.record.run_verdicts import (
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
"""An attack with its options, where its images were crafted, and through which gradient source."""


def attackers(records: Iterable[Record]) -> dict[tuple[Setting, str], list[Record]]:
    """Return the records of attacks and of bounds on each model under each setting."""
    of_model: dict[tuple[Setting, str], list[Record]] = {}
    for record in records:
        if not record.attack.is_clean:
            of_model.setdefault((setting_of(record), record.target.name), []).append(record)
    return of_model


def lacking(first: Sequence[Record], second: Sequence[Record]) -> list[tuple[str, str]]:
    """Return which attackers of the first model the second did not meet: an attack's label, and words.

    An attack with other options is another one. Sources of transfer are compared by name, those of the two
    models themselves apart. Gradient sources are compared where both are the same model: another one has
    others.
    """
    mine, theirs = _groups(first, second), _groups(second, first)
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
        second: those on the other.
        clean: verdicts on their clean images, by image.

    Returns:
        Of each the verdict by image, for the images that every one of these attackers judged; empty where
        they share none.
    """
    mine, theirs = _groups(first, second), _groups(second, first)
    both = mine.keys() & theirs.keys()
    return _worst(mine, both, clean[0]), _worst(theirs, both, clean[1])


def _groups(own: Sequence[Record], other: Sequence[Record]) -> dict[Attacker, list[Record]]:
    """Return the records on a model by attacker, as they compare with those on another model."""
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
    """Return the worst case over some attackers, for the images that each of them judged."""
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
    """Return an attacker in words; its options too where the others met the same attack with other ones."""
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
