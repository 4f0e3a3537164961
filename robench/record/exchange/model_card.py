"""Model cards as data: what is written beside trained weights, and what is read of it. No torch here.

Cards are read from runs of every version and from strangers, so a part of another kind than it must be counts
as missing, and its values may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict, cast

_PARTS = ("architecture", "defense", "data", "held_out")
"""Of a card, what must be a mapping."""


class HeldOut(TypedDict, total=False):
    """The accuracies of an epoch on the held-out part, with the number of images.

    `attack` is that on the held-out part, as far as the options of the training name it.
    """

    images: float | None
    accuracy: float
    robust_accuracy: float
    attack: Mapping[str, object]


class UnchangedCount(TypedDict, total=False):
    """Of a training that changed no parameter: how many there are."""

    unchanged_parameters: int


class ModelCard(UnchangedCount):
    """What is written beside weights; the code that writes them adds the file's name and SHA-256."""

    name: str
    plan: str
    identity: str
    checkpoint: Literal["chosen", "last"]
    epoch: float | None
    epochs: int
    held_out: HeldOut | None
    findings: list[str]
    architecture: Mapping[str, object] | None
    buffer: int | None
    normalize: list[list[float]] | None
    parameters: int
    shape: list[int]
    classes: int
    defense: Mapping[str, object]
    data: Mapping[str, object]
    seed: int
    seconds: float | None
    history: str
    versions: Mapping[str, str]


class StatedAccuracy(TypedDict, total=False):
    """The accuracy that a card states, with the images it was measured on and, where known, their title."""

    accuracy: float
    images: int
    data: str


class WeightRemarks(TypedDict, total=False):
    """What a reader of results must know of weights from a file; what there is not to say is left out.

    `checkpoint_key` is the part of the file they lie in, `checkpoint_notes` what was dropped or filled in.
    """

    checkpoint_key: str
    checkpoint_notes: list[str]
    checkpoint_card: StatedAccuracy
    unchanged_parameters: int


class NamedPart(TypedDict, total=False):
    """What a card says of the architecture or the defense."""

    name: object
    options: dict[str, object]


class DataPart(TypedDict, total=False):
    """What a card says of the images that were trained on."""

    title: object
    images: object
    labelled: object


class HeldOutPart(TypedDict, total=False):
    """What a card says of the held-out images."""

    images: object
    accuracy: object


class StatedCard(TypedDict, total=False):
    """The fields of a card that are read by name; there may be more."""

    name: object
    sha256: object
    parameters: object
    unchanged_parameters: object
    buffer: object
    shape: object
    classes: object
    architecture: NamedPart
    defense: NamedPart
    data: DataPart
    held_out: HeldOutPart


def stated_card(content: object) -> StatedCard:
    """Return what a file says that should be a card, without parts of another kind than they must be."""
    card: dict[str, object] = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        if name not in _PARTS:
            card[name] = value
        elif isinstance(value, dict):
            is_good = isinstance(value.get("options", {}), dict)
            card[name] = value if is_good else {key: value[key] for key in value if key != "options"}
    return cast("StatedCard", card)
