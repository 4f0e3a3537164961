"""Records as long tables, one line per image judged, grouped by board."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from robench.plan.spec import content_hash
from robench.record.completeness import by_plan, missing_parts
from robench.record.parts import RecordedSource, RecordedTarget
from robench.record.planned import PlannedRun
from robench.record.schema import Columns, Record, Status
from robench.record.threat_summary import ThreatSummary, threat_summary_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

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
        table: one line per image of every attacked record.
        clean_table: one line per image of every clean record.
        missing: what the plans of the records ask for and they lack, by model; see
            `robench.record.completeness`. Models without any record are in it too.
        bounds: records of bounds.
        bound_labels: shown label of every way to bound, by identity, in the order of the records.
    """

    setting: Setting
    eps_text: str
    n: int
    clean: tuple[Record, ...]
    attacked: tuple[Record, ...]
    names: dict[str, str]
    labels: dict[str, str]
    table: pd.DataFrame
    clean_table: pd.DataFrame
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bounds: tuple[Record, ...] = ()
    bound_labels: dict[str, str] = field(default_factory=dict)

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

    def white_box(self, target: str) -> list[Record]:
        """Return the records of attacks on a model that were crafted on it.

        Args:
            target: identity of the model.
        """
        return [r for r in self.attacked if model_of(r.target) == target and model_of(r.source) == target]


