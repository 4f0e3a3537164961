"""The card: where it runs, until when, and how large everything is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import models
from robench.model.interface import Model

EPS, STEP = 8 / 255, 2 / 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large everything is.

    Attributes:
        networks: architectures of the zoo.
        side: height and width of the images, of three colours.
        images: images of an attack; those of AutoAttack.
        steps: of PGD; one table each.
        batch: images of a training step.
        repeats: counted rounds.
        cascades: options of our AutoAttack and of the economical one.
    """

    networks: tuple[str, ...]
    side: int
    images: tuple[int, int]
    steps: tuple[int, ...]
    batch: int
    repeats: int
    cascades: tuple[dict[str, Any], dict[str, Any]] = ({}, {})


FULL = Size(
    networks=("resnet18", "preact_resnet18", "wide_resnet34_10"),
    side=32, images=(500, 100), steps=(20, 100), batch=128, repeats=3,
)  # fmt: skip

TOY = Size(
    networks=("resnet20",), side=8, images=(6, 1), steps=(2,), batch=4, repeats=1,
    cascades=(
        {"scale": 0.01},
        {
            "first_steps": 2, "steps": 2, "fab_steps": 2, "near_steps": 2, "near_tries": 1, "rounds": 1,
            "least_queries": 5, "queries": 20, "end_steps": 2, "refine_queries": 5,
        },
    ),
)  # fmt: skip

Call = Callable[[], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Where it runs, and until when.

    Attributes:
        device: of torch.
        size: how large everything is.
        deadline: by `time.monotonic`.
    """

    device: str
    size: Size
    deadline: float

    def waited(self, call: Call) -> Call:
        """Return a call that ends when the device has done what it was told."""

        def run() -> Any:
            value = call()
            if self.device.startswith("cuda"):
                torch.cuda.synchronize()
            return value

        return run

    def model(self, architecture: str) -> Model:
        """Return a network with seeded weights on the device, in evaluation mode."""
        torch.manual_seed(0)
        shape = (3, self.size.side, self.size.side)
        net = models.network(architecture, shape, 10).to(self.device).eval()
        return Model(name=architecture, net=net, classes=10)

    def images(self, model: Model, count: int) -> tuple[Tensor, Tensor]:
        """Return noise (N, 3, H, W) on the device and what the network answers to it (N,)."""
        generator = torch.Generator().manual_seed(1)
        x = torch.rand(count, 3, self.size.side, self.size.side, generator=generator).to(self.device)
        with torch.no_grad():
            return x, model.net(x).argmax(dim=1)
