"""The attacks required for a rank on a board of several runs: those that most rows have."""

from __future__ import annotations

from collections import Counter

from reports.board.identities import attack_of, model_of
from reports.board.samples import Samples
from robench.intake.user_code import is_reference


def requested_attacks(own: Samples) -> frozenset[str] | None:
    """Return the attacks that more than half of the attacked rows have.

    So an additional attack on one row costs no other row its rank. If no attack is that common, rows cannot
    be compared: then all attacks of any row are required. An attack from a user's file is required only if
    rows have nothing else, because others cannot run it. None if nothing was attacked.
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
