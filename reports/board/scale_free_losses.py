"""Attacks whose strength does not depend on the scale of the scores."""

from __future__ import annotations

from collections.abc import Sequence

from reports.board.attack_kinds import is_proper
from reports.board.paired_images import standing
from robench.record.schema import Record

SCALE_FREE_ATTACKS = frozenset(
    {
        "attacks.apgd_targeted:APGDTargeted", "attacks.autoattack:AutoAttack", "attacks.deepfool:DeepFool",
        "attacks.economical:EconomicalAutoAttack", "attacks.fab:FAB", "attacks.fab_targeted:FABTargeted",
        "attacks.fmn:FMN",
    }
)  # fmt: skip
"""Identities of attacks that are equally strong for scores of any scale, with all options."""

SCALE_FREE_LOSSES = frozenset({"margin", "dlr"})


def overcome_flat_scores(own: Sequence[Record]) -> bool:
    """Tell whether an attack that does not depend on the scale of scores was tried on all images of a row.

    Args:
        own: the clean and white-box records of one model on one board.
    """
    proper = [r for r in own if not r.attack.is_clean and is_proper(r)]
    strong = [r for r in proper if _is_scale_free(r)]
    return bool(strong) and len(standing(strong)) == len(standing(proper))


def _is_scale_free(record: Record) -> bool:
    attack = record.attack
    return attack.name in SCALE_FREE_ATTACKS or attack.options.get("loss") in SCALE_FREE_LOSSES
