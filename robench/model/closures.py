"""What a function of Python carries with it in its closure."""

from __future__ import annotations

from types import FunctionType
from typing import Any


def closure_values(function: FunctionType) -> list[Any]:
    """Return the values of a function's closure; None and cells that hold nothing yet are left out."""
    return [cell.cell_contents for cell in function.__closure__ or () if _has_value(cell)]


def _has_value(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # the cell is empty
        return False
