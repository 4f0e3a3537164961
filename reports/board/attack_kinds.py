"""What kind of attack a record is of: a control, one step, one that can prove something."""

from __future__ import annotations

from robench.record.schema import Record
from robench.record.status import ROBUST

FEWEST_QUESTIONS = 20
"""Questions that an attack without gradients must have asked about an image that stands, on average."""


def is_control(record: Record) -> bool:
    """Tell whether the record is of a control, such as random noise, and not of an attack."""
    return record.attack.control


def uses_gradients(record: Record) -> bool:
    """Tell whether the attack may ask for gradients; unknown ones are taken for such."""
    return record.attack.needs == "gradient"


def is_one_step(record: Record) -> bool:
    """Tell whether the attack asked for the gradients of one point of each image only."""
    gradients = record.source.gradients
    return uses_gradients(record) and (
        gradients == 1 or (gradients > 1 and record.attack.options.get("steps") == 1)
    )


def hardly_asks(record: Record) -> bool:
    """Tell whether an attack without gradients asked about what stands so seldom that it proves nothing.

    One of a user's file may return the images as they are, or noise, by design or by mistake.
    """
    if record.attack.is_clean or record.source.gradients > 0 or not len(record.columns):
        return False
    if uses_gradients(record) and record.columns.total("backwards") > 0:
        return False  # an old record, which does not say how many gradients
    if record.columns.total("forwards") >= FEWEST_QUESTIONS * len(record.columns):
        return False  # the columns need not be read from the file
    status, forwards = record.columns.arrays("status", "forwards")
    own = forwards[status == ROBUST]
    return bool(len(own)) and float(own.mean()) < FEWEST_QUESTIONS


def is_proper(record: Record) -> bool:
    """Tell whether the record is of an attack that can prove something: none of the above."""
    return not is_control(record) and not is_one_step(record) and not hardly_asks(record)
