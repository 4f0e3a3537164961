"""Downloads: failures turned into one error, and what came checked against a published hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from robench.errors import InputError


@contextmanager
def fetching(where: str) -> Iterator[None]:
    """Turn what a download raises into an InputError.

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
        folder: holds them.
        hashes: file name to hexadecimal digest.
        algorithm: `sha256`, or `md5` where the publisher gives no other.

    Raises:
        InputError: a file is absent or altered.
    """
    for name, expected in hashes.items():
        path = folder / name
        try:
            digest = hashlib.new(algorithm, path.read_bytes(), usedforsecurity=False).hexdigest()
        except OSError as error:
            raise InputError(where=str(path), expected="a downloaded file", got=str(error)) from error
        if digest != expected:
            path.unlink()
            raise InputError(
                where=str(path),
                expected=f"a download with {algorithm} {expected}",
                got=digest,
                do="The file was altered on its way and has been removed: try again later or elsewhere",
            )
