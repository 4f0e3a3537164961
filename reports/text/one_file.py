"""A report that is one file, made only from the records. No torch here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from robench.record.files import write_atomic
from robench.record.schema import Record


class OneFile:
    """Base of reports that write one file."""

    __slots__ = ()
    file: ClassVar[str]
    """The name of the file."""

    @abstractmethod
    def render(self, records: Sequence[Record]) -> str:
        """Return the text of the file."""

    def __call__(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write the file and return its path.

        Raises:
            ConfigError: as `render`.
            StorageError: writing to disk failed; an older file is intact.
        """
        path = folder / self.file
        write_atomic(path, self.render(records))
        return [path]
