"""`python -m benchmarks.close_calls --data-root DIR [--images N]`: on what should saved passes be spent?

The economical AutoAttack aims more passes at images whose nearest boundary, linearised at the worst point, is
within 1.05 radii. Here its first stages run on the public TRADES network, and then each of several ways goes
on from where they ended, alone and for the same number of ascents from random points: how many images does it
break, of those near and of those farther away? Losses that the cascade does not climb are among them:
the ratio DLR, and the margin of probabilities (PMA, Xie et al. 2024, arXiv:2411.15210).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from attacks.ensemble.cascade_stages import CascadeStages
from attacks.gradient.apgd import random_climb
from attacks.gradient.apgd_loop import Climb
from benchmarks.public_networks import small_cnn
from robench.attack.craft import CraftSettings, craft
from robench.attack.losses import Loss, cross_entropy, dlr, margin, score_margin
from robench.attack.norms import NORMS
from robench.attack.oracle import Oracle
from robench.attack.protocol import AttackInfo
from robench.attack.threat import ThreatModel
from robench.data.images import ImageSet
from robench.model.interface import Model, OutputKind
from robench.randomness import Randomness
from robench.types import Images, Labels, Outputs, PerSample

BANDS = ((0.0, 1.05), (1.05, 1.3), (1.3, 2.0))
"""Distances of the nearest boundary, in radii: from above the first to the second."""


def probability_margin(outputs: Outputs, y: Labels, kind: OutputKind) -> PerSample:
    """Return max_{c != y} p_c - p_y, (B,): the loss of PMA."""
    return margin(outputs.softmax(dim=1), y, kind)


LOSSES: Mapping[str, tuple[Loss, ...]] = {
    "cross-entropy": (cross_entropy,),
    "margin": (score_margin,),
    "DLR": (dlr,),
    "margin of probabilities": (probability_margin,),
    "all four in turn": (cross_entropy, score_margin, dlr, probability_margin),
}


@dataclass(slots=True)
class Ascents:
    """The first stages of the cascade, then ascents from random points in each band of distances.

    Attributes:
        losses: climbed in turn.
        tries: ascents of each image.
        steps: of each ascent.
        near: images of each band, once the attack has run.
        broken: how many of them the ascents broke.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="Ascents",
        paper="Xie et al. 2024, arXiv:2411.15210; Croce & Hein 2020, arXiv:2003.01690",
        norms=("Linf",),
        randomised=True,
    )
    losses: tuple[Loss, ...]
    tries: int
    steps: int
    near: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the worst points."""
        cascade = CascadeStages(oracle)
        cascade.open(40, rng.split("apgd-ce"))
        with oracle.only(cascade.standing):
            cascade.aim(9)
            cascade.ascend(20, 1.3)
        with oracle.only(cascade.standing):
            distance = cascade.nearest / oracle.threat.eps
        standing = cascade.standing
        for low, high in BANDS:
            band = standing & (distance > low) & (distance <= high)
            self.near.append(int(band.sum()))
            with oracle.only(band):
                for number in range(self.tries):
                    loss = self.losses[number % len(self.losses)]
                    random_climb(oracle, rng.split("try", number), loss, Climb(steps=self.steps))
            self.broken.append(int((band & oracle.broken).sum()))
        return cascade.worst.points


def report(model: Model, data: ImageSet, threat: ThreatModel, *, tries: int, steps: int) -> None:
    """Print a row for each way to go on."""
    x, y = data.batch(slice(None))
    bands = " | ".join(f"{low:g} to {high:g}" for low, high in BANDS)
    print(f"| ascents from {tries} random points on | {bands} |")
    print("|---|" + "---|" * len(BANDS))
    for name, losses in LOSSES.items():
        attack = Ascents(losses, tries, steps)
        craft(model, attack, x, y, threat=threat, indices=data.indices, settings=CraftSettings(seed=0))
        cells = (f"{wins} of {near}" for wins, near in zip(attack.broken, attack.near, strict=True))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure, and print the table of docs/attacks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.close_calls", description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True, help="folder with MNIST and models")
    parser.add_argument("--images", type=int, default=1000, help="test images of MNIST")
    parser.add_argument("--tries", type=int, default=8, help="ascents of each image")
    parser.add_argument("--steps", type=int, default=25, help="steps of each ascent")
    arguments = parser.parse_args()
    model, data = small_cnn(arguments.data_root, arguments.images)
    threat = ThreatModel(norm=NORMS["Linf"], eps=0.3)
    report(model, data, threat, tries=arguments.tries, steps=arguments.steps)


if __name__ == "__main__":
    main()
