"""Checks a trained network against its state before: finite weights, as many outputs, any change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from robench.errors import JobError
from robench.model.evaluation import evaluation_mode
from robench.model.tested_network import TestedNetwork
from robench.plurals import counted
from robench.randomness import borrowed_global_randomness
from robench.types import Images


@dataclass(frozen=True, slots=True)
class BeforeTraining:
    """A network before it is trained.

    Attributes:
        digest: SHA-256 of the values of its parameters.
        outputs: how many it has for an image; None if they were not counted.
    """

    digest: bytes
    outputs: int | None = None

    @classmethod
    def of(cls, net: nn.Module, outputs: int | None = None) -> BeforeTraining:
        """Return the present state of a network."""
        return cls(_digest(net), outputs)

    def check(self, net: nn.Module, *, where: str, count: Callable[[], int] | None = None) -> None:
        """Refuse a network that its training has made invalid.

        Args:
            net: the network after its training.
            where: for messages.
            count: counts its outputs; None if they were not counted before.

        Raises:
            JobError: a parameter is NaN or infinite, or the number of outputs has changed.
        """
        parameters = [(name, p) for name, p in net.named_parameters() if not is_lazy(p)]
        wrong = [name for name, p in parameters if not bool(torch.isfinite(p.detach()).all())]
        if wrong:
            raise JobError(
                where=where,
                expected="finite weights",
                got=f"NaN or infinity in {len(wrong)} of {counted(len(parameters), 'parameter')}: {wrong[0]}",
                do="Lower the learning rate, and look at the loss",
            )
        if self.outputs is None or count is None:
            return
        try:
            outputs = count()
        except Exception as error:
            raise JobError(
                where=where,
                expected=f"a network that answers images with {counted(self.outputs, 'output')}, as before",
                got=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
                do="Train the given network in place",
            ) from error
        if outputs != self.outputs:
            raise JobError(
                where=where,
                expected=f"a network with {counted(self.outputs, 'output')}, as before its training",
                got=str(outputs),
                do="Train the given network in place",
            )

    def unchanged(self, net: nn.Module, defense: Any) -> int:
        """Return how many parameters there are if the training changed none, else 0.

        A training of 0 epochs is meant to change none.
        """
        if getattr(defense, "epochs", None) == 0 or _digest(net) != self.digest:
            return 0
        return sum(1 for _ in net.parameters())


def output_count(net: nn.Module, x: Images) -> int:
    """Return how many outputs a network has for an image of x (B, C, H, W); it is left as it was."""
    device = next((tensor.device for tensor in (*net.parameters(), *net.buffers())), torch.device("cpu"))
    with evaluation_mode(net), torch.no_grad(), borrowed_global_randomness(0):
        return int(TestedNetwork(net)(x.to(device)).shape[1])


def _digest(net: nn.Module) -> bytes:
    digest = hashlib.sha256()
    for name, parameter in net.named_parameters():
        digest.update(f"{name} {parameter.dtype}".encode())
        if not is_lazy(parameter):
            values = parameter.detach().to("cpu").contiguous().reshape(-1)
            digest.update(f"{tuple(parameter.shape)}".encode())
            digest.update(values.view(torch.uint8).numpy().tobytes() if len(values) else b"")
    return digest.digest()
