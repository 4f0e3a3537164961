"""Gives one attack with different labels in several runs one column on a board, under one of the labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from robench.plan.spec import content_hash
from robench.record.parts import RecordedAttack
from robench.record.planned import PlannedRun
from robench.record.schema import Record


def under_one_label(records: Sequence[Record]) -> list[Record]:
    """Return records with one label for each attack: its first label that no other attack has.

    Labels of bounding methods do not change. Nothing changes if a run itself has an attack under two labels,
    or if each label belongs to another attack too.
    """
    # Many records share one attack and one plan.
    pairs = {
        (id(r.attack), id(r.planned)): (r.attack, r.planned)
        for r in records
        if not r.attack.is_clean and not r.certificates
    }.values()
    identities = {id(attack): _identity(attack) for attack, _ in pairs}
    labels: dict[str, dict[str, None]] = {}
    owners: dict[str, set[str]] = {}
    of_plan: dict[tuple[int, str], set[str]] = {}
    for attack, plan in pairs:
        identity = identities[id(attack)]
        labels.setdefault(identity, {})[attack.label] = None
        owners.setdefault(attack.label, set()).add(identity)
        of_plan.setdefault((id(plan), identity), set()).add(attack.label)
    twice = {identity for (_, identity), own in of_plan.items() if len(own) > 1}
    choices: dict[str, str] = {}
    for identity, own in labels.items():
        free = [label for label in own if owners[label] == {identity}]
        if len(own) > 1 and free and identity not in twice:
            choices[identity] = free[0]
    if not choices:
        return list(records)
    attacks: dict[int, RecordedAttack] = {}
    plans: dict[int, PlannedRun] = {}
    for attack, plan in pairs:
        label = choices.get(identities[id(attack)], attack.label)
        if label != attack.label:
            attacks[id(attack)] = dataclasses.replace(attack, label=label)
            if plan is not None:
                plans[id(plan)] = plans.get(id(plan), plan).asking(attack.label, label)
    return [
        dataclasses.replace(
            record,
            attack=attacks.get(id(record.attack), record.attack),
            planned=plans.get(id(record.planned), record.planned),
        )
        for record in records
    ]


def _identity(attack: RecordedAttack) -> str:
    return content_hash([attack.name, attack.options, attack.code_sha256])
