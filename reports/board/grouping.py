"""Groups comparable records into boards, each measurement once, with the missing parts of their plans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from reports.board.identities import (
    Setting,
    attack_labels,
    attack_of,
    model_names,
    model_of,
    setting_of,
    shown_names,
)
from reports.board.joined_names import with_one_fingerprint
from reports.board.samples import Samples, by_target
from reports.board.shared_labels import under_one_label
from robench.intake.user_code import is_reference
from robench.record.completeness import Have, by_plan, count_images
from robench.record.planned import PlannedRun
from robench.record.schema import Record


def _numbered(records: Iterable[Record]) -> Iterator[tuple[int, Record]]:
    """Yield every record with a number of its plan, because hashing the whole plan each time is slow."""
    numbers: dict[PlannedRun | None, int] = {}
    last, number = None, numbers.setdefault(None, 0)
    for record in records:
        if record.planned is not last:
            last, number = record.planned, numbers.setdefault(record.planned, len(numbers))
        yield number, record


def split_into_boards(records: Iterable[Record]) -> list[Samples]:
    """Group comparable records; clean records join every board of their images.

    A threat of a plan without any record has a board too: its rows lack every attack.
    """
    records = list(records)
    if may_be_of_several_runs(records):
        records = under_one_label(with_one_fingerprint(records))
    # A unit in two run folders is one unit of a board, but both plans must count it.
    of_plans = list({(number, record.key): record for number, record in _numbered(records)}.values())
    unique = list({record.key: record for record in of_plans}.values())
    if may_be_of_several_runs(unique):
        unique = each_once(unique)
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
    own_records = _by_setting(of_plans)
    for plan, own in by_plan(of_plans).items():
        for images in dict.fromkeys(setting.unattacked for setting in _by_setting(own)):
            for one in plan.threats:
                if not any(s.unattacked == images and one.of(s.threat) for s in boards):
                    boards[images._replace(threat=one.threat)] = []
    for images in clean:
        if all(setting.unattacked != images for setting in boards):
            boards[images] = []  # nothing was attacked: a board of clean accuracy
    samples = [
        _samples(
            setting,
            clean.get(setting.unattacked, []),
            group,
            bounds.get(setting, []),
            [r for s in dict.fromkeys((setting.unattacked, setting)) for r in own_records.get(s, ())],
        )
        for setting, group in boards.items()
    ]
    is_of_several_runs = len({id(record.planned) for record in records if record.planned}) > 1
    return [_with_request(own) for own in samples] if is_of_several_runs else samples


def _with_request(own: Samples) -> Samples:
    return replace(own, asked=requested_attacks(own))


def _by_setting(records: Iterable[Record]) -> dict[Setting, list[Record]]:
    groups: dict[Setting, list[Record]] = {}
    by_object: dict[tuple[int, int], list[Record]] = {}  # many records share their data set and threat
    for record in records:
        objects = id(record.dataset), id(record.threat)
        group = by_object.get(objects)
        if group is None:
            group = by_object[objects] = groups.setdefault(setting_of(record), [])
        group.append(record)
    return groups


def _missing(
    setting: Setting, records: Sequence[Record]
) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    """Return the missing parts of every model's plans, by identity; nothing for a model without a plan.

    Also return the models that are complete in at least one plan.

    Args:
        setting: the board's.
        records: of the board; a record in folders of several plans is repeated for each.
    """
    missing: dict[str, tuple[str, ...]] = {}
    whole: set[str] = set()
    plans = by_plan(records)
    for plan, of_folder in plans.items():
        own = [*of_folder, *(_from_elsewhere(plan, of_folder, records) if len(plans) > 1 else ())]
        rows: dict[str, list[Record]] = by_target(own)
        there = {own_records[0].target.name for own_records in rows.values()}
        is_asked = not setting.threat.norm or plan.has(setting.threat)
        if is_asked:
            rows |= {f":{name}": [] for name in plan.models if name not in there}
        have = Have(plan, own, setting.threat)
        for model, own_records in rows.items():
            texts = have.missing(model.partition(":")[2], own_records)
            missing[model] = tuple(dict.fromkeys((*missing.get(model, ()), *texts)))
            # A plan without this threat does not make a row under this threat incomplete.
            whole |= {model} if is_asked and not texts else set()
    return missing, frozenset(whole)


def _from_elsewhere(plan: PlannedRun, own: Sequence[Record], records: Sequence[Record]) -> Iterator[Record]:
    """Yield other folders' records of a plan: the same models, seed, and attacks with the same options."""
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
    texts = (r.threat.eps_text or str(r.threat.eps) for r in records if not r.attack.is_clean)
    threats = (one for plan in by_plan(records) for one in plan.threats if one.of(setting.threat))
    return next(chain(texts, (one.eps_text for one in threats)), "")


