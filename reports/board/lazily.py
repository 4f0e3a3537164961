"""Entries of a board that are computed when they are asked for: most tables show a few of many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar, overload

Entry = TypeVar("Entry")
Mark = TypeVar("Mark")


class Lazily(Sequence[Entry], Generic[Entry, Mark]):
    """A sequence of which each entry is computed once, when it is first asked for.

    Args:
        parts: what is known of each entry beforehand, and a call that makes it.
    """

    def __init__(self, parts: Sequence[tuple[Mark, Callable[[], Entry]]]) -> None:
        self._parts, self._done = parts, dict[int, Entry]()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._parts)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | Sequence[Entry]:
        """Return one of them, or several."""
        if isinstance(at, slice):
            return tuple(self[one] for one in range(*at.indices(len(self))))
        number = range(len(self))[at]
        if number not in self._done:
            self._done[number] = self._parts[number][1]()
        return self._done[number]

    def chosen(self, wanted: Callable[[Mark], bool]) -> Iterator[Entry]:
        """Yield those of which what is known beforehand is wanted; the others are not computed."""
        for number, (mark, _) in enumerate(self._parts):
            if wanted(mark):
                yield self[number]

    def __eq__(self, other: object) -> bool:
        """Tell whether all are the same."""
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        """Return a number that equal ones share."""
        return hash(tuple(self))
