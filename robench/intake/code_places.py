"""The place of an error in code that is not ours: file, line and traceback. No torch here."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path
from typing import Any

LONGEST_TRACEBACK = 20_000
"""Most characters of a traceback that are kept: the message of foreign code may have any length."""


def file_of(value: Any) -> Path | None:
    """Return the file that defines a function, a class, or the class of an object; None where unknown."""
    for candidate in (value, type(value)):
        try:
            return Path(inspect.getfile(candidate))
        except (TypeError, OSError):  # generated, written in C, or an object: its class may have a file
            continue
    return None


def place_of(error: BaseException, path: Path | None) -> str:
    """Return the last place of an error in a file or its folder, such as `mine.py, line 3`.

    Args:
        error: what was raised.
        path: the file as a user named it; None for a library.

    Returns:
        the file alone where no line of it is known, nothing without a file.
    """
    if path is None:
        return ""
    if isinstance(error, SyntaxError) and error.lineno:  # raised before a line of the file was run
        places = [(Path(error.filename or path), error.lineno)]
    else:
        places = [(Path(f.filename), f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)]
    own = [(file, line) for file, line in places if _is_beside(file, path)]
    if not own:
        return str(path)
    file, line = own[-1]
    return f"{path.with_name(file.name)}, line {line}" if line else str(path)


def _is_beside(file: Path, path: Path) -> bool:
    """Tell whether a file is the given one or in its folder; `<stdin>` is neither."""
    return file == path or (file.is_absolute() and file.parent == path.absolute().parent)


def traceback_of(error: BaseException) -> str:
    """Return the whole traceback of an error, with those of its causes, shortened in the middle."""
    text = "".join(traceback.format_exception(error)).rstrip()
    if len(text) <= LONGEST_TRACEBACK:
        return text
    half = LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half} characters left out) ...\n{text[-half:]}"
