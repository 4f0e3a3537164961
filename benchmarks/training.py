"""The training loop against bare PyTorch: what its bookkeeping costs, and what PGD training gains."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.models import defense, images_or_noise, network, training_context
from benchmarks.timing import alternate
from robench.data.images import ImageSet

BATCH = 128
COMMON = {"epochs": 1, "batch_size": BATCH, "validation": 0.0, "keep": "last", "schedule": "constant"}
ATTACK = {"eps": 0.3, "steps": 7, "step_size": 0.1, "warmup_epochs": 0.0}
RATE = 0.01


def report(root: Path | None, count: int, repeats: int) -> list[str]:
    """Time one epoch of natural and of PGD training of Small-CNN, ours and bare, in turn.

    Args:
        root: folder with MNIST; images of its shape are drawn where it is not there.
        count: images in the epoch.
        repeats: counted rounds.
    """
    data = images_or_noise("mnist", "train", count, root, (1, 28, 28))
    net = network("small_cnn", data.shape, 10)
    bare = "bare loop"
    natural = {
        "robench": _ours(net, data, "natural", {}),
        bare: _bare(net, data, attack=None, layout=torch.channels_last),
    }
    in_bfloat16 = ATTACK | {"attack_precision": "bfloat16"}
    rivals = {
        "robench": _ours(net, data, "pgd_training", ATTACK),
        "robench, attack_precision: bfloat16": _ours(net, data, "pgd_training", in_bfloat16),
        bare: _bare(net, data, attack=_pgd, layout=torch.contiguous_format),
    }
    setting = f"Small-CNN, {data.name}, {count} images"
    return [
        *_table(f"Natural training, {setting}, both channels-last", natural, bare, count, repeats),
        *_table(f"PGD training with 7 steps, {setting}", rivals, bare, count, repeats),
    ]


def _ours(net: nn.Module, data: ImageSet, name: str, options: dict[str, Any]) -> Callable[[], object]:
    trainer = defense(name, **{**COMMON, "learning_rate": RATE, **options})
    return lambda: trainer(copy.deepcopy(net), data, context=training_context())


def _bare(
    net: nn.Module,
    data: ImageSet,
    *,
    attack: Callable[[nn.Module, Tensor, Tensor], Tensor] | None,
    layout: torch.memory_format,
) -> Callable[[], object]:
    """Return the loop of a tutorial: shuffle, convert, attack, forward, backward, step."""

    def run() -> None:
        model = copy.deepcopy(net).to(memory_format=layout)
        optimizer = torch.optim.SGD(
            model.parameters(), lr=RATE, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        model.train()
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
        for rows in torch.split(order, BATCH):
            x = (data.images[rows].float() / 255).contiguous(memory_format=layout)
            y = data.labels[rows]
            if attack is not None:
                x = attack(model, x, y)
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return run


def _pgd(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the end of 7 steps of 0.1 in a ball of radius 0.3, from a random start."""
    eps, step = 0.3, 0.1
    net.eval()
    point = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(0, 1)
    for _ in range(7):
        point.requires_grad_(True)
        (slope,) = torch.autograd.grad(F.cross_entropy(net(point), y), point)
        point = point.detach() + step * slope.sign()
        point = torch.min(torch.max(point, x - eps), x + eps).clamp(0, 1)
    net.train()
    return point.detach()


def _table(
    title: str, rivals: dict[str, Callable[[], object]], bare: str, count: int, repeats: int
) -> list[str]:
    timing = alternate(rivals, repeats=repeats)
    rows = [
        f"| {name} | {1e3 * timing.median(name) / count:.3f} | {timing.ratio(name, bare):.3f} |"
        for name in rivals
    ]
    return [f"### {title}", "", "| loop | ms per image | of the bare loop |", "|---|---|---|", *rows, ""]
