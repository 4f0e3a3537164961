"""One bounding method on one model under one threat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from robench.attack.threat import ThreatModel
from robench.errors import ConfigError
from robench.plan.bounds import METHODS, BranchAndBound, Method
from robench.plan.spec import SCHEMA, content_hash
from robench.recipe import options_of
from robench.run.evaluated_model import EvaluatedModel
from robench.run.shards import Shard, slices


@contextmanager
def named_refusal(model: str, method: str) -> Iterator[None]:
    """Name the model in the refusal of a bound, and say how to leave it out.

    Args:
        model: its name in the plan.
        method: the name of the way to bound.

    Raises:
        ConfigError: the same refusal.
    """
    try:
        yield
    except ConfigError as error:
        own = f"model {model!r}"
        where = error.where if error.where.startswith(own) else f"{own}, {error.where}"
        choice = f"only other models to bound: {{{method}: {{...}}, models: [...]}}"
        do = f"{error.do.rstrip('.')}, or name {choice}" if error.do else f"Name {choice}"
        raise ConfigError(where=where, expected=error.expected, got=error.got, do=do) from None


REVISION = 1
"""Revision of the bounds; raised when their results for an image change."""

IMAGES = {"ibp": 500, "crown": 50, "alpha_crown": 20, "branch_and_bound": 10}
"""Images of one unit: so many are lost when a run is killed. The bounds of an image depend on it alone."""

SECONDS = {"ibp": 10.0, "crown": 120.0, "alpha_crown": 600.0, "branch_and_bound": 600.0}
"""Seconds per image after which a job counts as hanging, if its method has no limit in seconds."""


class BoundColumn(NamedTuple):
    """A bounding method on a board, and the names of its models; no names mean all models."""

    method: Method
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounding:
    """A bounding method on one model under one threat.

    Attributes:
        target: the model.
        threat: the threat model of its board.
        eps_text: the radius as the user wrote it.
        label: the column.
        method: the method, with its limits.
    """

    target: EvaluatedModel
    threat: ThreatModel
    eps_text: str
    label: str
    method: Method

    @property
    def name(self) -> str:
        """The name of its method."""
        return next(name for name, kind in METHODS.items() if isinstance(self.method, kind))

    @property
    def title(self) -> str:
        """One readable line."""
        place = f"{self.threat.norm.name} {self.eps_text}"
        return f"{self.label} bounds of {self.target.model.name} ({place})"

    @property
    def seconds(self) -> float:
        """Seconds that an image may take; a search checks the clock only between its steps."""
        limit = self.method.seconds if isinstance(self.method, BranchAndBound) else None
        return SECONDS[self.name] if limit is None else limit + SECONDS["crown"]

    def spec(self) -> dict[str, Any]:
        """Return the plain JSON description that stands in records in place of an attack."""
        return {
            "label": self.label,
            "name": f"robench.bounds:{self.name}",
            "title": self.method.info.title,
            "options": options_of(self.method),
            "library": "robench",
            "needs": "bounds",
            **({"revision": REVISION} if REVISION > 1 else {}),
        }

    def check(self, shape: tuple[int, int, int]) -> None:
        """Read the network, so that a network without bounds is refused before any work.

        Args:
            shape: (C, H, W) of the images.

        Raises:
            ConfigError: the model has no bounds; the layer is named.
        """
        from robench.bounds.methods import certifier_of

        with named_refusal(self.target.model.name, self.name):
            certifier_of(self.target.model, self.threat, shape, self.method)

    def key(self, shard: Shard, *, seed: int) -> str:
        """Return the hash of everything that can change the record."""
        return content_hash(
            {
                "schema": SCHEMA,
                "kind": "bound",
                "revision": REVISION,
                "target": [self.target.model.name, self.target.fingerprint],
                "label": self.label,
                "method": self.name,
                "options": options_of(self.method),
                "threat": self.threat.spec(),
                "eps_text": self.eps_text,
                "shard": shard.digest,
                "data": [shard.data.name, shard.data.split],
                # Bounds are the same with any seed; a search has random starts.
                "seed": seed if isinstance(self.method, BranchAndBound) else 0,
            }
        )


def bounding_slices(count: int, bounding: Bounding) -> list[slice]:
    """Return the slices of so many images of a shard that are bounded in a job each."""
    return slices(count, IMAGES[bounding.name])
