"""The folders of data sets, refused paths, and downloads checked against a published hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from robench.errors import InputError
from robench.intake.limits import DATA
from robench.intake.regular_file import open_regular
from robench.plan.data_root import DATA_ROOT, NEEDS_ROOT, in_data_root


def data_root(root: Path | None) -> Path:
    """Return the folder of data sets: `root`, else the environment's ROBENCH_DATA, else ~/.cache/robench."""
    if root is not None:
        return root
    folder = os.environ.get("ROBENCH_DATA")
    return Path(folder) if folder else Path.home() / ".cache" / "robench"


CORRECT = (
    "Correct the option `path`: a relative one starts in the data root, without one in the current folder"
)
"""What to do if a user's own data are not found."""


def resolved(path: str, root: Path | None, *, where: str) -> Path:
    """Return the place of a user's own data.

    Args:
        path: absolute, or relative to `root`, or, without a root, to the current folder; one that begins with
            `$DATA_ROOT/` is relative to `root` and needs one.
        root: a folder a relative path must not leave, or None.
        where: for the message.

    Raises:
        InputError: the path is empty, contains a NUL, needs a root that is not set, or leaves the root.
    """
    if not path or "\0" in path:
        raise InputError(where=where, expected="a path", got=repr(path), do="Set the option `path`")
    if in_data_root(path):
        if root is None:
            got, do = f"no folder for {path}", NEEDS_ROOT
            raise InputError(where=where, expected="the folder of data sets", got=got, do=do)
        path = str(Path(path).relative_to(DATA_ROOT))
    if root is None or Path(path).is_absolute():
        return Path(path)
    place = (root / path).resolve()
    if not place.is_relative_to(root.resolve()):
        raise InputError(where=where, expected=f"a path inside {root}", got=path, do="Give an absolute path")
    return place


def check_member(name: str, *, where: str) -> tuple[str, ...]:
    """Return the parts of an archive member's path, as `PurePosixPath.parts` does, in a tenth of its time.

    Raises:
        InputError: it is absolute, climbs with `..`, or holds a drive, a backslash or a NUL.
    """
    parts = tuple([part for part in name.split("/") if part not in ("", ".")])
    if name.startswith("/") or ".." in parts or any(sign in name for sign in ("\\", "\0", ":")):
        raise InputError(where=where, expected="archive members inside the archive", got=repr(name))
    return parts


def check_split(split: str, *, where: str) -> None:
    """Refuse a split that is neither `train` nor `test`.

    Raises:
        InputError: another name.
    """
    if split not in ("train", "test"):
        raise InputError(where=where, expected="split 'train' or 'test'", got=repr(split))


@contextmanager
def fetching(where: str) -> Iterator[None]:
    """Turn the errors of a download into an InputError.

    Args:
        where: the data set's plugin.

    Raises:
        InputError: no network, or a hash that torchvision checks does not match.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong MD5 a RuntimeError
        do = "Fetch the files by other means and pass `--data-root DIR`"
        raise InputError(where=where, expected="to download", got=str(error), do=do) from error


def check_downloads(folder: Path, hashes: Mapping[str, str], *, algorithm: str) -> None:
    """Refuse and remove downloaded files that are not the published ones.

    Args:
        folder: the folder with the files.
        hashes: file name to hexadecimal digest.
        algorithm: `sha256`, or `md5` where the publisher gives no other.

    Raises:
        InputError: a file is absent or altered.
    """
    for name, expected in hashes.items():
        path = folder / name
        with open_regular(path, DATA, expected="a downloaded file") as file:
            digester = hashlib.new(algorithm, usedforsecurity=False)
            while piece := file.read(1 << 20):
                digester.update(piece)
        digest = digester.hexdigest()
        if digest != expected:
            path.unlink()
            raise InputError(
                where=str(path),
                expected=f"a download with {algorithm} {expected}",
                got=digest,
                do="The file was altered on its way and has been removed: try again later or elsewhere",
            )
