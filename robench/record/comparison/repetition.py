"""Whether a repeated run gave the same bits, and possible causes of differences. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from robench.plan.spec import KNOWN
from robench.plurals import counted
from robench.record.schema import Record
from robench.record.store import Store

SHOWN = 10
"""Most differing records that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """Two runs of one plan, record by record.

    Attributes:
        compared: number of records in both runs.
        verdicts: titles of records whose columns differ.
        images: titles of records with equal columns and different adversarial images.
        missing: number of records that only one of the runs has.
        causes: differences between the two machines or their settings, in words.
    """

    compared: int
    verdicts: tuple[str, ...]
    images: tuple[str, ...]
    missing: int
    causes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether everything is the same, bit for bit."""
        return not (self.verdicts or self.images or self.missing)

    def lines(self) -> list[str]:
        """Return the comparison as readable text, line by line."""
        lines = [
            f"{counted(self.compared, 'record')} compared: {len(self.verdicts)} differ in verdicts or costs, "
            f"{len(self.images)} in bits of their images only; {self.missing} are in one run alone."
        ]
        lines += [f"differs: {title}" for title in (*self.verdicts, *self.images)[:SHOWN]]
        if not self.same and self.causes:
            lines.append(f"may have changed the bits: {'; '.join(self.causes)}")
        return lines


def differences_of(first: Store, second: Store) -> Repetition:
    """Compare two runs of one plan by the names of their units: keys hold versions, which may differ.

    Raises:
        StorageError: a record is damaged.
    """
    ours, theirs = ({unit_name(r): r for r in store.read_records()} for store in (first, second))
    both = sorted(ours.keys() & theirs.keys())
    verdicts = [name for name in both if ours[name].columns != theirs[name].columns]
    images = [
        name
        for name in both
        if name not in set(verdicts)
        and ours[name].provenance.images_sha256 != theirs[name].provenance.images_sha256
    ]
    return Repetition(
        compared=len(both),
        verdicts=tuple(map(_title, verdicts)),
        images=tuple(map(_title, images)),
        missing=len(ours.keys() ^ theirs.keys()),
        causes=tuple(dict.fromkeys(cause for name in both for cause in _causes(ours[name], theirs[name]))),
    )


def unit_name(record: Record) -> tuple[str, ...]:
    """Return the identity of a unit in its plan, the same in every version of robench."""
    threat = record.threat
    knowledge = "?" if threat.knowledge is None else ",".join(threat.knowledge)
    return (
        record.attack.label, record.source.name, record.source.gradient_source, record.target.name,
        threat.norm, threat.eps_text, threat.goal, knowledge, str(threat.budget),
        record.dataset.digest,
    )  # fmt: skip


def _title(name: tuple[str, ...]) -> str:
    label, source, through, target, norm, eps, goal, knowledge, budget, shard = name
    if not source:
        return f"clean on {target}, images {shard[:8]}"
    threat = [f"{norm} {eps}", *([goal] if goal != "untargeted" else [])]
    threat += [f"{knowledge or 'nothing'} known"] if knowledge not in {"?", ",".join(KNOWN)} else []
    threat += [f"budget {budget}"] if budget != "None" else []
    return f"{label} on {source} through {through} ({', '.join(threat)}) -> {target}, images {shard[:8]}"


def _causes(one: Record, other: Record) -> list[str]:
    ours, theirs = one.provenance, other.provenance
    causes = [
        f"{package} {version} and {theirs.versions.get(package, 'absent')}"
        for package, version in ours.versions.items()
        if theirs.versions.get(package, "absent") != version
    ]
    causes += [
        f"{package} absent and {version}"
        for package, version in theirs.versions.items()
        if package not in ours.versions
    ]
    for field in ("device", "machine", "gpu", "threads", "batch_size", "micro_batch"):
        if getattr(ours, field) != getattr(theirs, field):
            causes.append(f"{field} {getattr(ours, field)} and {getattr(theirs, field)}")
    engines = [(of.engine.used if of.engine else "") or "unknown" for of in (ours, theirs)]
    if engines[0] != engines[1]:
        causes.append(f"engine {engines[0]} and {engines[1]}")
    return causes
