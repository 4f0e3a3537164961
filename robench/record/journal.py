"""The journal of a run, and the list of files of its folder that are made from others.

`finished.txt` starts with the hash of the plan; a line for every finished unit follows. After a kill it shows
which units of the plan were finished; at the end of a run `run.json` does.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from robench.errors import StorageError
from robench.record.files import MOST_TEXT, read_regular, write_atomic

JOURNAL = "finished.txt"
KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
_HASH = re.compile(r"[0-9a-f]{32}")

DERIVED = (
    "leaderboard.csv", "leaderboard.md", "leaderboard.json", "leaderboard.tex",
    "measurements.csv", "curves.csv", "report.html", "badge.svg", "references.bib",
    "paper-tables.md", "paper-tables.tex", "paper-tables.csv", "paper-tables.json", "board.json",
    "made.json",
)  # fmt: skip
"""Files that are made from records; after a change of plan they would show the old plan's results."""


def read_journal(root: Path) -> tuple[str, list[str]]:
    """Return the hash of the plan and the keys of its finished units; an empty hash without a journal.

    An incomplete last line, left by a kill, does not count.

    Raises:
        StorageError: it is not a journal, or cannot be read.
    """
    data = read_regular(root / JOURNAL, most=MOST_TEXT)
    if data is None:
        return "", []
    first, *lines = data.decode("utf-8", "replace").split("\n")[:-1] or [""]
    if not _HASH.fullmatch(first):
        where = str(root / JOURNAL)
        raise StorageError(where=where, expected="the hash of a plan in the first line", got=repr(first[:40]))
    return first, list(dict.fromkeys(line for line in lines if KEY.fullmatch(line)))


def write_journal(root: Path, plan: str, keys: Iterable[str]) -> None:
    """Write a complete journal.

    Raises:
        StorageError: writing to disk failed.
    """
    write_atomic(root / JOURNAL, "".join(f"{line}\n" for line in (plan, *keys)))


def append_key(root: Path, key: str) -> None:
    """Append a complete line to a journal, safe with other writers; a line lost in a power cut is recovered.

    Raises:
        StorageError: there is no journal, or writing to disk failed.
    """
    path = root / JOURNAL
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | getattr(os, "O_NONBLOCK", 0))
        try:
            # A full disk has left a partial line: it must be neither a key nor part of this key.
            size = os.fstat(handle).st_size
            whole = not size or os.pread(handle, 1, size - 1) == b"\n"
            line = (f"{key}\n" if whole else f" \n{key}\n").encode()
            if os.write(handle, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(handle)
    except OSError as error:
        got = error.strerror or str(error)
        raise StorageError(where=str(path), expected="to add a line to the journal", got=got) from error


def derived_files(root: Path) -> Iterator[Path]:
    """Yield the existing files of a run folder that are made from others."""
    cards = root / "cards"
    for path in (*(root / name for name in DERIVED), *(sorted(cards.glob("*.md")) if cards.is_dir() else ())):
        if os.path.lexists(path):
            yield path
