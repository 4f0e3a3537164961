"""A network, weights of a file under its names, and what is wrong with them: values of `fitting`."""

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
"""Keys of each kind that a refusal names: what to do comes after them, and must not be lost behind a list."""


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
        """Return how many there are."""
        lists = (self.missing, self.unexpected, self.shapes, self.kinds, self.tied, self.unread)
        return sum(map(len, lists)) + (self.refusal is not None)

    def text(self) -> str:
        """Return them as parts of a sentence."""
        groups = (
            ("missing keys", self.missing),
            ("unexpected keys", self.unexpected),
            ("wrong shapes", self.shapes),
            ("wrong kinds of number", self.kinds),
            ("one tensor in the network, two in the file", self.tied),
            ("extra state that is no plain data", self.unread),
        )
        return "; ".join(
            f"{label}: {enumeration(names, most=MOST_NAMED)}" for label, names in groups if names
        )


@dataclass(slots=True, kw_only=True)
class Fit:
    """Weights under a network's names, where they came from, and what is wrong with them."""

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
        """The way to them, as a key."""
        return (*self.source.steps, *self.reading.prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is loaded.

    Attributes:
        state: name to tensor, under the network's names.
        notes: what a reader must know of it, one sentence part each.
        others: extra state of modules and what else is no tensor, under the network's names.
        versions: module to what its class wrote of its version; None where the file tells none.
        key: where in the file it was, if other weights of the file would have fitted too; else empty.
    """

    state: State
    notes: tuple[str, ...]
    others: Mapping[str, Any] = field(default_factory=dict)
    versions: Versions | None = None
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What a network says of the weights it takes.

    Attributes:
        own: its state_dict, the tensors alone, without extra state.
        extra: names of the extra state that its modules take.
        others: names of what else of its state_dict is no tensor.
        normalize: (mean, standard deviation) in front of it, None for none.
        layouts: whether other names than its own may become its own.
    """

    own: Mapping[str, Tensor]
    extra: Collection[str] = ()
    others: Collection[str] = ()
    normalize: tuple[Tensor, Tensor] | None
    layouts: bool

    def twins(self) -> dict[str, str]:
        """Return the name of each tensor to the first name of the same tensor, as tied weights have two."""
        first: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
        return {
            name: first.setdefault((t.data_ptr(), tuple(t.shape), t.stride()), name)
            if t.numel() and t.device.type != "meta"
            else name
            for name, t in self.own.items()
        }
