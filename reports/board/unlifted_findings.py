"""Findings on a model's own records that nothing lifts: they put its row in doubt, without a rank."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from reports.board.attack_kinds import SCALE_TRIED, is_proper
from reports.board.identities import attack_of
from robench.record.schema import Record

WEAK = frozenset(
    {
        "dead-pixels",
        "nonfinite",
        "not-converged",
        "shattered-gradients",
        "transfer-failure",
        "weaker-than-pgd",
        "zero-gradient",
    }
)
"""Ways in which an attack fails: different attacks may miss the same images in different ways."""

MENDED = frozenset({"silent-success", "tied-output", "changes-input", SCALE_TRIED})
"""Findings with which the verdict is right all the same: they never count."""


def unlifted_codes(own: Sequence[Record], lifted: Collection[str] = ()) -> set[str]:
    """Return the codes of the findings that nothing lifts.

    A finding on the clean images stays. For white-box attacks, shard by shard: a finding stays if every
    proper attack through every gradient source has it; and if every one of them failed in some way (`WEAK`),
    all these ways stay. Without any proper attack, the findings of the others stay.

    Args:
        own: the clean and white-box records of one model on one board.
        lifted: codes whose effect is too small to matter; see `lifted_findings`.
    """
    codes_met = {f.code for r in own if r.attack.is_clean for f in r.findings}
    shards: dict[str, list[Record]] = {}
    for record in own:
        if not record.attack.is_clean:
            shards.setdefault(record.dataset.digest, []).append(record)
    for records in shards.values():
        proper = [r for r in records if is_proper(r)] or records
        per_attack = [codes.difference(lifted) for codes in _codes_by_attack(proper)]
        codes_met |= set.intersection(*per_attack)
        if all(codes & WEAK for codes in per_attack):
            codes_met |= set.union(*per_attack) & WEAK
    return codes_met - MENDED - set(lifted)


def _codes_by_attack(records: Iterable[Record]) -> Iterable[set[str]]:
    """Return the codes of each attack through each gradient source."""
    groups: dict[tuple[str, str], set[str]] = {}
    for record in records:
        place = (attack_of(record), record.source.gradient_source)
        groups.setdefault(place, set()).update(finding.code for finding in record.findings)
    return groups.values()
