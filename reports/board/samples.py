"""Records grouped by board, and by what they are of: model judged, model attacked, attack."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from robench.plan.spec import content_hash
from robench.record.completeness import Have, by_plan, count_images
from robench.record.packing import ROBUST, STATUSES
from robench.record.parts import (
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.planned import PlannedRun
from robench.record.schema import Record
from robench.record.threat_summary import ThreatSummary, threat_summary_of

if TYPE_CHECKING:
    import pandas as pd

CLEAN = "clean"
"""Label of the record of the clean images."""


class Setting(NamedTuple):
    """What rows must share to be compared: images and threat.

    Attributes:
        dataset: name of the data set.
        split: which part of it.
        digest: hash of all images asked for, empty where a record does not say.
        size: how many were asked for, 0 where a record does not say.
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


@dataclass(frozen=True)
class Samples:
    """The records of one board.

    Attributes:
        setting: what they share.
        eps_text: the radius as the user wrote it.
        n: images of the evaluation set.
        clean: records without attack.
        attacked: records with an attack.
        names: shown name of every model, by identity.
        labels: shown label of every attack, by identity, in the order of the records.
        missing: what the plans of the records ask for and they lack, by model; see
            `robench.record.completeness`. Models without any record are in it too.
        bounds: records of bounds.
        bound_labels: shown label of every way to bound, by identity, in the order of the records.
        asked: attacks that a row must have met, by identity; None for all of the board.
    """

    setting: Setting
    eps_text: str
    n: int
    clean: tuple[Record, ...]
    attacked: tuple[Record, ...]
    names: dict[str, str]
    labels: dict[str, str]
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bounds: tuple[Record, ...] = ()
    bound_labels: dict[str, str] = field(default_factory=dict)
    asked: frozenset[str] | None = None

    @property
    def unbounded(self) -> bool:
        """Whether there is no radius."""
        return math.isinf(self.setting.threat.eps)

    @property
    def whole_box(self) -> bool:
        """Whether every image of the box is within reach: no radius, or under Linf one as wide as the box."""
        if self.unbounded or not self.attacked:
            return self.unbounded
        low, high = self.attacked[0].threat.bounds or (0.0, 1.0)
        return self.setting.threat.norm == "Linf" and self.setting.threat.eps >= high - low

    def judged(self, target: str) -> Sequence[Record]:
        """Return the records of attacks that were judged on a model, wherever they were crafted.

        Args:
            target: identity of the model.
        """
        return self._judged.get(target, ())

    def untouched(self, target: str) -> Sequence[Record]:
        """Return the records of a model's clean images."""
        return self._untouched.get(target, ())

    def white_box(self, target: str) -> Sequence[Record]:
        """Return the records of attacks on a model that were crafted on it."""
        return self._white.get(target, [])

    def everything(self, target: str) -> Sequence[Record]:
        """Return all records that were judged on a model, the clean ones first."""
        return (*self.untouched(target), *self.judged(target))

    def bounded(self, target: str) -> Sequence[Record]:
        """Return the records of bounds on a model."""
        return self._bounded.get(target, ())

    @cached_property
    def _judged(self) -> dict[str, list[Record]]:
        return _by_target(self.attacked)

    @cached_property
    def _white(self) -> dict[str, list[Record]]:
        return _by_target(r for r in self.attacked if model_of(r.source) == model_of(r.target))

    @cached_property
    def _bounded(self) -> dict[str, list[Record]]:
        return _by_target(self.bounds)

    @cached_property
    def _untouched(self) -> dict[str, list[Record]]:
        return _by_target(self.clean)


def _numbered(records: Iterable[Record]) -> Iterator[tuple[int, Record]]:
    """Yield every record with a number of its plan; to hash the whole plan for each would take long."""
    numbers: dict[PlannedRun | None, int] = {}
    last, number = None, numbers.setdefault(None, 0)
    for record in records:
        if record.planned is not last:
            last, number = record.planned, numbers.setdefault(record.planned, len(numbers))
        yield number, record


