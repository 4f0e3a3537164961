"""From a model's specification to a network and a model: the `zoo` builder. No torch at import."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench import plugins, recipe
from robench.errors import ConfigError
from robench.plan import to_json

if TYPE_CHECKING:
    from torch import nn

    from robench.data import ImageSet
    from robench.model import Model
    from robench.plan import ModelSpec


class ZooBuilder:
    """Makes networks from plugins, torchvision and users' files; see `robench.builder.Builder`.

    A backbone becomes a `Network`, with normalisation, buffer layer and linear branch. A whole classifier
    (torchvision's, a user's) stays the module it is, so its checkpoints keep their keys.
    """

    def network(
        self, spec: ModelSpec, *, shape: tuple[int, int, int], classes: int, seed: int, trust_code: bool
    ) -> nn.Module:
        """Return the network of a specification with fresh weights drawn from `seed`, on the CPU.

        A backbone without parameters that nothing will train gets no linear branch: a random one would only
        mislead.

        Args:
            spec: names the architecture.
            shape: (C, H, W) of the images.
            classes: number of classes K.
            seed: of the weights; the global generators are left as they were.
            trust_code: whether a `path/to/file.py:factory` may be run.

        Raises:
            ConfigError: unknown options, images the network cannot take, a foreign network with a buffer or
                with other than K outputs, or a file of code without `trust_code`.
            PluginError: unknown architecture.
        """
        from model_zoo.network import Network, Normalized
        from robench.randomness import borrowed_global_randomness, seed_from

        _check_statistics(spec, shape[0])
        with borrowed_global_randomness(seed_from("weights", seed)):
            made = _make(spec, shape=shape, classes=classes, trust_code=trust_code)
            if getattr(made, "feature_dim", None) is not None:
                given = spec.train is not None or spec.checkpoint is not None
                linear = given or any(True for _ in made.parameters())
                return Network(
                    made, classes=classes, buffer=spec.buffer, normalize=spec.normalize, linear=linear
                )
        if spec.buffer:
            do = "Remove `buffer`, or write the network as a backbone with `feature_dim`"
            raise ConfigError(
                where=spec.where, expected="a backbone for the buffer", got="a classifier", do=do
            )
        network = Normalized(made, spec.normalize) if spec.normalize else made
        _probe(network, shape=shape, classes=classes, where=spec.where or f"model {spec.name!r}")
        return network

    def load(self, network: nn.Module, path: Path, *, sha256: str | None) -> str:
        """Load weights in place and return the SHA-256 of the file; see `checkpoints.load`.

        Raises:
            CheckpointError: missing, corrupt, other hash, code inside, or keys or shapes that do not match.
        """
        from model_zoo import checkpoints

        return checkpoints.load(_bare(network), path, sha256=sha256)

    def save(self, network: nn.Module, path: Path, *, card: dict[str, Any]) -> str:
        """Write weights, hash and card, and return the SHA-256 of the weights; see `checkpoints.save`.

        Raises:
            StorageError: the disk refused; an older file is intact.
        """
        from model_zoo import checkpoints

        return checkpoints.save(_bare(network), path, card=card)

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
            spec: names the head.
            network: as `network` returned it; it is moved to `device`, and shared, not copied.
            classes: number of classes K.
            training_data: gives the training split; called only by heads that need one.
            seed: for the choice of the template.
            device: where the model shall live.

        Raises:
            InputError: a template misses a class or is too small for m, or the network has no linear layer
                last.
            ConfigError: unknown options of the head, or a gradient source the model does not offer.
            PluginError: unknown head.
        """
        where = spec.head.where or spec.where
        head = recipe.build(
            plugins.find("heads", spec.head.name, where=where), spec.head.options, where=where
        )
        details = {
            "architecture": spec.architecture.name if spec.architecture else None,
            "architecture_options": to_json(spec.architecture.options) if spec.architecture else {},
            "features_of": spec.features_of,
            "buffer": spec.buffer,
            "normalize": to_json(spec.normalize),
        }
        model: Model = head(
            network,
            name=spec.name,
            classes=classes,
            training_data=training_data,
            seed=seed,
            device=device,
            details=details,
            output=spec.output,
        )
        for source in spec.sources or ():
            model.source(source)
        return model


def _make(spec: ModelSpec, *, shape: tuple[int, int, int], classes: int, trust_code: bool) -> nn.Module:
    """Return a backbone or a whole classifier."""
    from model_zoo import foreign

    choice, where = spec.architecture, spec.where
    if choice is None:
        raise ConfigError(where=where, expected=f"an architecture for {spec.name!r}", got="none")
    where = choice.where or where
    if choice.name.startswith(foreign.TORCHVISION):
        name = choice.name.removeprefix(foreign.TORCHVISION)
        return foreign.torchvision_model(name, classes=classes, options=choice.options, where=where)
    if foreign.is_factory(choice.name):
        return foreign.user_model(
            choice.name, classes=classes, options=choice.options, trust_code=trust_code, where=where
        )
    made = recipe.build(plugins.find("models", choice.name, where=where), choice.options, where=where)
    module: nn.Module = made(channels=shape[0], size=shape[1:], classes=classes)
    return module


def _bare(network: nn.Module) -> nn.Module:
    """Return the module whose keys a checkpoint has."""
    from model_zoo.network import Normalized

    return network.module if isinstance(network, Normalized) else network


def _check_statistics(spec: ModelSpec, channels: int) -> None:
    if spec.normalize and len(spec.normalize[0]) != channels:
        expected = f"a mean and a deviation for each of {channels} channels"
        raise ConfigError(where=spec.where, expected=expected, got=f"{len(spec.normalize[0])}")


def _probe(network: nn.Module, *, shape: tuple[int, int, int], classes: int, where: str) -> None:
    """Refuse a foreign network that cannot take these images or names other classes."""
    import torch

    from model_zoo.foreign import blamed
    from model_zoo.modes import evaluating

    with blamed(where), evaluating(network), torch.no_grad():
        outputs = network(torch.zeros(2, *shape))
    if not isinstance(outputs, torch.Tensor) or outputs.shape != (2, classes):
        got = str(tuple(outputs.shape)) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        do = "Let the factory take `classes`"
        raise ConfigError(where=where, expected=f"outputs (B, {classes})", got=got, do=do)
