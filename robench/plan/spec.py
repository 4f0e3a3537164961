"""Plans as frozen plain data: the validated form of a configuration. No torch here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = 1
"""Version of plan and record; part of every key, so results of another version are never mixed in."""

WEIGHTS, TEMPLATE, RANDOMNESS = KNOWLEDGE = ("weights", "template", "randomness")
"""What an attacker may know beside the answers of the model: its weights and settings, the training images
that a graph head remembers, and the noise that a random model classifies with."""

KNOWN = (WEIGHTS, TEMPLATE)
"""The default knowledge of an attacker."""

DRAWS = 10
"""Default number of times that the judge lets a random model classify each image."""

LATER = {"later": True}
"""Metadata of a field that older versions do not have: at its default it is left out of keys and plans, so
that older keys and plans stay valid."""


PRECISIONS = ("float32", "as_set")
"""How float32 is computed: exactly, or by PyTorch's flags, which may mean TF32 or bfloat16 in products."""


LIBRARIES = ("torchvision", "timm", "robustbench", "hf")
"""Prefixes before the colon of an architecture's name: the library of the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A plugin chosen by name, with options; `where` is file and line for messages."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """Which images: a data set plugin, a split and how many of it.

    Attributes:
        dataset: the data set plugin.
        split: `train` or `test`.
        limit: how many images, None for all.
        subset: `first` takes the first `limit`, `balanced` a seeded class-balanced choice.
        labelled: how many of them keep their labels, None for all; chosen by the rule of `subset`.
        indices: positions in the split, in this order, None for all; `limit` and `subset` choose among them.
        at_most: instead of a limit, so many images, or all if there are fewer.
    """

    dataset: Choice
    split: str = "test"
    limit: int | None = None
    subset: str = "first"
    labelled: int | None = field(default=None, metadata=LATER)
    indices: tuple[int, ...] | None = field(default=None, metadata=LATER)
    at_most: int | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """How a network is trained: a defense and the data it may see."""

    defense: Choice
    data: DataSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One row of the leaderboard.

    Attributes:
        name: its name.
        architecture: a model plugin, a library's network (`LIBRARIES`) such as `torchvision:NAME`, or
            `path/to/file.py:factory`; None with features_of.
        buffer: width of the buffer layer (paper Fig. 2) between features and branches; None for no buffer.
        normalize: per-channel (mean, std) subtracted and divided inside the model, None for none.
        checkpoint: file with weights, safetensors or a plain state_dict; `$DATA_ROOT/...` lies in the folder
            of data sets (`robench.plan.data_root`).
        sha256: required hash of the checkpoint file, if known.
        key: the part of the checkpoint file with the weights, None for the whole file.
        features_of: name of another model whose trained network this one shares.
        head: the head plugin.
        train: how to train it; None if it comes from a checkpoint or another model.
        output: what a foreign network's output is (`logits`, `log_probabilities`, `simplex`).
        sources: gradient sources to attack through; None for all that the model offers.
        inference: defenses in front of the trained model, the one closest to the image first.
        outputs: number of the network's outputs, if it differs from the number of the data's classes.
        class_map: for each class of the data the number of its output.
        precision: how float32 is computed, one of `PRECISIONS`.
    """

    name: str
    architecture: Choice | None = None
    buffer: int | None = None
    normalize: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    checkpoint: Path | None = None
    sha256: str | None = None
    key: str | None = field(default=None, metadata=LATER)
    features_of: str | None = None
    head: Choice = field(default_factory=lambda: Choice(name="linear"))
    train: TrainSpec | None = None
    output: str = "logits"
    sources: tuple[str, ...] | None = None
    inference: tuple[Choice, ...] = field(default=(), metadata=LATER)
    outputs: int | None = field(default=None, metadata=LATER)
    class_map: tuple[int, ...] | None = field(default=None, metadata=LATER)
    precision: str = field(default=PRECISIONS[0], metadata=LATER)
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackSpec:
    """One attack column: its label and the plugin with options."""

    label: str
    attack: Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundSpec:
    """One bounding method, on some models of a board.

    Attributes:
        label: its name in tables.
        bound: one of `robench.plan.bounds.METHODS`, with its options.
        models: names of the models it bounds; empty for all.
    """

    label: str
    bound: Choice
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreatSpec:
    """One board: a norm, a radius and the attacks under them.

    Attributes:
        norm: `Linf` or `L2`.
        eps: radius; `inf` for the smallest perturbation.
        eps_text: the radius as the user wrote it, such as `8/255`.
        goal: `untargeted` or `targeted` (target: the class after the true one).
        attacks: the columns.
        knowledge: what the attacker knows, some of KNOWLEDGE.
        budget: most passes, forwards and backwards together, on one image; None for no limit.
        bounds: ways to certify images, on top of attacks or alone.
    """

    norm: str
    eps: float
    eps_text: str
    goal: str = "untargeted"
    attacks: tuple[AttackSpec, ...] = ()
    knowledge: tuple[str, ...] = field(default=KNOWN, metadata=LATER)
    budget: int | None = field(default=None, metadata=LATER)
    bounds: tuple[BoundSpec, ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a run does. Two equal plans give equal results.

    Attributes:
        name: name of the run, a plain file name.
        seed: seed of all random numbers.
        data: the images to evaluate on.
        models: the rows.
        threats: the boards.
        transfer: judge every crafted image on every model, not only on its source.
        shard: most images per work unit, and per batch of a joint graph.
        batch_size: most images per forward pass of an independent model.
        draws: how often the judge lets a random model classify each image, at least 2.
    """

    name: str
    seed: int = 0
    data: DataSpec
    models: tuple[ModelSpec, ...]
    threats: tuple[ThreatSpec, ...] = ()
    transfer: bool = True
    shard: int = 500
    batch_size: int = 250
    draws: int = field(default=DRAWS, metadata=LATER)


def to_json(value: Any) -> Any:
    """Return plain JSON data for a plan or any part of it; locations are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: to_json(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if f.name != "where" and not (f.metadata.get("later") and getattr(value, f.name) == f.default)
        }
    if isinstance(value, tuple | list):
        return [to_json(v) for v in value]
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and value == float("inf"):
        return "inf"
    return value


def canonical(value: Any) -> str:
    """Return canonical JSON text: sorted keys, no spaces, no NaN."""
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(value: Any) -> str:
    """Return the first 32 hex digits of the SHA-256 of the canonical JSON text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:32]
