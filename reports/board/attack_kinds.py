"""Kinds of attacks: a control, a one-step attack, an attack that can prove something."""

from __future__ import annotations

from collections.abc import Sequence

from reports.board.paired_images import standing_images
from robench.record.schema import Record
from robench.record.status import ROBUST

FEWEST_QUESTIONS = 20
"""Least average number of queries of an attack without gradients on an image that stands."""

SCALE_FREE_ATTACKS = frozenset(
    {
        "attacks.apgd_targeted:APGDTargeted", "attacks.autoattack:AutoAttack", "attacks.deepfool:DeepFool",
        "attacks.economical:EconomicalAutoAttack", "attacks.fab:FAB", "attacks.fab_targeted:FABTargeted",
        "attacks.fmn:FMN",
    }
)  # fmt: skip
"""Attacks, by identity, that break as much on scores of any size, whatever their options."""

SCALE_FREE_LOSSES = frozenset({"margin", "dlr"})

SCALE_TRIED = "scale-tried"
"""Finding on an attack: an ascent of the margin broke hardly any image that it left standing."""


def is_control(record: Record) -> bool:
    """Tell whether the record is of a control, such as random noise, and not of an attack."""
    return record.attack.control


def uses_gradients(record: Record) -> bool:
    """Tell whether the attack may use gradients; unknown attacks count as such."""
    return record.attack.needs == "gradient"


def is_one_step(record: Record) -> bool:
    """Tell whether the attack used the gradients of only one point of each image."""
    gradients = record.source.gradients
    return uses_gradients(record) and (
        gradients == 1 or (gradients > 1 and record.attack.options.get("steps") == 1)
    )


def hardly_asks(record: Record) -> bool:
    """Tell whether an attack without gradients made too few queries on surviving images to prove anything.

    An attack of a user's file may return unchanged images, or noise, by design or by mistake.
    """
    if record.attack.is_clean or record.source.gradients > 0 or not len(record.columns):
        return False
    if uses_gradients(record) and record.columns.total("backwards") > 0:
        return False  # an old record without the number of gradients
    if record.columns.total("forwards") >= FEWEST_QUESTIONS * len(record.columns):
        return False  # the columns need not be read from the file
    status, forwards = record.columns.arrays("status", "forwards")
    own = forwards[status == ROBUST]
    return bool(len(own)) and float(own.mean()) < FEWEST_QUESTIONS


def is_proper(record: Record) -> bool:
    """Tell whether the record is of an attack that can prove something: none of the above."""
    return not is_control(record) and not is_one_step(record) and not hardly_asks(record)


def overcome_flat_scores(own: Sequence[Record]) -> bool:
    """Tell whether an attack that no scale of the scores weakens was tried on every image of a row.

    It is one by its loss, or because an ascent of their margin broke hardly any image that it left standing.

    Args:
        own: the clean and white-box records of one model on one board.
    """
    proper = [r for r in own if not r.attack.is_clean and is_proper(r)]
    strong = [r for r in proper if _is_scale_free(r)]
    return bool(strong) and len(standing_images(strong)) == len(standing_images(proper))


def _is_scale_free(record: Record) -> bool:
    attack = record.attack
    if attack.name in SCALE_FREE_ATTACKS or attack.options.get("loss") in SCALE_FREE_LOSSES:
        return True
    return any(finding.code == SCALE_TRIED for finding in record.findings)
