"""Tells whether the reports of a run folder are up to date, so that they need not be made again.

`made.json` in the run folder, safe to delete, has one hash of all inputs of reports, and one of each report.
The inputs are the contents of every file of the folder except derived files, and each module and template of
this project and of every installed plugin, by path and stamp, so that it is never valid on another machine.
If a file is added, removed or changed on either side, all reports are made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from robench.errors import StorageError
from robench.record.files import open_regular, read_json, write_atomic
from robench.record.index.index_file import INDEX
from robench.record.journal import DERIVED

MADE = "made.json"
MOST = 2**30
"""Most bytes of a run folder whose content is hashed; reports of a larger one are made each time."""
_NOT_READ = {*DERIVED, MADE, INDEX, "cards", "leases"}
"""Entries of the folder that no report depends on."""
_LIBRARIES = ("jinja2", "markupsafe", "matplotlib", "numpy", "pandas", "pillow")
"""Libraries that draw and compute for reports."""
_UNFIT = (OSError, StorageError, ValueError, RecursionError)  # no folder, not to be read, too deep


class MadeReports:
    """The reports of a run folder.

    Args:
        root: the folder. Reports made from now on are noted as made from its present contents.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            self._origin = _origin(root)
        except _UNFIT:
            self._origin = None

    def paths(self) -> list[Path] | None:
        """Return the noted reports; None if they are out of date, or one is missing or changed."""
        try:
            content = read_json(self._root / MADE)
            if self._origin is None or content["of"] != self._origin:
                return None
            paths = [self._root / name for name in content["reports"]]
            hashes = list(content["reports"].values())
            return paths if [_content(path) for path in paths] == hashes else None
        except (*_UNFIT, KeyError, TypeError, AttributeError):
            return None

    def note(self, paths: Iterable[Path]) -> None:
        """Note which reports were made; a failure to write is ignored."""
        with contextlib.suppress(*_UNFIT):
            if self._origin is None:
                (self._root / MADE).unlink(missing_ok=True)
                return
            reports = {path.relative_to(self._root).as_posix(): _content(path) for path in paths}
            write_atomic(self._root / MADE, json.dumps({"of": self._origin, "reports": reports}) + "\n")


def _origin(root: Path) -> str | None:
    """Return a hash of all inputs of a folder's reports; None if the folder is too large."""
    lines = [root.resolve().name, sys.version, *_code()]
    left = MOST
    for path in sorted(_files(root)):
        left -= path.lstat().st_size
        if left < 0 or not path.is_file() or path.is_symlink():
            return None
        lines.append(f"{path.relative_to(root)!s} {_content(path)}")
    return _hash(lines)


def _files(folder: Path, without: Iterable[str] = _NOT_READ) -> Iterator[Path]:
    """Yield all files in a folder and its subfolders."""
    for entry in folder.iterdir():
        if entry.name not in without:
            yield from _files(entry, ()) if entry.is_dir() and not entry.is_symlink() else (entry,)


def _content(path: Path) -> str:
    """Return a hash of a file, or of the names and contents of all files of a folder."""
    if path.is_dir():
        return _hash([f"{one.relative_to(path)!s} {_content(one)}" for one in sorted(_files(path, ()))])
    sha = hashlib.sha256()
    with open_regular(path, most=MOST) as stream:
        while piece := stream.read(2**20):
            sha.update(piece)
    return sha.hexdigest()


def _hash(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def _code() -> Iterator[str]:
    """Yield lines that identify the code of the reports: files with their stamps, versions of libraries."""
    points = metadata.entry_points()
    groups = [group for group in points.groups if group.startswith("robench.")]
    modules = {point.value.partition(":")[0] for group in groups for point in points.select(group=group)}
    for name in sorted({"robench", *(module.partition(".")[0] for module in modules)}):
        spec = importlib.util.find_spec(name)
        places = (
            [Path(one) for one in (spec.submodule_search_locations or [spec.origin or ""])] if spec else []
        )
        for path in sorted(one for place in places for one in (place, *place.rglob("*"))):
            if path.suffix != ".pyc" and path.is_file():
                now = os.stat(path)
                yield f"{path} {now.st_size} {now.st_mtime_ns} {now.st_ctime_ns} {now.st_ino} {now.st_dev}"
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            yield f"{name} {metadata.version(name)}"
