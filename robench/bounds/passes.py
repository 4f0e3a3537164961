"""How many passes a search spends on one image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Passes:
    """Passes through the network, and functions of its outputs carried back through it.

    A function of the outputs that is carried back counts as one backward pass; its derivative as one more
    forward. What is bounded inside of the network before the search starts is not counted.

    Attributes:
        forwards: so far.
        backwards: so far.
    """

    forwards: int = 0
    backwards: int = 0

    def book(self, *, forwards: int = 0, backwards: int = 0) -> None:
        """Add passes."""
        self.forwards += forwards
        self.backwards += backwards
