"""Identify a user's image files by a hash, because others may replace them; trainings depend on it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from robench import plugins, recipe
from robench.plan.spec import DataSpec


@runtime_checkable
class OwnFiles(Protocol):
    """A data set of a user's files, which may be replaced by others under the same path."""

    def content(self, split: str, *, root: Path | None) -> str:
        """Return a hash of the files of a split; they are not decoded.

        Raises:
            InputError: they are absent or unreadable.
        """
        ...


def content_of(spec: DataSpec, *, root: Path | None) -> str:
    """Return a hash of the files of a specification; empty for published data, whose loaders check them.

    Raises:
        InputError: the files are absent or unreadable.
    """
    kind = plugins.find("datasets", spec.dataset.name, where=spec.dataset.where)
    source = recipe.build(kind, spec.dataset.options, where=spec.dataset.where)
    return source.content(spec.split, root=root) if isinstance(source, OwnFiles) else ""
