"""What a table of attacks, such as those of a library, must offer to be found by name. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol


class Catalogue(Protocol):
    """Attacks that are listed in a table, and made when one is asked for. Importing it imports no torch."""

    @property
    def left_out(self) -> Mapping[str, str]:
        """What of the library is no attack here, each with the reason."""
        ...

    @property
    def aliases(self) -> Mapping[str, str]:
        """Other names that the library itself has for attacks, and the name each is listed by."""
        ...

    def names(self) -> Iterable[str]:
        """Return the names, without what stands before the slash."""
        ...

    def find(self, name: str) -> Any:
        """Return the recipe of a name."""
        ...

    def brief(self, name: str) -> tuple[str, str]:
        """Return the first sentence about an attack, and its paper."""
        ...

    def called(self, value: str) -> str | None:
        """Return the name of the recipe that records call `module:qualname`; None for none."""
        ...
