"""What kind of attack a record is of: a control, one step, one that can prove something."""

from __future__ import annotations

from robench.record.schema import Record


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
