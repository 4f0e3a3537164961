"""The outputs of a network's layers, read by hooks: features for heads that use several layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_zoo.last_layer import evaluating
from model_zoo.network import Network
from robench.errors import ConfigError, InputError, nearest
from robench.model.tested_network import TestedNetwork
from robench.types import Features, Images, Outputs

_PASSIVE = (nn.Identity, nn.Dropout, nn.Flatten)


class LayerFeatures(nn.Module):
    """A network as the outputs of some of its layers, each flattened and of length 1, one after the other.

    On the sphere the order by distance equals the order by cosine, which Papernot & McDaniel 2018
    (arXiv:1803.04765) use. The network is shared and not changed: hooks exist only during a pass.

    Args:
        network: images (B, C, H, W) to outputs (B, K).
        layers: names of its modules, each run once in a pass.
        probe: a few images (B, C, H, W), on the network's device.

    Attributes:
        widths: numbers of features of the layers.

    Raises:
        InputError: a layer does not run, runs more than once, or does not return a tensor with one row per
            image.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], probe: Images) -> None:
        super().__init__()
        self.network, self.layers = network, tuple(layers)
        self._parts = [network.get_submodule(name) for name in layers]
        # Not registered: a copy in place of the network would have other layers.
        self._door = [TestedNetwork(network)]
        self.training = bool(getattr(network, "training", False))  # only the flag
        with evaluating(network), torch.no_grad():
            outputs, _ = _caught(self._door[0], self._parts, probe)
        for name, rows in zip(self.layers, outputs, strict=True):
            if len(rows) != 1 or not isinstance(rows[0], Tensor) or len(rows[0]) != len(probe):
                raise InputError(
                    where=f"layer {name!r}",
                    expected="a part that runs once in a pass and gives one row for each image",
                    got=f"{len(rows)} runs" if len(rows) != 1 else f"{type(rows[0]).__name__}",
                    do="Name another layer",
                )
        self.widths = [rows[0].flatten(1).shape[1] for rows in outputs]

    def both(self, x: Images) -> tuple[Features, Outputs]:
        """Map images (B, C, H, W) to features (B, D) of all layers and to the network's outputs (B, K)."""
        outputs, answer = _caught(self._door[0], self._parts, x)
        rows = [F.normalize(output[0].flatten(1).to(x.dtype), dim=1) for output in outputs]
        return torch.cat(rows, dim=1), answer

    def features(self, x: Images) -> Features:
        """Map images (B, C, H, W) to the features (B, D) of all layers."""
        return self.both(x)[0]

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to the network's own outputs (B, K)."""
        return self.both(x)[1]

    def split(self, z: Features) -> list[Features]:
        """Return the features (B, D) layer by layer."""
        return list(torch.split(z, self.widths, dim=1))


def layer_names(network: nn.Module, layers: Sequence[str], probe: Images) -> list[str]:
    """Return the names of the layers to use: those of the options, or the parts of the backbone that run.

    The default for a zoo network are the direct parts of its backbone, or the backbone if it has no parts,
    and its buffer layer; for a foreign network its direct parts. A part that returns its input or the
    network's output is left out.

    Raises:
        ConfigError: a name is not the name of a module of the network.
        InputError: the network has no such parts.
    """
    modules = dict(network.named_modules())
    for name in layers:
        if name not in modules or not name:
            raise ConfigError(
                where="layers",
                expected=f"the name of a layer of {type(network).__name__}",
                got=repr(name),
                do=nearest(name, [module for module in modules if module]),
            )
    if layers:
        return list(layers)
    names = [name for name, _ in network.named_children()]
    if isinstance(network, Network):
        parts = [f"backbone.{name}" for name, _ in network.backbone.named_children()]
        names = [*(parts or ["backbone"]), "buffer"]
    names = [name for name in names if not isinstance(modules[name], _PASSIVE)]
    with evaluating(network), torch.no_grad():
        outputs, answer = _caught(TestedNetwork(network), [modules[name] for name in names], probe)
    running = [
        name
        for name, rows in zip(names, outputs, strict=True)
        if len(rows) == 1 and isinstance(rows[0], Tensor) and not _same(rows[0], answer)
    ]
    if not running:
        raise InputError(
            where="layers",
            expected="a network with parts that run once in a pass",
            got=type(network).__name__,
            do="Name the layers: `layers: [...]`",
        )
    return running


def _caught(door: TestedNetwork, parts: Sequence[nn.Module], x: Images) -> tuple[list[list[Any]], Outputs]:
    """Return all outputs of each part during one pass, and the network's outputs (B, K)."""
    outputs: list[list[Any]] = [[] for _ in parts]
    handles = [
        part.register_forward_hook(lambda _part, _inputs, output, rows=rows: rows.append(output))
        for part, rows in zip(parts, outputs, strict=True)
    ]
    try:
        answer: Outputs = door(x)
    finally:
        for handle in handles:
            handle.remove()
    return outputs, answer


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)
