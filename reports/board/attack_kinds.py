"""Kinds of attacks: a control, a one-step attack, an attack that can prove something."""

from __future__ import annotations

from robench.record.schema import Record
from robench.record.status import ROBUST

FEWEST_QUESTIONS = 20
"""Least average number of queries of an attack without gradients on an image that stands."""


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
