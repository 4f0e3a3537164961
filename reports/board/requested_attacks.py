"""Which attacks a rank asks for where a board is made of several runs: those that most rows met."""

from __future__ import annotations

from collections import Counter

from reports.board.identities import attack_of, model_of
from reports.board.samples import Samples
from robench.intake.user_code import is_reference


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
