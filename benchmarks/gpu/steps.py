"""Single steps: of training beside a bare loop, and of a gradient beside what the card can do."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import models
from benchmarks.gpu.card import EPS, FULL, STEP, Call, Card
from benchmarks.timing import alternate


def training(card: Card, architecture: str) -> list[str]:
    """Time PGD training (7 steps) of ours against a bare loop, as seconds of one step of a batch."""
    from robench.data.images import image_set

    steps = 4
    size = card.size
    pixels = torch.randint(
        0, 256, (steps * size.batch, 3, size.side, size.side), dtype=torch.uint8,
        generator=torch.Generator().manual_seed(2),
    )  # fmt: skip
    data = image_set(pixels, torch.arange(len(pixels)) % 10, name="noise", split="train", classes=10)
    net = card.model(architecture).net
    common = {
        "epochs": 1, "batch_size": size.batch, "validation": 0.0, "keep": "last", "schedule": "constant",
        "eps": EPS, "steps": 7, "step_size": STEP, "warmup_epochs": 0.0, "learning_rate": 0.01,
    }  # fmt: skip
    context = models.training_context(card.device)

    def ours(**options: Any) -> Call:
        trainer = models.defense("pgd_training", **common, **options)
        return lambda: trainer(copy.deepcopy(net), data, context=context)

    def bare() -> None:
        model = copy.deepcopy(net).train()
        optimizer = torch.optim.SGD(
            model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        for rows in torch.split(torch.arange(len(pixels)), size.batch):
            x = (pixels[rows].float() / 255).to(card.device)
            y = data.labels[rows].to(card.device)
            model.eval()
            point = (x + torch.empty_like(x).uniform_(-EPS, EPS)).clamp(0, 1)
            for _ in range(7):
                point.requires_grad_(True)
                (slope,) = torch.autograd.grad(F.cross_entropy(model(point), y), point)
                point = point.detach() + STEP * slope.sign()
                point = torch.min(torch.max(point, x - EPS), x + EPS).clamp(0, 1)
            model.train()
            optimizer.zero_grad()
            F.cross_entropy(model(point.detach()), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    rivals: dict[str, Call] = {
        "robench": ours(), "robench, attack_precision: bfloat16": ours(attack_precision="bfloat16"),
        "bare loop": bare,
    }  # fmt: skip
    timing = alternate({n: card.waited(c) for n, c in rivals.items()}, repeats=size.repeats)
    rows = [
        f"| {name} | {1e3 * timing.median(name) / steps:.1f} | {timing.ratio(name):.2f} |" for name in rivals
    ]
    title = f"### PGD training, 7 steps, {architecture}, batches of {size.batch}"
    return [title, "", "| loop | ms a step | its time / ours |", "|---|---|---|", *rows, ""]


def limit(card: Card, architecture: str) -> list[str]:
    """Compare operations a second of one gradient step with those of the fastest product of matrices."""
    from torch.utils.flop_counter import FlopCounterMode

    model = card.model(architecture)
    x, y = card.images(model, card.size.images[0])

    def step() -> Tensor:
        point = x.clone().requires_grad_(True)
        # The counter of operations cannot watch a network whose input is a leaf.
        return torch.autograd.grad(F.cross_entropy(model.net(point + 0), y), point)[0]

    for weight in model.net.parameters():
        weight.requires_grad_(False)
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    side = 4096 if card.size is FULL else 256
    one, right = (torch.rand(side, side, device=card.device) for _ in range(2))
    rivals: dict[str, Call] = {"step": step, "product": lambda: one @ right}
    timing = alternate(
        {n: card.waited(c) for n, c in rivals.items()}, repeats=5 * card.size.repeats, warmup=3
    )
    rate = counter.get_total_flops() / timing.median("step")
    most = 2 * side**3 / timing.median("product")
    return [
        f"- One gradient of {architecture} on {len(x)} images: {rate / 1e12:.2f} TFLOP/s in float32, "
        f"{100 * rate / most:.0f} % of a product of two {side} x {side} matrices ({most / 1e12:.2f})."
    ]
