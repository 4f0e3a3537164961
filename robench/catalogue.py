"""What a table of attacks, such as those of a library, must offer to be found by name. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackFacts:
    """What a list of attacks says about each.

    Attributes:
        norms: that it aims at.
        knowledge: what it needs to see of a model: `gradient`, `score` or `decision`.
        smallest: whether it looks for the smallest perturbation rather than for any inside the ball.
        lacks: the module of its library that is not installed; empty if none is missing.
    """

    norms: tuple[str, ...]
    knowledge: str
    smallest: bool = False
    lacks: str = ""


class Catalogue(Protocol):
    """Attacks that are listed in a table, and made when one is asked for. Importing it imports no torch."""

    @property
    def left_out(self) -> Mapping[str, str]:
        """Names of the library that are no attacks here, each with the reason."""
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

    def facts(self, name: str) -> AttackFacts:
        """Return what a list says about an attack, without making its recipe."""
        ...

    def explained(self, name: str) -> Mapping[str, str]:
        """Return what is known of an attack's options beside their types and defaults, by option."""
        ...

    def called(self, value: str) -> str | None:
        """Return the name of the recipe that records call `module:qualname`; None for none."""
        ...
