"""From a model's specification to a network and a model: the `zoo` builder. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from robench import plugins, recipe
from robench.errors import ConfigError
from robench.plan.spec import PRECISIONS, to_json

if TYPE_CHECKING:
    from torch import nn

    from robench.data.images import ImageSet
    from robench.model.builder import PublishedEntry
    from robench.model.interface import Model
    from robench.plan.spec import ModelSpec
    from robench.record.exchange.model_card import WeightRemarks


class ZooBuilder:
    """Makes networks from plugins, torchvision and users' files; see `robench.model.Builder`.

    A backbone becomes a `Network`, with normalisation, buffer layer and linear branch. A whole classifier
    (torchvision's, a user's) is not changed, so its checkpoints keep their keys. For a foreign network with a
    `feature_dim` the width of its output decides which it is; see `architecture_lookup.is_backbone`.
    """

    def network(
        self, spec: ModelSpec, *, shape: tuple[int, int, int], classes: int, seed: int, trust_code: bool
    ) -> nn.Module:
        """Return the network of a specification with fresh weights drawn from `seed`, on the CPU.

        A backbone without parameters that will not be trained gets no linear branch: a random one would be
        misleading.

        Args:
            spec: names the architecture.
            shape: (C, H, W) of the images.
            classes: number of classes K.
            seed: seed of the weights; the global generators are not changed.
            trust_code: whether a `path/to/file.py:factory` may be run.

        Raises:
            ConfigError: unknown options, images the network does not accept, a foreign network with a buffer
                or without K outputs or `feature_dim` features, or a file of code without `trust_code`.
            PluginError: unknown architecture.
        """
        from model_zoo import architecture_lookup as lookup
        from model_zoo.network import Network, Normalized
        from robench.randomness import borrowed_global_randomness, seed_from

        classes = spec.outputs or classes
        statistics = lookup.statistics(spec)
        lookup.check_statistics(statistics, shape[0], where=spec.where)
        with borrowed_global_randomness(seed_from("weights", seed)):
            module = lookup.make(spec, shape=shape, classes=classes, trust_code=trust_code)
            if lookup.is_backbone(module, spec, shape=shape, classes=classes):
                has_weights = spec.train is not None or spec.checkpoint is not None
                linear = has_weights or any(True for _ in module.parameters())
                return Network(
                    module, classes=classes, buffer=spec.buffer, normalize=statistics, linear=linear
                )
        if spec.buffer:
            do = "Remove `buffer`, or write the network as a backbone with `feature_dim`"
            raise ConfigError(
                where=spec.where, expected="a backbone for the buffer", got="a classifier", do=do
            )
        network = Normalized(module, statistics) if statistics else module
        lookup.probe(network, shape=shape, classes=classes, where=spec.where or f"model {spec.name!r}")
        return network

    def code(self, spec: ModelSpec) -> dict[str, str]:
        """Return what identifies the code behind a specification, if it is not ours; see `making`."""
        from model_zoo import architecture_lookup as lookup

        return lookup.code_facts(spec)

    def published(self, name: str, *, root: Path | None, download: bool, where: str) -> PublishedEntry:
        """Return the configuration of a network with published weights; see `published_weights`.

        Raises:
            ConfigError: no such network, or its weights are not on this machine; says how to get them.
        """
        from model_zoo.published_weights import published

        return published(name, root=root, download=download, where=where)

    def load(
        self,
        network: nn.Module,
        path: Path,
        *,
        sha256: str | None,
        key: str | None = None,
        remarks: Callable[[WeightRemarks], None] | None = None,
    ) -> str:
        """Load weights in place and return the SHA-256 of the file; see `checkpoints.loading`.

        Raises:
            CheckpointError: missing, corrupt, other hash, code inside, or keys or shapes that do not match.
        """
        from model_zoo.checkpoints.loading import load

        return load(network, path, sha256=sha256, key=key, remarks=remarks)

    def save(self, network: nn.Module, path: Path, *, card: Mapping[str, object]) -> str:
        """Write weights, hash and card, and return the SHA-256 of the weights; see `checkpoints.saving`.

        Raises:
            StorageError: writing to disk failed; an older file is intact.
        """
        from model_zoo.checkpoints.saving import save

        return save(_bare(network), path, card=card)

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
        from model_zoo import architecture_lookup as lookup
        from robench.model.tested_network import TestedNetwork, networks_under_test

        where = spec.head.where or spec.where
        if spec.class_map is not None:
            _check_map(spec, classes)
            network = TestedNetwork(network, class_map=spec.class_map, kind=spec.output)
        head = recipe.build(
            plugins.find("heads", spec.head.name, where=where), spec.head.options, where=where
        )
        details = {
            "architecture": spec.architecture.name if spec.architecture else None,
            "architecture_options": to_json(spec.architecture.options) if spec.architecture else {},
            "features_of": spec.features_of,
            "buffer": spec.buffer,
            "normalize": to_json(lookup.statistics(spec)),
            **({"class_map": list(spec.class_map)} if spec.class_map is not None else {}),
            **({"precision": spec.precision} if spec.precision != PRECISIONS[0] else {}),
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
        for part in networks_under_test(model.net):
            part.precision = spec.precision
        for source in spec.sources or ():
            model.source(source)
        return model


def _check_map(spec: ModelSpec, classes: int) -> None:
    """Refuse a class map that does not name one output of the network for each class of the data."""
    outputs = spec.class_map or ()
    if len(outputs) != classes or len(set(outputs)) != len(outputs):
        raise ConfigError(
            where=spec.where or f"model {spec.name!r}",
            expected=f"a class_map of {classes} different outputs, one for each class of the data",
            got=f"{len(outputs)}, {len(set(outputs))} of them different",
        )
    if spec.outputs is not None and max(outputs) >= spec.outputs:
        raise ConfigError(
            where=spec.where or f"model {spec.name!r}",
            expected=f"a class_map with numbers from 0 to {spec.outputs - 1}",
            got=str(max(outputs)),
        )


def _bare(network: nn.Module) -> nn.Module:
    """Return the module whose keys a checkpoint has."""
    from model_zoo.network import Normalized

    return network.module if isinstance(network, Normalized) else network