def _by_target(records: Iterable[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(model_of(record.target), []).append(record)
    return groups


def split_into_boards(records: Iterable[Record]) -> list[Samples]:
    """Group records by what makes them comparable; clean records join every board of their images.

    A threat of a plan under which no record was made has a board too: its rows lack every attack.
    """
    # A unit of two run folders is one unit of a board, but both plans must find it among their own.
    of_plans = list({(number, record.key): record for number, record in _numbered(records)}.values())
    unique = list({record.key: record for record in of_plans}.values())
    boards: dict[Setting, list[Record]] = {}
    clean: dict[Setting, list[Record]] = {}
    bounds: dict[Setting, list[Record]] = {}
    for record in unique:
        setting = setting_of(record)
        if record.attack.is_clean:
            clean.setdefault(setting.unattacked, []).append(record)
        elif record.certificates:
            bounds.setdefault(setting, []).append(record)
            boards.setdefault(setting, [])
        else:
            boards.setdefault(setting, []).append(record)
    own_records: dict[Setting, list[Record]] = {}
    for record in of_plans:
        own_records.setdefault(setting_of(record), []).append(record)
    for plan, own in by_plan(of_plans).items():
        for images in dict.fromkeys(setting_of(record).unattacked for record in own):
            for one in plan.threats:
                if not any(s.unattacked == images and one.of(s.threat) for s in boards):
                    boards[images._replace(threat=one.threat)] = []
    for images in clean:
        if all(setting.unattacked != images for setting in boards):
            boards[images] = []  # nothing was attacked: a board of clean accuracy
    return [
        _samples(
            setting,
            clean.get(setting.unattacked, []),
            group,
            bounds.get(setting, []),
            [r for s in dict.fromkeys((setting.unattacked, setting)) for r in own_records.get(s, ())],
        )
        for setting, group in boards.items()
    ]


def model_of(model: RecordedTarget | RecordedSource) -> str:
    """Return the identity of a record's target or source: its fingerprint and name."""
    return f"{model.fingerprint}:{model.name}"


def fingerprint_of(model: str) -> str:
    """Return the fingerprint in a model's identity."""
    return model.partition(":")[0]


def attack_of(record: Record) -> str:
    """Return the identity of a record's attack: equal labels with other options are other attacks."""
    attack = record.attack
    entry = _attacks.get(id(attack))
    if entry is None or entry[0] is not attack:  # the number may be that of one that is gone
        if len(_attacks) >= _MOST_ATTACKS:
            _attacks.clear()
        entry = _attacks[id(attack)] = (attack, content_hash([attack.label, attack.name, attack.options]))
    return entry[1]


_MOST_ATTACKS = 10_000
_attacks: dict[int, tuple[RecordedAttack, str]] = {}
"""The last attacks asked about: many records share one, and hashing its options takes time."""


def is_joint(record: Record) -> bool:
    """Tell whether the images of the record shared a graph when they were judged."""
    return record.target.joint


def setting_of(record: Record) -> Setting:
    """Return what a record shares with those on its board."""
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
    # Those that it is of are kept with it: so nobody else has their numbers meanwhile.
    _settings[id(data), id(threat)] = (setting, data, threat)
    return setting


_MOST_SETTINGS = 10_000
_settings: dict[tuple[int, int], tuple[Setting, RecordedDataset, RecordedThreat]] = {}
"""The last settings asked about: many records share one."""


def _missing(setting: Setting, records: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    """Return what every model of the board lacks of its plans, by identity; nothing for one without a plan.

    Args:
        setting: the board's.
        records: of the board; one that is in the folders of several plans is there once for each.
    """
    missing: dict[str, tuple[str, ...]] = {}
    plans = by_plan(records)
    for plan, of_folder in plans.items():
        own = [*of_folder, *(_from_elsewhere(plan, of_folder, records) if len(plans) > 1 else ())]
        rows: dict[str, list[Record]] = _by_target(own)
        there = {own_records[0].target.name for own_records in rows.values()}
        if not setting.threat.norm or plan.has(setting.threat):
            rows |= {f":{name}": [] for name in plan.models if name not in there}
        have = Have(plan, own, setting.threat)
        for model, own_records in rows.items():
            texts = have.missing(model.partition(":")[2], own_records)
            missing[model] = tuple(dict.fromkeys((*missing.get(model, ()), *texts)))
    return missing


def _from_elsewhere(plan: PlannedRun, own: Sequence[Record], records: Sequence[Record]) -> Iterator[Record]:
    """Yield what other folders hold of a plan: the same models, seed, and attacks with the same options."""
    keys, seeds = {r.key for r in own}, {r.seed for r in own}
    attacks = {attack_of(r) for r in own}
    names = {"", *plan.models}
    fingerprints: dict[str, set[str]] = {}
    for record in own:
        fingerprints.setdefault(record.target.name, set()).add(record.target.fingerprint)
    for record in records:
        mark = record.target.fingerprint
        if (
            record.planned != plan
            and mark in fingerprints.get(record.target.name, {mark})  # else another model of that name
            and record.key not in keys
            and record.seed in seeds
            and record.target.name in names
            and record.source.name in names
            and attack_of(record) in attacks
        ):
            keys.add(record.key)
            yield record


def _eps_text(setting: Setting, records: Sequence[Record]) -> str:
    """Return the radius as the user wrote it."""
    texts = [r.threat.eps_text or str(r.threat.eps) for r in records if not r.attack.is_clean]
    threats = [one for plan in by_plan(records) for one in plan.threats if one.of(setting.threat)]
    return next(iter((*texts, *(one.eps_text for one in threats))), "")


def _samples(
    setting: Setting,
    clean: list[Record],
    attacks: list[Record],
    bounds: list[Record],
    of_plans: Sequence[Record],
) -> Samples:
    everything = [*clean, *attacks, *bounds]
    missing = _missing(setting, of_plans)
    absent = {model: (model[1:], "no record") for model in missing if model[0] == ":"}
    return Samples(
        setting=setting,
        eps_text=_eps_text(setting, of_plans) if setting.threat.norm else "",
        n=max(setting.size, count_images(everything)),
        clean=tuple(clean),
        attacked=tuple(attacks),
        names=shown_names({**absent, **model_names(everything)}),
        labels=_labels(attacks),
        missing=missing,
        bounds=tuple(bounds),
        bound_labels=_labels(bounds),
    )


def _labels(records: Sequence[Record]) -> dict[str, str]:
    """Return the shown label of every attack, or way to bound, by identity."""
    return shown_names({attack_of(r): (r.attack.label, attack_of(r)[:8]) for r in records})


def model_names(records: Sequence[Record]) -> dict[str, tuple[str, str]]:
    """Return name and mark of each model: the seed where each of a name has another, else the fingerprint."""
    names: dict[str, tuple[str, str]] = {}
    # Many records share one target, source and seed: each is looked at once.
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
    """Return a name for every identity: its own, with its mark where two share it; no two are alike."""
    names = [name for name, _ in identities.values()]
    texts: dict[str, str] = {}
    for identity, (name, mark) in identities.items():
        text = whole = name if names.count(name) == 1 else f"{name} [{mark}]"
        number = 1
        while text in texts.values():  # one model may be named as another is shown
            number += 1
            text = f"{whole} ({number})"
        texts[identity] = text
    return texts


def table_of(records: Sequence[Record]) -> pd.DataFrame:
    """Return one line per image of some records, for a page that looks for single images.

    What all lines of a record share is kept as categories.
    """
    import numpy as np
    import pandas as pd  # costs half a second: boards alone must not pay it

    names = ("index", "status", "clean", "label", "l2")
    parts = zip(*(record.columns.arrays(*names) for record in records), strict=True)
    index, status, clean, label, l2 = map(np.concatenate, parts)
    counts = [len(record.columns) for record in records]

    def category(values: list[str]) -> pd.Categorical[str]:
        kinds = sorted(set(values))
        at = {name: code for code, name in enumerate(kinds)}
        codes = np.repeat(np.array([at[value] for value in values], dtype=np.int64), counts)
        return pd.Categorical.from_codes(codes, pd.Index(kinds))

    # Whatever an attack made of it, an image that was wrong from the start is not robust.
    right = clean == label
    return pd.DataFrame(
        {
            "index": index,
            "status": pd.Categorical.from_codes(status.astype(np.int64), pd.Index(STATUSES)),
            "right": right,
            "l2": l2,
            "robust": (status == ROBUST) & right,
            "target": category([model_of(r.target) for r in records]),
            "source": category([model_of(r.source) for r in records]),
            "attack": category([attack_of(r) for r in records]),
            "gradient_source": category([r.source.gradient_source for r in records]),
        }
    )
