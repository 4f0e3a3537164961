"""Which findings on a model's own records nothing lifts: they put its row in doubt and take its rank."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from reports.board.attack_kinds import is_proper
from reports.board.identities import attack_of
from robench.record.schema import Record

WEAK = frozenset({"zero-gradient", "nonfinite", "not-converged", "transfer-failure", "weaker-than-pgd"})
"""Ways for an attack to get nowhere: what one attack missed by one of them, another may miss by another."""

MENDED = frozenset({"silent-success", "tied-output", "changes-input"})
"""Findings with which the verdict is right all the same: they never stand."""


def unlifted_codes(own: Sequence[Record], lifted: Collection[str] = ()) -> set[str]:
    """Return the codes of the findings that nothing lifts.

    One on the clean images stands. Of those met by attacks on the very model, asked shard by shard: a finding
    stands if every proper attack through every gradient source met it; and if every one of them got nowhere
    in some way (`WEAK`), all these ways stand. Where no proper attack played, what the others met stands.

    Args:
        own: the clean and white-box records of one model on one board.
        lifted: codes that other records show to change too little to matter; see `lifted_findings`.
    """
    codes_met = {f.code for r in own if r.attack.is_clean for f in r.findings}
    shards: dict[str, list[Record]] = {}
    for record in own:
        if not record.attack.is_clean:
            shards.setdefault(record.dataset.digest, []).append(record)
    for records in shards.values():
        proper = [r for r in records if is_proper(r)] or records
        per_attack = [codes.difference(lifted) for codes in _cells(proper)]
        codes_met |= set.intersection(*per_attack)
        if all(cell & WEAK for cell in per_attack):
            codes_met |= set.union(*per_attack) & WEAK
    return codes_met - MENDED - set(lifted)


def _cells(records: Iterable[Record]) -> Iterable[set[str]]:
    """Return the codes met by each attack through each gradient source."""
    groups: dict[tuple[str, str], set[str]] = {}
    for record in records:
        place = (attack_of(record), record.source.gradient_source)
        groups.setdefault(place, set()).update(finding.code for finding in record.findings)
    return groups.values()
