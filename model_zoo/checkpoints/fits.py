"""A network, weights of a file under its names, and their faults: values of `fitting`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from model_zoo.checkpoints.beside_tensors import Versions
from model_zoo.checkpoints.key_layouts import Reading, State
from model_zoo.checkpoints.untrusted_weights import enumeration
from model_zoo.checkpoints.weight_sets import WeightSet
from robench.errors import CheckpointError
from robench.plan.weights_path import Step

MOST_NAMED = 3
"""Most keys of each kind that a refusal names: the advice after them must not be hidden by a long list."""


@dataclass(slots=True, kw_only=True)
class Faults:
    """Why weights do not fit: names, and a normalisation that is refused."""

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    tied: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    refusal: CheckpointError | None = None

    def count(self) -> int:
        """Return the number of faults."""
        lists = (self.missing, self.unexpected, self.shapes, self.kinds, self.tied, self.unread)
        return sum(map(len, lists)) + (self.refusal is not None)

    def text(self) -> str:
        """Return the faults as parts of a sentence."""
        groups = (
            ("missing keys", self.missing),
            ("unexpected keys", self.unexpected),
            ("wrong shapes", self.shapes),
            ("wrong kinds of number", self.kinds),
            ("one tensor in the network, two in the file", self.tied),
            ("extra state that is not plain data", self.unread),
        )
        return "; ".join(
            f"{label}: {enumeration(names, most=MOST_NAMED)}" for label, names in groups if names
        )


@dataclass(slots=True, kw_only=True)
class Fit:
    """Weights under a network's names, their source, and their faults."""

    source: WeightSet
    reading: Reading
    state: State
    notes: list[str]
    faults: Faults
    others: dict[str, Any] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    versions: Versions | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The path to the weights, as a key."""
        return (*self.source.steps, *self.reading.prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The weights to load.

    Attributes:
        state: name to tensor, under the network's names.
        notes: what a reader must know about them, one sentence part each.
        others: extra state of modules and other entries that are not tensors, under the network's names.
        versions: module to the version data of its class; None if the file has none.
        key: their place in the file, if other weights of the file would fit too; otherwise empty.
    """

    state: State
    notes: tuple[str, ...]
    others: Mapping[str, Any] = field(default_factory=dict)
    versions: Versions | None = None
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The weights that a network accepts.

    Attributes:
        own: the tensors of its state_dict, without extra state.
        extra: names of the extra state that its modules accept.
        others: names of other entries of its state_dict that are not tensors.
        normalize: (mean, standard deviation) in front of it, None for none.
        layouts: whether other names may be translated into its own.
    """

    own: Mapping[str, Tensor]
    extra: Collection[str] = ()
    others: Collection[str] = ()
    normalize: tuple[Tensor, Tensor] | None
    layouts: bool

    def twins(self) -> dict[str, str]:
        """Map each name to the first name of the same tensor, because tied weights have two names."""
        first: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
        return {
            name: first.setdefault((t.data_ptr(), tuple(t.shape), t.stride()), name)
            if t.numel() and t.device.type != "meta"
            else name
            for name, t in self.own.items()
        }