def _samples(
    setting: Setting,
    clean: list[Record],
    attacks: list[Record],
    bounds: list[Record],
    of_plans: Sequence[Record],
) -> Samples:
    everything = [*clean, *attacks, *bounds]
    missing, whole = _missing(setting, of_plans)
    absent = {model: (model[1:], "no record") for model in missing if model[0] == ":"}
    return Samples(
        setting=setting,
        eps_text=_eps_text(setting, of_plans) if setting.threat.norm else "",
        n=max(setting.size, count_images(everything)),
        clean=tuple(clean),
        attacked=tuple(attacks),
        names=shown_names({**absent, **model_names(everything)}),
        labels=attack_labels(attacks),
        missing=missing,
        whole=whole,
        bounds=tuple(bounds),
        bound_labels=attack_labels(bounds),
    )


def requested_attacks(own: Samples) -> frozenset[str] | None:
    """Return the attacks that more than half of the attacked rows met.

    So one more attack on one row costs no other row its rank. Where no attack was met by so many, rows cannot
    be compared: then all that any row met are asked for. An attack of somebody's own file is asked for only
    where rows met nothing else: others cannot run it. None where nothing was attacked.
    """
    attacks_of: dict[str, set[str]] = {}
    for record in own.attacked:
        if model_of(record.source) == model_of(record.target):
            attacks_of.setdefault(model_of(record.target), set()).add(attack_of(record))
    files = {attack_of(record) for record in own.attacked if is_reference(record.attack.name)}
    rows = [attacks - files for attacks in attacks_of.values() if attacks - files] or [*attacks_of.values()]
    counts = Counter(attack for attacks in rows for attack in attacks)
    common = frozenset(attack for attack in counts if 2 * counts[attack] > len(rows))
    return common or frozenset(counts) or None


def each_once(records: Iterable[Record]) -> list[Record]:
    """Return records without duplicates; the first of equal ones is kept.

    A key contains the names of models and the radius as it was written. So the same images judged by the same
    weights have another key if a run names the model differently, or writes 0.1 for 1/10. When a board gives
    them the same name, the costs of an attack must not be added up.

    Records are equal if they have the same model, source, attack, setting, shard and seed, the same results
    for every image and the same findings.
    """
    unique: list[Record] = []
    places: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        alike = places.setdefault(_measurement(record), [])
        if not any(_says_the_same(record, other) for other in alike):
            alike.append(record)
            unique.append(record)
    return unique


def may_be_of_several_runs(records: Sequence[Record]) -> bool:
    """Tell whether records may be of several runs: records of one run share a plan."""
    plans = {id(record.planned): record.planned for record in records}
    return len(plans) > 1 or None in plans.values()


def _measurement(record: Record) -> tuple[Any, ...]:
    source = record.source
    attempt = (model_of(source), source.gradient_source, source.stand_in, attack_of(record))
    return (model_of(record.target), attempt, setting_of(record), record.dataset.digest, record.seed)


def _says_the_same(one: Record, other: Record) -> bool:
    facts = one.findings == other.findings and one.certificates == other.certificates
    return facts and one.columns == other.columns