def split_into_boards(records: Iterable[Record]) -> list[Samples]:
    """Group records by what makes them comparable; clean records join every board of their images.

    A threat of a plan under which no record was made has a board too: its rows lack every attack.
    """
    # A unit of two run folders is one unit of a board, but both plans must find it among their own.
    of_plans = list({(record.planned, record.key): record for record in records}.values())
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
    for planned, own in by_plan(of_plans).items():
        for images in dict.fromkeys(setting_of(record).unattacked for record in own):
            for one in planned.threats:
                if not any(s.unattacked == images and one.of(s.threat) for s in boards):
                    boards[images._replace(threat=one.threat)] = []
    for images in clean:
        if all(setting.unattacked != images for setting in boards):
            boards[images] = []  # nothing was attacked: a board of clean accuracy
    return [
        _samples(
            setting,
            clean.get(setting.unattacked, []),
            attacked,
            bounds.get(setting, []),
            [r for s in dict.fromkeys((setting.unattacked, setting)) for r in own_records.get(s, ())],
        )
        for setting, attacked in boards.items()
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
    return content_hash([attack.label, attack.name, attack.options])


def is_joint(record: Record) -> bool:
    """Tell whether the images of the record shared a graph when they were judged."""
    return record.target.joint


def setting_of(record: Record) -> Setting:
    """Return what a record shares with those on its board."""
    data = record.dataset
    # `digest` is the shard's own; `set` and `n` are those of all images that were asked for.
    return Setting(
        dataset=data.name,
        split=data.split,
        digest=data.set,
        size=data.n,
        threat=threat_summary_of(record.threat),
    )


def _missing(setting: Setting, records: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    """Return what every model of the board lacks of its plans, by identity; nothing for one without a plan.

    Args:
        setting: the board's.
        records: of the board; one that is in the folders of several plans is there once for each.
    """
    missing: dict[str, tuple[str, ...]] = {}
    plans = by_plan(records)
    for planned, of_folder in plans.items():
        own = [*of_folder, *(_from_elsewhere(planned, of_folder, records) if len(plans) > 1 else ())]
        rows: dict[str, list[Record]] = {}
        for record in own:
            rows.setdefault(model_of(record.target), []).append(record)
        there = {judged[0].target.name for judged in rows.values()}
        if not setting.threat.norm or planned.has(setting.threat):
            rows |= {f":{name}": [] for name in planned.models if name not in there}
        for model, judged in rows.items():
            name = model.partition(":")[2]
            texts = missing_parts(planned, own, setting.threat, name, judged)
            missing[model] = tuple(dict.fromkeys((*missing.get(model, ()), *texts)))
    return missing


def _from_elsewhere(
    planned: PlannedRun, own: Sequence[Record], records: Sequence[Record]
) -> Iterator[Record]:
    """Yield what other folders hold of a plan: the same models, seed, and attacks with the same options."""
    keys, seeds = {r.key for r in own}, {r.seed for r in own}
    attacks = {attack_of(r) for r in own}
    names = {"", *planned.models}
    for record in records:
        if (
            record.planned != planned
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
    written = [r.threat.eps_text or str(r.threat.eps) for r in records if not r.attack.is_clean]
    planned = [one for plan in by_plan(records) for one in plan.threats if one.of(setting.threat)]
    return next(iter((*written, *(one.eps_text for one in planned))), "")


def _samples(
    setting: Setting,
    clean: list[Record],
    attacked: list[Record],
    bounds: list[Record],
    of_plans: Sequence[Record],
) -> Samples:
    table, clean_table = _table(attacked), _table(clean)
    everything = [*clean, *attacked, *bounds]
    indices = {index for record in everything for index in record.columns.index}
    missing = _missing(setting, of_plans)
    absent = {model: (model[1:], "no record") for model in missing if model[0] == ":"}
    return Samples(
        setting=setting,
        eps_text=_eps_text(setting, of_plans) if setting.threat.norm else "",
        n=max(setting.size, len(indices)),
        clean=tuple(clean),
        attacked=tuple(attacked),
        names=shown_names({**absent, **_models(everything)}),
        labels=_labels(attacked),
        table=table,
        clean_table=clean_table,
        missing=missing,
        bounds=tuple(bounds),
        bound_labels=_labels(bounds),
    )


def _labels(records: Sequence[Record]) -> dict[str, str]:
    """Return the shown label of every attack, or way to bound, by identity."""
    return shown_names({attack_of(r): (r.attack.label, attack_of(r)[:8]) for r in records})


def _models(records: Sequence[Record]) -> dict[str, tuple[str, str]]:
    """Return name and mark of each model: the seed where each of a name has another, else the fingerprint."""
    names: dict[str, tuple[str, str]] = {}
    sources = [r.source for r in records if not r.attack.is_clean]
    models: list[RecordedTarget | RecordedSource] = [*(r.target for r in records), *sources]
    for model in models:
        names[model_of(model)] = (model.name, model.fingerprint[:8])
    seeds: dict[str, set[int]] = {}
    for record in records:
        seeds.setdefault(model_of(record.target), set()).add(record.seed)
    for name in {name for name, _ in names.values()}:
        own = [model for model, (other, _) in names.items() if other == name]
        own_seeds = [seed for model in own for seed in seeds.get(model, ())]
        if len(own) == len(own_seeds) == len(set(own_seeds)) and all(seeds.get(model) for model in own):
            names |= {model: (name, f"seed {next(iter(seeds[model]))}") for model in own}
    return names


def lines_of(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    """Return the lines of a table whose columns have these values."""
    for column, value in values.items():
        if table.empty:
            return table
        table = table[table[column] == value]
    return table


def shown_names(identities: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Return a name for every identity: its own, with its mark where two share it; no two are alike."""
    names = [name for name, _ in identities.values()]
    shown: dict[str, str] = {}
    for identity, (name, mark) in identities.items():
        text = whole = name if names.count(name) == 1 else f"{name} [{mark}]"
        number = 1
        while text in shown.values():  # one model may be named as another is shown
            number += 1
            text = f"{whole} ({number})"
        shown[identity] = text
    return shown


def _table(records: Sequence[Record]) -> pd.DataFrame:
    """Return one line per image of every record; what all lines of a record share is kept as categories."""
    import numpy as np
    import pandas as pd  # costs half a second: `robench list` must not pay it

    if not records:
        return pd.DataFrame({"index": []})
    counts = [len(record.columns.index) for record in records]

    def joined(get: Callable[[Columns], Sequence[Any]]) -> list[Any]:
        return [value for record in records for value in get(record.columns)]

    def repeated(get: Callable[[Record], bool]) -> NDArray[np.bool_]:
        return np.repeat(np.array([get(record) for record in records], dtype=bool), counts)

    def category(get: Callable[[Record], str]) -> pd.Categorical[str]:
        # Millions of lines repeat a few names: compare numbers instead of text.
        values = [get(record) for record in records]
        names = sorted(set(values))
        at = {name: code for code, name in enumerate(names)}
        codes = np.repeat(np.array([at[value] for value in values], dtype=np.int64), counts)
        return pd.Categorical.from_codes(codes, pd.Index(names))

    status = joined(lambda c: c.status)
    # Whatever an attack made of it, an image that was wrong from the start is not robust.
    right = np.array(joined(lambda c: c.clean), dtype=np.int64) == np.array(
        joined(lambda c: c.label), dtype=np.int64
    )
    robust = np.fromiter((one == Status.ROBUST for one in status), dtype=bool, count=len(status))
    return pd.DataFrame(
        {
            "index": np.array(joined(lambda c: c.index), dtype=np.int64),
            "status": pd.Categorical(status, categories=sorted(map(str, Status))),
            "stood": joined(lambda c: c.stood or [""] * len(c.index)),
            "right": right,
            "l2": np.array(joined(lambda c: c.l2), dtype=np.float64),
            "linf": np.array(joined(lambda c: c.linf), dtype=np.float64),
            "forwards": np.array(joined(lambda c: c.forwards), dtype=np.float64),
            "backwards": np.array(joined(lambda c: c.backwards), dtype=np.float64),
            "robust": robust & right,
            "target": category(lambda r: model_of(r.target)),
            "source": category(lambda r: model_of(r.source)),
            "attack": category(attack_of),
            "gradient_source": category(lambda r: r.source.gradient_source),
            "minimises": repeated(lambda r: r.attack.minimises),
            "shard": category(lambda r: r.dataset.digest),
            "joint": repeated(is_joint),
        }
    )
