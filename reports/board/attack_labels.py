"""The names of attacks on a board: attacks with the same label get their differing options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reports.board.identities import attack_of, shown_names
from robench.record.schema import Record

LONGEST = 32
"""Most characters of options in the head of a column; longer options are replaced by a hash."""


def attack_labels(records: Iterable[Record]) -> dict[str, str]:
    """Return the shown label of every attack, or bounding method, by identity."""
    once = {id(r.attack): r for r in records}.values()  # many records share one attack
    options = {attack_of(r): (r.attack.label, r.attack.options) for r in once}
    alike: dict[str, list[str]] = {}
    for identity, (label, _) in options.items():
        alike.setdefault(label, []).append(identity)
    marks: dict[str, str] = {}
    for identities in alike.values():
        every = [options[identity][1] for identity in identities]
        names = [name for name in every[0] if any(_differs(name, every[0], other) for other in every[1:])]
        for identity in identities:
            own = options[identity][1]
            mark = ", ".join(f"{name} {own[name]}" for name in names if name in own)
            marks[identity] = mark if 0 < len(mark) <= LONGEST else identity[:8]
    return shown_names({identity: (label, marks[identity]) for identity, (label, _) in options.items()})


def _differs(name: str, first: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return name not in other or other[name] != first[name]
