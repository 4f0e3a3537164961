"""Cascades side by side: the reference AutoAttack, ours, our economical one, and what each of them spends."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import models
from robench import plugins
from robench.attack.craft import CraftSettings, craft
from robench.attack.norms import NORMS
from robench.attack.threat import ThreatModel
from robench.data.images import ImageSet
from robench.judge.verdict import judge
from robench.model.interface import Model
from robench.model.prepared import PreparedModel
from robench.record.schema import Status

CASCADES = ("reference", "autoattack", "economical_autoattack")
"""The cascades that are compared, in this order."""


class CountedNetwork(nn.Module):
    """A network that counts the images that go through it, forwards and backwards.

    Args:
        net: the network; its gradients are those of the network itself.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.forwards, self.backwards = net, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) to outputs (B, K)."""
        self.forwards += len(x)
        outputs: Tensor = self.net(x)
        if outputs.requires_grad:
            outputs.register_hook(self._count)  # type: ignore[no-untyped-call]
        return outputs

    def _count(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one cascade did to the images.

    Attributes:
        standing: which images it left robust, by our judge's verdict, (N,).
        forwards: forward passes per image, on average.
        backwards: backward passes per image, on average.
        seconds: wall-clock time.
    """

    standing: Tensor
    forwards: float
    backwards: float
    seconds: float


def reference(model: Model, data: ImageSet, threat: ThreatModel, seed: int, batch_size: int = 250) -> Outcome:
    """Run the authors' AutoAttack, version standard, as packaged in `pyautoattack`."""
    from pyautoattack import AutoAttack

    logging.getLogger("auto-attack").setLevel(logging.ERROR)
    x, y = data.batch(slice(None))
    counter = CountedNetwork(model.net)
    copies = PreparedModel(model)  # the same copy as our attacks ask
    engine_name = copies.choose(x, list(model.sources.values()))
    with copies.using(engine_name), torch.random.fork_rng(devices=[]):
        start = time.perf_counter()
        cascade = AutoAttack(counter, norm=threat.norm.name, eps=threat.eps, seed=seed, version="standard")
        x_adv, _ = cascade.run_standard_evaluation(x.clone(), y.clone(), batch_size=batch_size)
        seconds = time.perf_counter() - start
    return Outcome(
        standing=_standing(model, data, x_adv, threat),
        forwards=counter.forwards / len(x),
        backwards=counter.backwards / len(x),
        seconds=seconds,
    )


def ours(model: Model, data: ImageSet, threat: ThreatModel, name: str, seed: int, **options: Any) -> Outcome:
    """Run a cascade of ours."""
    x, y = data.batch(slice(None))
    attack = plugins.find("attacks", name)(**options)
    settings = CraftSettings(seed=seed)
    result = craft(model, attack, x, y, threat=threat, indices=data.indices, settings=settings)
    return Outcome(
        standing=_standing(model, data, result.x_adv, threat),
        forwards=float(result.ledger.forwards.double().mean()),
        backwards=float(result.ledger.backwards.double().mean()),
        seconds=result.seconds,
    )


def _standing(model: Model, data: ImageSet, x_adv: Tensor, threat: ThreatModel) -> Tensor:
    x, y = data.batch(slice(None))
    verdict = judge(model, x, y, x_adv.detach().float(), threat=threat)
    return torch.tensor([status is Status.ROBUST for status in verdict.status])


def digits(count: int = 100) -> tuple[Model, ImageSet, ThreatModel]:
    """Return a PGD-trained network on scikit-learn's digits, `count` test images, and the threat."""
    train, test = (
        models.images("digits", "train", 1352, None),
        models.images("digits", "test", count, None),
    )
    net = models.network("digits_cnn", test.shape, 10)
    models.train_by_pgd(net, train, eps=0.15, step_size=0.05, steps=5, epochs=20, learning_rate=0.05)
    return Model(name="digits CNN", net=net, classes=10), test, ThreatModel(norm=NORMS["Linf"], eps=0.1)


def mnist(root: Path, count: int, weights: Path | None) -> tuple[Model, ImageSet, ThreatModel]:
    """Return a robust Small-CNN, the first MNIST test images, and the threat Linf 0.3.

    Args:
        root: folder with MNIST.
        count: how many images.
        weights: checkpoint of a Small-CNN with a buffer of 128; None trains one for two minutes.
    """
    test = models.images("mnist", "test", count, root)
    threat = ThreatModel(norm=NORMS["Linf"], eps=0.3)
    if weights is None:
        model, _ = models.small_cnn(root)
        return model, test, threat
    net = models.network("small_cnn", test.shape, 10, checkpoint=weights, buffer=128)
    return Model(name="Small-CNN", net=net.eval(), classes=10), test, threat


def report(
    setup: tuple[Model, ImageSet, ThreatModel],
    seeds: int,
    *,
    shard: int,
    cascades: Sequence[str] = CASCADES,
) -> list[str]:
    """Run the cascades on one model, and return a Markdown table.

    Each of ours and of theirs is run once per seed. Passes are shares of those of the reference's first seed;
    images are told apart from the ones that it left standing.

    Args:
        setup: model, images and threat.
        seeds: how many seeds.
        shard: how many images each run gets; the verdicts of the reference depend on it a little, as they do
            on its seed.
        cascades: which of them.
    """
    model, data, threat = setup
    clean = judge(model, *data.batch(slice(None)), data.batch(slice(None))[0], threat=threat)
    right = sum(status is Status.ROBUST for status in clean.status)
    lines = [
        f"### {model.name}, {data.name}, {len(data)} images, {right} classified rightly, "
        f"{threat.norm.name} {threat.eps:g}",
        "",
        "| cascade | seed | robust | forwards | backwards | share of passes | seconds | other verdicts |",
        "|---|---|---|---|---|---|---|---|",
    ]
    first: Outcome | None = None
    for name in cascades:
        for seed in range(seeds):
            parts = [data.subset(slice(begin, begin + shard)) for begin in range(0, len(data), shard)]
            if name == "reference":
                outcome = _merged([reference(model, part, threat, seed) for part in parts])
            else:
                outcome = _merged([ours(model, part, threat, name, seed) for part in parts])
            first = first or outcome
            share = (outcome.forwards + outcome.backwards) / (first.forwards + first.backwards)
            others = _differences(first, outcome)
            lines.append(
                f"| {name} | {seed} | {int(outcome.standing.sum())}/{len(data)} | {outcome.forwards:.1f} "
                f"| {outcome.backwards:.1f} | {share:.3f} | {outcome.seconds:.0f} | {others} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    return [*lines, ""]


def _merged(parts: Sequence[Outcome]) -> Outcome:
    """Return the outcome on all images from those on parts of them."""
    standing = torch.cat([part.standing for part in parts])
    share = [len(part.standing) / len(standing) for part in parts]
    return Outcome(
        standing=standing,
        forwards=sum(part.forwards * weight for part, weight in zip(parts, share, strict=True)),
        backwards=sum(part.backwards * weight for part, weight in zip(parts, share, strict=True)),
        seconds=sum(part.seconds for part in parts),
    )


def _differences(first: Outcome, second: Outcome) -> str:
    """Name the images that only one of the two left standing, + where the second one broke more."""
    more = (first.standing & ~second.standing).nonzero().flatten().tolist()
    less = (~first.standing & second.standing).nonzero().flatten().tolist()
    return ", ".join([f"+{image}" for image in more] + [f"-{image}" for image in less]) or "none"
