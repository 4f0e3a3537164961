"""What turns a model specification into a Model: the contract of the `robench.builders` plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict

if TYPE_CHECKING:
    from torch import nn

    from robench.data.images import ImageSet
    from robench.model.interface import Model
    from robench.plan.spec import ModelSpec
    from robench.record.model_card import WeightRemarks


class Statistics(TypedDict):
    """What a normalisation subtracts and divides by, a number for each channel."""

    mean: list[float]
    std: list[float]


class NormalizeEntry(TypedDict, total=False):
    """The key of a configuration for the model's first layer; empty where it has none."""

    normalize: Statistics


class PublishedEntry(NormalizeEntry):
    """What a configuration says of a network with published weights."""

    architecture: str
    checkpoint: str


class Builder(Protocol):
    """Makes networks, keeps their weights, and puts heads on them."""

    def network(
        self, spec: ModelSpec, *, shape: tuple[int, int, int], classes: int, seed: int, trust_code: bool
    ) -> nn.Module:
        """Return the network of a specification with fresh weights drawn from `seed`, on the CPU.

        Its forward takes images (B, C, H, W) in [0, 1] to logits (B, classes), or, for a foreign network, to
        whatever the specification's `output` says.

        Raises:
            ConfigError: unknown architecture or options, or a file of code without `trust_code`.
        """
        ...

    def code(self, spec: ModelSpec) -> dict[str, str]:
        """Return what identifies the code behind a specification, where it is not ours; else nothing.

        Results and trained weights are used again only where it is the same.
        """
        ...

    def published(self, name: str, *, root: Path | None, download: bool, where: str) -> PublishedEntry:
        """Return what a configuration says of a network by name with published weights.

        Args:
            name: such as `torchvision:resnet18`.
            root: folder of data sets and checkpoints, None for none.
            download: whether the network may be used.
            where: for messages.

        Raises:
            ConfigError: no such network, or its weights are not here; says how to get them.
        """
        ...

    def load(
        self,
        network: nn.Module,
        path: Path,
        *,
        sha256: str | None,
        key: str | None = None,
        remarks: Callable[[WeightRemarks], None] | None = None,
    ) -> str:
        """Load weights in place and return the SHA-256 of the file.

        Args:
            network: takes the weights.
            path: the file.
            sha256: what it must hash to, if known.
            key: the part of the file to look in, None for all of it.
            remarks: is told, as plain data, what a reader of the results must know of the weights.

        Raises:
            CheckpointError: missing, corrupt, other hash, code inside, or keys or shapes that do not match.
        """
        ...

    def save(self, network: nn.Module, path: Path, *, card: Mapping[str, object]) -> str:
        """Write weights (safetensors, atomically) and return the SHA-256 of the file.

        Raises:
            StorageError: the disk refused; an older file is intact.
        """
        ...

    def model(
        self,
        spec: ModelSpec,
        network: nn.Module,
        *,
        classes: int,
        training_data: Callable[[], ImageSet],
        seed: int,
        device: str,
    ) -> Model:
        """Put the specification's head on a trained network.

        Args:
            spec: the specification; its head may need a template.
            network: as `network` returned it, trained; it may be shared by several models.
            classes: number of classes.
            training_data: gives the training split, for the template; called only by heads that need one.
            seed: for the choice of the template.
            device: where the model shall live.

        Raises:
            InputError: a template misses a class or is too small for m; no linear layer comes last.
        """
        ...
