"""Which parts of a row are missing, and how much of them.

Existing records do not show what is missing: a row is compared with the plan of its folder (`plan.json`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from robench.plan.data_title import images_title
from robench.plurals import counted
from robench.record.planned import PlannedRun
from robench.record.schema import Record
from robench.record.threat_summary import ThreatSummary, setting_text, threat_summary_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def by_plan(records: Iterable[Record]) -> dict[PlannedRun, list[Record]]:
    """Group records by the plan of their folder; records without a plan are left out."""
    groups: dict[PlannedRun, list[Record]] = {}
    last, own = None, list[Record]()
    for record in records:
        if record.planned is None:
            continue
        if record.planned is not last:  # hashing a whole plan for each record would be slow
            last, own = record.planned, groups.setdefault(record.planned, [])
        own.append(record)
    return groups


def count_images(records: Iterable[Record]) -> int:
    """Return the number of different images in some records."""
    shards = {id(one): one for one in [record.columns.array("index") for record in records]}
    mark = tuple(shards)
    before = _counted.get(mark)
    if before is not None:
        return before[1]
    if len(_counted) >= _MOST_COUNTED:
        _counted.clear()
    _counted[mark] = (tuple(shards.values()), count := _count(shards))
    return count


_MOST_COUNTED = 256
_counted: dict[tuple[int, ...], tuple[tuple[NDArray[np.int64], ...], int]] = {}
"""Cache of counted shards, by the identities of their arrays, which columns share."""


def each_whole(records: Sequence[Record], n: int) -> bool:
    """Tell whether every source under every attack of some records has all images, at least n.

    A fast check for large runs: True is certain, False means that it may not be so.
    """
    # Many records share their source and attack; records of one shard share their array.
    shards: dict[int, tuple[NDArray[np.int64], set[tuple[int, int]]]] = {}
    for record in records:
        index = record.columns.array("index")
        shard = shards.get(id(index))
        if shard is None:
            shard = shards[id(index)] = (index, set())
        shard[1].add((id(record.source), id(record.attack)))
    first, *others = [pairs for _, pairs in shards.values()] or [set()]
    return all(pairs == first for pairs in others) and _count({i: s[0] for i, s in shards.items()}) >= n


def _count(shards: Mapping[int, NDArray[np.int64]]) -> int:
    import numpy as np

    pieces = sorted((one for one in shards.values() if len(one)), key=lambda one: int(one[0]))
    if not pieces:
        return 0
    every = np.concatenate(pieces)
    return len(every) if (every[1:] > every[:-1]).all() else len(np.unique(every))


class Have:
    """The existing results of a plan, on the images of one board.

    Args:
        planned: the plan.
        records: of this plan, on the images of the board: clean ones, and those of its threat.
        threat: the board's threat; the threat without attack if only clean images are judged.
    """

    def __init__(self, planned: PlannedRun, records: Sequence[Record], threat: ThreatSummary) -> None:
        self.planned, self.threat, self.labels = planned, threat, planned.attacks(threat)
        sizes = {id(r.dataset): r.dataset.n for r in records}.values()
        self.n = max((*sizes, count_images(records)), default=0)
        self._tried: dict[tuple[str, str], set[str]] = {}
        self._offered: dict[str, set[str]] = {}
        # Many records share their source and attack, and their target.
        for record in {(id(r.source), id(r.attack)): r for r in records}.values():
            source = record.source
            self._tried.setdefault((source.name, record.attack.label), set()).add(source.gradient_source)
        for target in {id(r.target): r.target for r in records}.values():
            self._offered.setdefault(target.name, set()).update(target.sources)

    def missing(self, model: str, own: Sequence[Record]) -> tuple[str, ...]:
        """Return in words what is missing in a row: columns, gradient sources, sources, images.

        Args:
            model: name of the row.
            own: records of the model of this row.
        """
        plan, n = self.planned, self.n
        if plan.fault:
            return (f"unknown, because plan.json cannot be read: {plan.fault}",)
        if not own:
            return ("every unit of the model",)
        clean = count_images(r for r in own if r.attack.is_clean)
        texts = [_lack("clean", clean, n)] if clean < n else []
        places: dict[tuple[str, str], dict[str, dict[str, list[Record]]]] = {}
        columns_by_object: dict[tuple[int, int], list[Record]] = {}
        for record in own:
            objects = id(record.source), id(record.attack)
            column = columns_by_object.get(objects)
            if column is None:
                source = record.source
                weights = places.setdefault((source.name, record.attack.label), {})
                by_gradient = weights.setdefault(source.fingerprint, {})
                column = columns_by_object[objects] = by_gradient.setdefault(source.gradient_source, [])
            column.append(record)
        sources = dict.fromkeys((model, *(plan.models if plan.transfer else ())))
        whole = each_whole(own, n)
        for label in self.labels:
            columns = {
                source: self._lacking(places.get((source, label), {}), label, source, whole=whole)
                for source in sources
            }
            texts += columns.pop(model)
            if short := {source: lacks for source, lacks in columns.items() if lacks}:
                texts.append(f"{label} crafted on {', '.join(short)}")
        for label in plan.bounds(self.threat, model):
            count = count_images(r for r in own if r.certificates and r.attack.label == label)
            texts += [_lack(label, count, n)] if count < n else []
        return tuple(texts)

    def _lacking(
        self,
        by_weights: Mapping[str, Mapping[str, Sequence[Record]]],
        label: str,
        source: str,
        *,
        whole: bool,
    ) -> list[str]:
        """Return in words what is missing of one attack: the whole attack, or source by source.

        Args:
            by_weights: its records on one target, by the weights it was crafted on and by gradient source.
            label: of the attack.
            source: name of the model it was crafted on.
            whole: whether all existing records have all images.
        """
        attempts = self._tried.get((source, label), set())
        choices = self._offered.get(source, set())
        # An attack uses all offered gradient sources, or only its own choice.
        expected = sorted(choices if attempts & choices else attempts)
        if whole and any(own.keys() >= set(expected) for own in by_weights.values()) and expected:
            return []
        # Parts may each have trained a model of the same name: images of different weights do not add up.
        counts = [{name: count_images(own.get(name, ())) for name in expected} for own in by_weights.values()]
        have = max(counts, key=lambda count: sum(count.values()), default=dict.fromkeys(expected, 0))
        short = {name: count for name, count in have.items() if count < self.n}
        if not expected or (len(short) == len(expected) and len(set(short.values())) == 1):
            return [_lack(label, min(short.values(), default=0), self.n)]
        return [_lack(f"{label} through {name}", count, self.n) for name, count in short.items()]


def _lack(what: str, count: int, n: int) -> str:
    return f"{what} {count} of {counted(n, 'image')}"


def missing_rows(records: Iterable[Record]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return what is missing of the plans of some records: setting in words, model, and missing parts.

    Args:
        records: of run folders; records without a folder count as complete.
    """
    rows = []
    for plan, own in by_plan(records).items():
        images: dict[tuple[str, str, str], list[Record]] = {}
        for record in own:
            data = record.dataset
            images.setdefault((data.name, data.split, data.set), []).append(record)
        for (name, split, _), here in images.items():
            for threat in [one.threat for one in plan.threats] or [ThreatSummary()]:
                fitting = [r for r in here if r.attack.is_clean or _under(plan, r, threat)]
                have = Have(plan, fitting or here, threat)
                for model in plan.models or dict.fromkeys(r.target.name for r in here):
                    own_records = [r for r in fitting if r.target.name == model]
                    if texts := have.missing(model, own_records):
                        rows.append((f"{images_title(name, split)}, {setting_text(threat)}", model, texts))
    return rows


def _under(plan: PlannedRun, record: Record, threat: ThreatSummary) -> bool:
    mine = threat_summary_of(record.threat)
    return any(one.threat == threat and one.of(mine) for one in plan.threats)


def noting_failed(records: Sequence[Record], failed_jobs: Mapping[str, Sequence[str]]) -> list[Record]:
    """Return the records with a note on those of models that lack others, because jobs of theirs failed.

    A board that only sees the records that exist would show such a row as complete.

    Args:
        records: what there is.
        failed_jobs: titles of the jobs that failed, by the model whose row lacks them.
    """
    if not failed_jobs:
        return list(records)

    def noted(record: Record) -> Record:
        titles = tuple(failed_jobs.get(record.target.name, ()))
        if not titles:
            return record
        return record.noting(provenance=dataclasses.replace(record.provenance, failed_jobs=titles))

    return [noted(record) for record in records]
