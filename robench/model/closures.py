"""What a function of Python carries with it: its closure, and the names it uses."""

from __future__ import annotations

from types import CodeType, FunctionType
from typing import Any


def closure_values(function: FunctionType) -> list[Any]:
    """Return the values of a function's closure; None and cells that hold nothing yet are left out."""
    return [cell.cell_contents for cell in function.__closure__ or () if _has_value(cell)]


def names_in(code: CodeType) -> set[str]:
    """Return the names of globals and attributes in a piece of code and in the functions inside it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(names_in, inner))


def _has_value(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # the cell is empty
        return False
