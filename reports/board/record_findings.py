"""What kind of attack a record is of, and which findings on a model's own records stand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from reports.board.identities import attack_of
from robench.record.schema import Record

WEAK = frozenset({"zero-gradient", "nonfinite", "not-converged", "transfer-failure"})
"""Ways for an attack to get nowhere: what one attack missed by one of them, another may miss by another."""

MENDED = frozenset({"silent-success", "tied-output", "changes-input"})
"""Findings with which the verdict is right all the same: they never stand."""


def is_control(record: Record) -> bool:
    """Tell whether the record is of a control, such as random noise, and not of an attack."""
    return record.attack.control


def uses_gradients(record: Record) -> bool:
    """Tell whether the attack may ask for gradients; unknown ones are taken for such."""
    return record.attack.needs == "gradient"


def is_one_step(record: Record) -> bool:
    """Tell whether the attack asked for one gradient of each image only."""
    return uses_gradients(record) and record.source.gradients == 1


def is_proper(record: Record) -> bool:
    """Tell whether the record is of an attack that can prove something: no control, more than one step."""
    return not is_control(record) and not is_one_step(record)


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
