"""Any network as features and a last linear layer, without taking it apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from model_zoo.modes import evaluating
from model_zoo.network import Network
from robench.errors import InputError
from robench.global_state import kept_torch_state
from robench.types import Images, Outputs


class SplitNetwork(nn.Module):
    """A whole network and the linear layer inside it that makes its logits.

    The network stays as it is: features are what its last linear layer is given, caught on the way.

    Args:
        module: images to logits.
        last: the layer of `module` that makes the logits.
    """

    def __init__(self, module: nn.Module, last: nn.Linear) -> None:
        super().__init__()
        self.module = module
        # Kept out of the registry of submodules: its weights are listed once, under `module`.
        self._last = [last]
        self.training = module.training  # only the flag

    @property
    def linear(self) -> nn.Linear:
        """Features (B, D) to logits (B, K)."""
        return self._last[0]

    def features(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) in [0, 1] to the features (B, D) under the last linear layer."""
        caught: list[Tensor] = []
        handle = self.linear.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
        try:
            self.module(x)
        finally:
            handle.remove()
        return caught[-1]

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to the network's own logits (B, K)."""
        return cast("Outputs", self.module(x))


def split_last_linear(module: nn.Module, probe: Images) -> SplitNetwork:
    """See a network as features and the linear layer that makes its logits.

    The layer is the last `nn.Linear` to run on the probe; that its output is the network's is checked on
    the probe, not assumed. The module, its mode and its state_dict keys are left alone; load a checkpoint
    into it before or after.

    Args:
        module: images (B, C, H, W) to logits (B, K), from torchvision or the user.
        probe: a few images (B, C, H, W) in [0, 1], on the module's device.

    Raises:
        InputError: the network runs no `nn.Linear`, or its output is not that of the last one.
    """
    last: list[nn.Linear] = []

    def note(layer: nn.Module, _inputs: Any, _output: Any) -> None:
        last.append(cast("nn.Linear", layer))

    linears = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    handles = [layer.register_forward_hook(note) for layer in linears]
    with evaluating(module), torch.no_grad():
        try:
            outputs = module(probe.clone())  # a network may write into what it is given
        finally:
            for handle in handles:
                handle.remove()
        if not last:
            raise _refusal("a network without any nn.Linear")
        if not isinstance(outputs, Tensor) or outputs.ndim != 2:
            shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise _refusal(f"outputs of shape {shape}, not (B, K)")
        split = SplitNetwork(module, last[-1])
        z = split.features(probe.clone())
        if z.ndim != 2 or len(z) != len(probe):
            raise _refusal(f"features of shape {tuple(z.shape)} under the last linear layer, not (B, D)")
        logits = split.linear(z)
        if logits.shape != outputs.shape or not torch.allclose(logits, outputs, rtol=1e-4, atol=1e-5):
            name = next(name for name, layer in module.named_modules() if layer is last[-1])
            raise _refusal(f"something after the last linear layer {name!r}, such as a softmax or a scaling")
    return split


Branched: TypeAlias = Network | SplitNetwork
"""A network with `features` and a `linear` branch (None where there is no trained one)."""


def branched(network: nn.Module, probe: Images) -> Branched:
    """Return a network with features and a linear branch: itself if it is one, else its split.

    Raises:
        InputError: a foreign network that cannot be split; see `split_last_linear`.
    """
    return network if isinstance(network, Network | SplitNetwork) else split_last_linear(network, probe)


def penultimate(network: nn.Module) -> Callable[[Images], Outputs]:
    """Return a function from images (B, C, H, W) to the features (B, D) under the last linear layer.

    A foreign network is split when it is asked, on the images it is asked about, and not changed; for one
    that cannot be, the function raises InputError; see `split_last_linear`.
    """

    def features(x: Images) -> Outputs:
        with kept_torch_state():
            return branched(network, x[:3]).features(x.clone())

    return features


def _refusal(got: str) -> InputError:
    return InputError(
        where="head on a foreign network",
        expected="a network whose last nn.Linear makes its logits",
        got=got,
        do="Return the logits of an nn.Linear, or write the network as a backbone with `feature_dim`",
    )
