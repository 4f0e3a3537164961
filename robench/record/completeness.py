"""What is missing of a row, and how much of it.

Records that exist cannot tell what does not: a row is compared with the plan of its folder (`plan.json`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from robench.record.planned import PlannedRun
from robench.record.schema import Record
from robench.record.threat_summary import ThreatSummary, threat_summary_of


def by_plan(records: Iterable[Record]) -> dict[PlannedRun, list[Record]]:
    """Group records by the plan of their folder; those without one are left out."""
    groups: dict[PlannedRun, list[Record]] = {}
    for record in records:
        if record.planned is not None:
            groups.setdefault(record.planned, []).append(record)
    return groups


def missing_parts(
    planned: PlannedRun, records: Sequence[Record], threat: ThreatSummary, model: str, own: Sequence[Record]
) -> tuple[str, ...]:
    """Return in words what a row lacks of its plan: columns, gradient sources, sources of transfer, images.

    Args:
        planned: the plan.
        records: of this plan, on the images of the row: clean ones, and those of the row's threat.
        threat: the row's; that of no attack where only clean images are judged.
        model: name of the row.
        own: those of the records that were judged on it.
    """
    if planned.fault:
        return (f"unknown what, for plan.json cannot be read: {planned.fault}",)
    if not own:
        return ("every unit of the model",)
    n = max(*(r.dataset.n for r in records), _images(records))
    clean = _images(r for r in own if r.attack.is_clean)
    texts = [_lack("clean", clean, n)] if clean < n else []
    sources = dict.fromkeys((model, *(planned.models if planned.transfer else ())))
    for label in planned.attacks(threat):
        columns = {source: _lacking(records, own, label, source, n) for source in sources}
        texts += columns.pop(model)
        if short := {source: lacks for source, lacks in columns.items() if lacks}:
            texts.append(f"{label} crafted on {', '.join(short)}")
    for label in planned.bounds(threat, model):
        count = _images(r for r in own if r.certificates and r.attack.label == label)
        texts += [_lack(label, count, n)] if count < n else []
    return tuple(texts)


def _lacking(records: Sequence[Record], own: Sequence[Record], label: str, source: str, n: int) -> list[str]:
    """Return in words what is missing of one attack from one source: of all of it, or source by source."""
    column = [r for r in records if r.source.name == source and r.attack.label == label]
    tried = {r.source.gradient_source for r in column}
    offered = {name for r in records if r.target.name == source for name in r.target.sources}
    # An attack goes through all that are offered, or through its own choice alone.
    expected = sorted(offered if tried & offered else tried)
    mine = {id(r) for r in own}
    judged = [r for r in column if id(r) in mine]
    # What was crafted on two sets of weights of one name, as in parts that each trained, does not add up.
    counts = [
        {
            name: _images(
                r for r in judged if r.source.gradient_source == name and r.source.fingerprint == one
            )
            for name in expected
        }
        for one in {r.source.fingerprint for r in judged}
    ]
    have = max(counts, key=lambda count: sum(count.values()), default=dict.fromkeys(expected, 0))
    short = {name: count for name, count in have.items() if count < n}
    if not expected or (len(short) == len(expected) and len(set(short.values())) == 1):
        return [_lack(label, min(short.values(), default=0), n)]
    return [_lack(f"{label} through {name}", count, n) for name, count in short.items()]


def _lack(what: str, count: int, n: int) -> str:
    return f"{what} {count} of {n} images"


def _images(records: Iterable[Record]) -> int:
    return len({index for record in records for index in record.columns.index})


def missing_rows(records: Iterable[Record]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return what is missing of the plans of some records: setting in words, model, and what.

    Args:
        records: of run folders; those of none are taken for complete.
    """
    found = []
    for planned, own in by_plan(records).items():
        images: dict[tuple[str, str, str], list[Record]] = {}
        for record in own:
            data = record.dataset
            images.setdefault((data.name, data.split, data.set), []).append(record)
        for (name, split, _), here in images.items():
            for threat in [one.threat for one in planned.threats] or [ThreatSummary()]:
                fitting = [r for r in here if r.attack.is_clean or _under(planned, r, threat)]
                for model in planned.models or dict.fromkeys(r.target.name for r in here):
                    judged = [r for r in fitting if r.target.name == model]
                    if texts := missing_parts(planned, fitting or here, threat, model, judged):
                        found.append((f"{name} {split}, {threat.text()}", model, texts))
    return found


def _under(planned: PlannedRun, record: Record, threat: ThreatSummary) -> bool:
    mine = threat_summary_of(record.threat)
    return any(one.threat == threat and one.of(mine) for one in planned.threats)
