"""The title of a data set before it is read, for dry runs, logs, and lists of used data. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

OWN_DATA = ("npz", "image_folder")
"""Data sets that are a user's own file or folder, called as it is."""


def images_title(name: str, split: str) -> str:
    """Return the name of images in titles; images of a file `test.npz` are `test`, not `test test`.

    Example:
        >>> images_title("digits", "test"), images_title("test", "test")
        ('digits test', 'test')
    """
    return name if name == split else f"{name} {split}"


def data_title(name: str, options: Mapping[str, Any], split: str) -> str:
    """Return the name under which images appear in rows and reports.

    Only the configuration is read here. The data set itself may add to the name once it is loaded.

    Args:
        name: of the data set plugin.
        options: of it.
        split: `train` or `test`; it stands for `{split}` in a path.

    Example:
        >>> data_title("npz", {"path": "/my/digits-{split}.npz"}, "test")
        'digits-test'
        >>> data_title("mnist", {}, "test")
        'mnist'
    """
    if name not in OWN_DATA:
        return name
    path = PurePath(str(options.get("path") or "").replace("{split}", split))
    return str(options.get("title") or (path.stem if name == "npz" else path.name) or name)
