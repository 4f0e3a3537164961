"""What AutoAttack on ImageNet would take on k GPUs: `python -m benchmarks.imagenet_cost --robust 0.4`.

Passes are fitted to what was measured on small networks. The time of a pass is measured here, on this
processor, or given (`--forwards-per-second`, `--backwards-per-second`, of one GPU). Sizes are those of the
files that a run writes. No GPU was measured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.free_attacks import Shape, record
from robench.record.seal import sealed_text

PIXELS = 3 * 224 * 224
SHARD = 500


@dataclass(frozen=True, slots=True)
class Fitted:
    """Passes on one image, as a straight line in the share of images that stand.

    An image that falls leaves the cascade, one that stands goes through all of it.

    Attributes:
        source: where the two measurements are written down.
        first: share that stands, forwards, backwards.
        second: the same, of another network.
    """

    source: str
    first: tuple[float, float, float]
    second: tuple[float, float, float]

    def at(self, robust: float) -> tuple[float, float]:
        """Return forwards and backwards of an image on average where so large a share stands."""
        share = (robust - self.first[0]) / (self.second[0] - self.first[0])
        forwards, backwards = (
            a + share * (b - a) for a, b in zip(self.first[1:], self.second[1:], strict=True)
        )
        return max(0.0, forwards), max(0.0, backwards)


CASCADES = {
    "AutoAttack": Fitted(
        "docs/attacks.md: digits CNN, and Small-CNN on MNIST", (0.26, 2117.2, 561.8), (0.825, 6507.2, 1593.4)
    ),
    "economical_autoattack": Fitted(
        "docs/attacks.md: digits CNN, and Small-CNN on MNIST", (0.26, 204.0, 38.3), (0.825, 485.3, 195.6)
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What is asked for: models, images, the share of them that stands, GPUs, price of a GPU for an hour."""

    models: int
    images: int
    robust: float
    gpus: int
    price: float

    def hours(self, passes: tuple[float, float], rates: tuple[float, float]) -> float:
        """Return GPU hours: models x images x (forwards / F + backwards / B) / 3600.

        Args:
            passes: forwards and backwards of an image.
            rates: F and B, images that one GPU takes forwards, and backwards, in a second.
        """
        seconds = sum(count / rate for count, rate in zip(passes, rates, strict=True))
        return self.models * self.images * seconds / 3600


class Bottleneck(nn.Module):
    """The residual block of ResNet-50 (He et al. 2016, Fig. 5 right)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        self.skip = (
            nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            if stride > 1 or channels != out
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x) + skip(x))."""
        return torch.relu(self.body(x) + self.skip(x))


def resnet50() -> nn.Module:
    """Return a ResNet-50 with seeded weights; it has 25.6 million parameters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        layers += [nn.MaxPool2d(3, 2, 1)]
        channels = 64
        for stage, (width, blocks) in enumerate(zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True)):
            for block in range(blocks):
                layers.append(Bottleneck(channels, width, 2 if stage and not block else 1))
                channels = 4 * width
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]
        return nn.Sequential(*layers).eval().requires_grad_(False)


def rates_here(batch: int, repeats: int) -> tuple[float, float]:
    """Return how many images a core takes forwards, and backwards to the image, in a second of its time."""
    net, x = resnet50(), torch.rand(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    forwards, backwards = [], []
    for turn in range(repeats + 1):
        own = x.clone().requires_grad_()
        start = time.process_time()
        outputs = net(own)
        between = time.process_time()
        torch.autograd.grad(outputs.square().sum(), own)
        if turn:  # the first one warms up
            forwards.append(between - start)
            backwards.append(time.process_time() - between)
    return batch / statistics.median(forwards), batch / statistics.median(backwards)


def record_size() -> int:
    """Return the bytes of the record of one attack on a shard, as it is written."""
    one = record(Shape(models=1, attacks=1, shards=1, images=SHARD), 0, 1)
    return len(sealed_text(one.to_json())) + 1


def report(study: Study, rates: tuple[float, float], where: str, device: str = "GPU") -> list[str]:
    """Return the table as Markdown lines.

    Args:
        study: what is asked for.
        rates: images that one device takes forwards, and backwards, in a second.
        where: what was measured, in words.
        device: what has these rates.
    """
    shards = -(-study.images // SHARD)
    units, size = study.models * shards * 2, record_size()  # clean images, and the attack
    images = study.models * study.images * PIXELS * 4
    lines = [
        f"{study.models} models, {study.images:,} images of 224 x 224, {100 * study.robust:.0f} % of them "
        f"stand; {where}: F = {rates[0]:.3g} forwards, B = {rates[1]:.3g} backwards a second.",
        "",
        f"| cascade | forwards, backwards an image | {device} hours | "
        f"hours on {study.gpus} {device}s | at {study.price:g} a {device} hour |",
        "|---|---|---|---|---|",
    ]
    for name, cascade in CASCADES.items():
        passes = cascade.at(study.robust)
        hours = study.hours(passes, rates)
        lines.append(
            f"| {name} | {passes[0]:,.0f}, {passes[1]:,.0f} | {hours:,.0f} | {hours / study.gpus:,.0f} | "
            f"{hours * study.price:,.0f} |"
        )
    return [
        *lines,
        "",
        f"{units:,} units. On disk: records {units * size / 2**20:,.0f} MiB ({size / 1024:.1f} KiB each), "
        f"adversarial images {images / 2**40:.1f} TiB (float32, {PIXELS * 4 / 1024:.0f} KiB each), clean "
        f"images {study.images * PIXELS / 2**30:.0f} GiB. All of it is written once, over the network to a "
        f"shared disk, {images / study.models / shards / 2**20:.0f} MiB a job; a board reads records alone.",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imagenet_cost", description=__doc__)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--robust", type=float, default=0.4, help="share of the images that stand")
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--price", type=float, default=1.0, help="of one GPU for an hour, in any currency")
    parser.add_argument("--forwards-per-second", type=float, help="of one GPU; measured here if absent")
    parser.add_argument("--backwards-per-second", type=float, help="of one GPU, to the image")
    parser.add_argument("--batch", type=int, default=8, help="of the measurement")
    parser.add_argument("--repeats", type=int, default=5, help="of the measurement")
    arguments = parser.parse_args()
    rates = (arguments.forwards_per_second, arguments.backwards_per_second)
    if (rates[0] is None) != (rates[1] is None):
        parser.error("give both --forwards-per-second and --backwards-per-second, or neither")
    if not 0 <= arguments.robust <= 1:
        parser.error("--robust is a share, from 0 to 1")
    names = ("models", "images", "gpus", "batch", "repeats")
    if any(getattr(arguments, name) < 1 for name in names) or any(
        rate is not None and rate <= 0 for rate in rates
    ):
        parser.error(f"{', '.join(names)} and rates are positive")
    study = Study(
        models=arguments.models,
        images=arguments.images,
        robust=arguments.robust,
        gpus=arguments.gpus,
        price=arguments.price,
    )
    where, device = "a GPU as given on the command line", "GPU"
    if rates[0] is None:
        where, device = "a core of this processor, as measured, and no GPU", "core"
        rates = rates_here(arguments.batch, arguments.repeats)
    print("\n".join(report(study, rates, where, device)))


if __name__ == "__main__":
    main()
