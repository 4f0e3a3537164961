"""Entries of a board that are computed on use, because most tables show only a few of many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Generic, TypeVar, overload

Entry = TypeVar("Entry")
Mark = TypeVar("Mark")


class Lazily(Sequence[Entry], Generic[Entry, Mark]):
    """A sequence whose entries are computed once, on first use.

    Args:
        parts: returns for each entry a mark, which is known before, and a function that makes it; called
            once, on first use.
        some: whether it is known that the sequence is not empty.
    """

    def __init__(
        self, parts: Callable[[], Sequence[tuple[Mark, Callable[[], Entry]]]], *, some: bool = False
    ) -> None:
        self._ask, self._some, self._done = parts, some, dict[int, Entry]()

    @cached_property
    def _parts(self) -> Sequence[tuple[Mark, Callable[[], Entry]]]:
        return self._ask()

    def __bool__(self) -> bool:
        """Tell whether there are entries."""
        return self._some or len(self) > 0

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._parts)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | Sequence[Entry]:
        """Return one entry, or several."""
        if isinstance(at, slice):
            return tuple(self[one] for one in range(*at.indices(len(self))))
        number = range(len(self))[at]
        if number not in self._done:
            self._done[number] = self._parts[number][1]()
        return self._done[number]

    def chosen(self, wanted: Callable[[Mark], bool]) -> Iterator[Entry]:
        """Yield the entries whose mark is wanted; the others are not computed."""
        for number in sorted(at for mark, places in self._by_mark.items() if wanted(mark) for at in places):
            yield self[number]

    @cached_property
    def _by_mark(self) -> dict[Mark, list[int]]:
        """Positions of the entries of each mark: there are far fewer marks than entries."""
        places: dict[Mark, list[int]] = {}
        for number, (mark, _) in enumerate(self._parts):
            places.setdefault(mark, []).append(number)
        return places

    def __eq__(self, other: object) -> bool:
        """Tell whether all entries are equal."""
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        """Return the same number for equal sequences."""
        return hash(tuple(self))
