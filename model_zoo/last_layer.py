"""Any network as features and a last linear layer, without taking it apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from model_zoo.network import Network
from robench.errors import InputError
from robench.model.evaluation import switch_to_evaluation
from robench.model.tested_network import TestedNetwork
from robench.types import Features, Images, Outputs, Values


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and restore the mode of each of its parts afterwards.

    Each part has its own flag, because a user may have frozen only some batch-norm layers.
    """
    modes = [(part, part.training) for part in module.modules() if hasattr(part, "training")]
    switch_to_evaluation(module)
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


class SplitNetwork(nn.Module):
    """A whole network and the linear layer inside it that makes its logits.

    The network is not changed: a hook reads the input of its last linear layer, which are the features.

    Args:
        module: images to logits.
        last: the layer of `module` that makes the logits.
    """

    def __init__(self, module: nn.Module, last: nn.Linear) -> None:
        super().__init__()
        self.module = module
        # Not registered as a submodule: its weights are listed once, under `module`.
        self._last = [last]
        self._door = [TestedNetwork(module)]
        self.training = bool(getattr(module, "training", False))  # only the flag

    @property
    def last(self) -> nn.Linear:
        """The layer of the network that makes the logits."""
        return self._last[0]

    @property
    def linear(self) -> nn.Module:
        """Features (B, D) to logits (B, K), of the type of the features."""
        last = self._last[0]
        return last if last.weight.dtype is torch.float32 else _InItsOwnType(last)

    def features(self, x: Values) -> Outputs:
        """Map images (B, C, H, W) in [0, 1] to the features (B, D) under the last linear layer."""
        inputs_seen: list[Tensor] = []
        handle = self._last[0].register_forward_pre_hook(lambda _, inputs: inputs_seen.append(inputs[0]))
        try:
            self._door[0](x)
        finally:
            handle.remove()
        return inputs_seen[-1].to(x.dtype)

    def forward(self, x: Values) -> Outputs:
        """Map images (B, C, H, W) to the network's own logits (B, K)."""
        return cast("Outputs", self._door[0](x))


class _InItsOwnType(nn.Module):
    """A linear layer of another floating type, with inputs and outputs of the caller's type."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, z: Features) -> Outputs:
        return cast("Outputs", self.layer(z.to(self.layer.weight.dtype)).to(z.dtype))


def split_last_linear(module: nn.Module, probe: Values) -> SplitNetwork:
    """Split a network into features and the linear layer that makes its logits.

    The layer is the last `nn.Linear` to run on the probe; a check on the probe ensures that its output is the
    network's output. The module, its mode and its state_dict keys are not changed; load a checkpoint into it
    before or after.

    Args:
        module: images (B, C, H, W) to logits (B, K), from torchvision or the user.
        probe: a few images (B, C, H, W) in [0, 1], on the module's device.

    Raises:
        InputError: the network does not run an `nn.Linear`, or its output is not that of the last one.
    """
    last: list[nn.Linear] = []

    def note(layer: nn.Module, _inputs: Any, _output: Any) -> None:
        last.append(cast("nn.Linear", layer))

    linears = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    handles = [layer.register_forward_hook(note) for layer in linears]
    with evaluating(module), torch.no_grad():
        try:
            outputs = TestedNetwork(module)(probe)
        except InputError as error:
            raise _refusal(f"outputs of shape {error.got}, not (B, K)") from None
        finally:
            for handle in handles:
                handle.remove()
        if not last:
            raise _refusal("a network without any nn.Linear")
        split = SplitNetwork(module, last[-1])
        z = split.features(probe)
        if z.ndim != 2 or len(z) != len(probe):
            raise _refusal(f"features of shape {tuple(z.shape)} under the last linear layer, not (B, D)")
        logits = split.linear(z)
        # Features rounded to float32 and back equal those of a float64 layer only up to rounding.
        if logits.shape != outputs.shape or not torch.allclose(logits, outputs, rtol=1e-4, atol=1e-5):
            name = next(name for name, layer in module.named_modules() if layer is last[-1])
            raise _refusal(f"something after the last linear layer {name!r}, such as a softmax or a scaling")
    return split


Branched: TypeAlias = Network | SplitNetwork
"""A network with `features` and a `linear` branch (None if there is no trained branch)."""


def branched(network: nn.Module, probe: Values) -> Branched:
    """Return a network with features and a linear branch: itself if it is one, else its split.

    Raises:
        InputError: a foreign network that cannot be split; see `split_last_linear`.
    """
    return network if isinstance(network, Network | SplitNetwork) else split_last_linear(network, probe)


def penultimate(network: nn.Module) -> Callable[[Images], Outputs]:
    """Return a function from images (B, C, H, W) to the features (B, D) under the last linear layer.

    A foreign network is split at each call, on the images of the call, and not changed; if that is not
    possible, the function raises InputError; see `split_last_linear`.
    """
    return lambda x: TestedNetwork(branched(network, x[:3])).features(x)


def _refusal(got: str) -> InputError:
    return InputError(
        where="head on a foreign network",
        expected="a network whose last nn.Linear makes its logits",
        got=got,
        do="End the network with an nn.Linear from its features to the classes: an untrained one will do",
    )
