"""What decides the weights of a training: two that are equal in it share a folder. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robench.plan.spec import SCHEMA, Choice, DataSpec, content_hash, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingIdentity:
    """Everything that can change the trained weights of a model.

    Attributes:
        architecture: of the network.
        buffer: width of its buffer layer, None for none.
        normalize: per-channel (mean, std) of its first layer, None for none.
        defense: what trains, by name; a user's file without its folders.
        options: those of the defense that tell it from others, as plain JSON data.
        data: what it is trained on.
        shape: (C, H, W) of the images.
        classes: number of classes.
        seed: the only source of chance.
        code: what identifies code that is not ours, by name; empty where all of it is.
    """

    architecture: Choice | None
    buffer: int | None
    normalize: tuple[tuple[float, ...], tuple[float, ...]] | None
    defense: str
    options: Mapping[str, object]
    data: DataSpec
    shape: tuple[int, int, int]
    classes: int
    seed: int
    code: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        """Return it as plain JSON data, as the folder of the training and its running state hold it."""
        return {
            "schema": SCHEMA,
            "architecture": to_json(self.architecture),
            "buffer": self.buffer,
            "normalize": to_json(self.normalize),
            "defense": self.defense,
            "options": dict(self.options),
            "data": to_json(self.data),
            "shape": list(self.shape),
            "classes": self.classes,
            "seed": self.seed,
            **self.code,
        }

    def digest(self) -> str:
        """Return its hash, of which the folder's name has the beginning."""
        return content_hash(self.to_json())
