"""Protocol of the plugin in `robench.builders`, which turns a model specification into a Model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict

if TYPE_CHECKING:
    from torch import nn

    from robench.data.images import ImageSet
    from robench.model.interface import Model
    from robench.plan.spec import ModelSpec
    from robench.record.exchange.model_card import WeightRemarks


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
    """Makes networks, saves and loads their weights, and puts heads on them."""

    def network(
        self, spec: ModelSpec, *, shape: tuple[int, int, int], classes: int, seed: int, trust_code: bool
    ) -> nn.Module:
        """Return the network of a specification with fresh weights drawn from `seed`, on the CPU.

        Its forward maps images (B, C, H, W) in [0, 1] to logits (B, classes), or, for a foreign network, to
        outputs of the kind in the specification's `output`.

        Raises:
            ConfigError: unknown architecture or options, or a file of code without `trust_code`.
        """
        ...

    def code(self, spec: ModelSpec) -> dict[str, str]:
        """Return an identity of the code of a specification if it is not ours; otherwise an empty mapping.

        Results and trained weights are used again only if it is the same.
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
            ConfigError: no such network, or its weights are not available; says how to get them.
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
            network: gets the weights.
            path: the file.
            sha256: its required hash, if known.
            key: the part of the file to use, None for the whole file.
            remarks: called with plain data about the weights that a reader of the results must know.

        Raises:
            CheckpointError: missing, corrupt, wrong hash, code inside, or keys or shapes that do not match.
        """
        ...

    def save(self, network: nn.Module, path: Path, *, card: Mapping[str, object]) -> str:
        """Write weights (safetensors, atomically) and return the SHA-256 of the file.

        Raises:
            StorageError: writing to disk failed; an older file is intact.
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
            training_data: returns the training split, for the template; called only by heads that need one.
            seed: for the choice of the template.
            device: device of the model.

        Raises:
            InputError: a template misses a class or is too small for m; the last layer is not linear.
        """
        ...
