"""Identities of a record's model, attack, images and threat, and their shown names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from robench.plan.spec import content_hash
from robench.record.parts import (
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.schema import Record
from robench.record.threat_summary import ThreatSummary, threat_summary_of

LONGEST = 32
"""Characters that options may take in the head of a column; of longer ones a hash stands there."""


class Setting(NamedTuple):
    """The images and the threat; only rows with the same setting are comparable.

    Attributes:
        dataset: name of the data set.
        split: which part of it.
        digest: hash of all images of the evaluation, empty if unknown.
        size: number of these images, 0 if unknown.
        threat: norm, radius, goal, box, knowledge and budget.
    """

    dataset: str
    split: str
    digest: str
    size: int
    threat: ThreatSummary

    @property
    def unattacked(self) -> Setting:
        """The setting of the same images without an attack."""
        return self._replace(threat=ThreatSummary())


def model_of(model: RecordedTarget | RecordedSource) -> str:
    """Return the identity of a record's target or source: its fingerprint and name."""
    return f"{model.fingerprint}:{model.name}"


def fingerprint_of(model: str) -> str:
    """Return the fingerprint in a model's identity."""
    return model.partition(":")[0]


def attack_of(record: Record) -> str:
    """Return the identity of a record's attack: equal labels with different options are different attacks."""
    attack = record.attack
    entry = _attacks.get(id(attack))
    if entry is None or entry[0] is not attack:  # the id may be that of a deleted object
        if len(_attacks) >= _MOST_ATTACKS:
            _attacks.clear()
        entry = _attacks[id(attack)] = (attack, content_hash([attack.label, attack.name, attack.options]))
    return entry[1]


_MOST_ATTACKS = 10_000

_attacks: dict[int, tuple[RecordedAttack, str]] = {}
"""Cache of the last attacks: many records share one, and hashing its options takes time."""


def by_attack(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return the records of each attack by its identity, for all sources."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(attack_of(record), []).append(record)
    return groups


def is_joint(record: Record) -> bool:
    """Tell whether the images of the record shared a graph when they were judged."""
    return record.target.joint


def setting_of(record: Record) -> Setting:
    """Return the setting of a record's board."""
    data, threat = record.dataset, record.threat
    before = _settings.get((id(data), id(threat)))
    if before is not None:
        return before[0]
    # `digest` is the shard's own; `set` and `n` are those of all images that were asked for.
    setting = Setting(
        dataset=data.name,
        split=data.split,
        digest=data.set,
        size=data.n,
        threat=threat_summary_of(threat),
    )
    if len(_settings) >= _MOST_SETTINGS:
        _settings.clear()
    # The objects are kept alive with the setting, so that their ids stay unique.
    _settings[id(data), id(threat)] = (setting, data, threat)
    return setting


_MOST_SETTINGS = 10_000

_settings: dict[tuple[int, int], tuple[Setting, RecordedDataset, RecordedThreat]] = {}
"""Cache of the last settings: many records share one."""


def model_names(records: Sequence[Record]) -> dict[str, tuple[str, str]]:
    """Return name and mark of each model: the seed if models of a name differ in it, else the fingerprint."""
    names: dict[str, tuple[str, str]] = {}
    # Many records share one target, source and seed: each is examined once.
    targets = {(id(r.target), r.seed): (r.target, r.seed) for r in records}
    sources = {id(r.source): r.source for r in records if not r.attack.is_clean}
    models: list[RecordedTarget | RecordedSource] = [*(one for one, _ in targets.values()), *sources.values()]
    for model in models:
        names[model_of(model)] = (model.name, model.fingerprint[:8])
    seeds: dict[str, set[int]] = {}
    for target, seed in targets.values():
        seeds.setdefault(model_of(target), set()).add(seed)
    for name in {name for name, _ in names.values()}:
        own = [model for model, (other, _) in names.items() if other == name]
        own_seeds = [seed for model in own for seed in seeds.get(model, ())]
        if len(own) == len(own_seeds) == len(set(own_seeds)) and all(seeds.get(model) for model in own):
            names |= {model: (name, f"seed {next(iter(seeds[model]))}") for model in own}
    return names


def shown_names(identities: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Return a unique name for every identity: its own, with its mark if two share it."""
    names = [name for name, _ in identities.values()]
    texts: dict[str, str] = {}
    for identity, (name, mark) in identities.items():
        text = whole = name if names.count(name) == 1 else f"{name} [{mark}]"
        number = 1
        while text in texts.values():  # a model's name may equal the shown name of another
            number += 1
            text = f"{whole} ({number})"
        texts[identity] = text
    return texts


def attack_labels(records: Iterable[Record]) -> dict[str, str]:
    """Return the shown label of every attack, or way to bound, by identity."""
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
