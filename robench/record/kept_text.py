"""A text made from a run folder and cached in it, valid only while nothing that it depends on has changed.

`board.json` in the run folder, safe to delete. It depends on the size, times of last change (of content and
of inode, in nanoseconds), inode and device of every record, every error file, the plan, `run.json` and the
journal, and of every module of the kernel and the reports: if a file or a line of code is added, removed or
changed, the text is made again. It misses the same changes as an index (`robench.record.index.folder_index`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from robench.errors import StorageError
from robench.record.files import MOST_TEXT, read_json, write_atomic
from robench.record.index.folder_index import FEWEST, SETTLED_NS
from robench.record.journal import JOURNAL

KEPT = "board.json"
_FILES = ("plan.json", "run.json", JOURNAL)
_CODE = ("robench", "reports")


class KeptText:
    """A text about a run folder.

    Args:
        root: the run folder. Only a folder with enough records for an index keeps a text.
        about: identifies contents and form of the text, so that no other text is used instead.
    """

    def __init__(self, root: Path, about: str) -> None:
        self._root = root
        self._state = _state(root, about)

    def read(self) -> str | None:
        """Return the stored text, None if there is none, or something has changed since."""
        if self._state is None:
            return None
        try:
            content = read_json(self._root / KEPT)
        except StorageError:
            return None
        if not isinstance(content, dict) or content.get("of") != self._state:
            return None
        text = content.get("text")
        return text if isinstance(text, str) and content.get("sha256") == _digest(text) else None

    def write(self, text: str) -> None:
        """Store a text made from the state at the creation of this object; a failure to write is ignored."""
        if self._state is not None and len(text) < MOST_TEXT // 8:
            with contextlib.suppress(StorageError):
                content = {"of": self._state, "sha256": _digest(text), "text": text}
                write_atomic(self._root / KEPT, json.dumps(content) + "\n")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _state(root: Path, about: str) -> str | None:
    """Return a hash of the stamps of everything that a text about a folder depends on.

    None if there are few records, if one may still be changing, or if stamps are not reliable.
    """
    if os.name != "posix":
        return None
    try:
        units = list(_stamps(root / "units"))
        if len(units) < FEWEST:
            return None
        others = [*_stamps(root / "errors"), *_files(root)]
    except OSError:
        return None
    newest = max(stamp[3] for stamp in (*units, *others))
    if newest > time.time_ns() - SETTLED_NS:
        return None
    lines = [about, *map(repr, sorted(units)), *map(repr, sorted(others)), *_code()]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def _stamps(folder: Path) -> Iterator[tuple[str, int, int, int, int, int]]:
    """Yield name and stamp of each entry of a folder; for a link, the stamp of its target."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            yield _stamp(entry.name, entry.stat())


def _files(root: Path) -> Iterator[tuple[str, int, int, int, int, int]]:
    for name in _FILES:
        with contextlib.suppress(FileNotFoundError):
            yield _stamp(f"./{name}", os.stat(root / name))


def _stamp(name: str, now: os.stat_result) -> tuple[str, int, int, int, int, int]:
    return name, now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino, now.st_dev


def _code() -> Iterable[str]:
    """Return path and stamp of each module that makes texts."""
    import importlib.util

    for name in _CODE:
        spec = importlib.util.find_spec(name)
        for place in sorted(spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(place).rglob("*.py")):
                yield repr(_stamp(str(path), os.stat(path)))
