"""How models look: one colour for each in all figures of a page, and hollow marks for those in doubt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from reports.figures.style import COLOURS

LIT = 8
"""Models with a colour of their own; more cannot be told apart."""

GREY = "#999999"
HOLLOW = "#fefefe"
"""Inside of a hollow mark: that of the paper, which a page replaces by its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The look of some models.

    Attributes:
        places: of each model with a colour among `COLOURS`; the others are grey.
        doubted: models whose marks are hollow and whose lines are dashed.
        narrow: for the width of a phone, or half that of a page.
    """

    places: Mapping[str, int] = field(default_factory=dict)
    doubted: frozenset[str] = frozenset()
    narrow: bool = False

    def lit(self, model: str) -> bool:
        """Tell whether a model has a colour of its own."""
        return model in self.places

    def colour(self, model: str) -> str:
        """Return the colour of a model."""
        return COLOURS[self.places[model]] if model in self.places else GREY

    def face(self, model: str) -> str:
        """Return the colour inside its marks."""
        return HOLLOW if model in self.doubted else self.colour(model)

    def line(self, model: str) -> Literal["-", "--"]:
        """Return the style of its lines."""
        return "--" if model in self.doubted else "-"

    def of(self, doubted: Iterable[str]) -> Look:
        """Return the look on a board, where these models are in doubt."""
        return replace(self, doubted=frozenset(doubted))


def look_of(names: Iterable[str], *, doubted: Iterable[str] = (), narrow: bool = False) -> Look:
    """Return the look of models: the first ones have a colour each.

    Args:
        names: of the models, in the order of a board.
        doubted: those in doubt.
        narrow: see `Look`.
    """
    first = list(dict.fromkeys(names))[:LIT]
    places = {name: place for place, name in enumerate(first)}
    return Look(places=places, doubted=frozenset(doubted), narrow=narrow)
