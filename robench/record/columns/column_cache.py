"""A cache of the columns read last: tables of one model need the same columns one after another."""

from __future__ import annotations

from collections import OrderedDict

from robench.record.columns.image_columns import Columns

MOST_IMAGES = 2**17
"""Most images of all columns in the cache together: about 10 MiB."""


class RecentColumns:
    """Keeps the columns of the records that were read last, as many as fit."""

    def __init__(self) -> None:
        self._columns: OrderedDict[str, Columns] = OrderedDict()
        self._images = 0

    def of(self, key: str) -> Columns | None:
        """Return the columns of a record, None if they are not in the cache."""
        columns = self._columns.get(key)
        if columns is not None:
            self._columns.move_to_end(key)
        return columns

    def keep(self, key: str, columns: Columns) -> None:
        """Keep the columns of a record, and forget the least recently used ones."""
        self.forget(key)
        self._columns[key] = columns
        self._images += len(columns)
        while self._images > MOST_IMAGES:
            self.forget(next(iter(self._columns)))

    def forget(self, key: str) -> None:
        """Forget the columns of a record, if they are kept."""
        if (columns := self._columns.pop(key, None)) is not None:
            self._images -= len(columns)
