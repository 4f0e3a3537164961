"""`python -m benchmarks.joint_batches [--images N] [--steps N]`: one joint batch beside each worst case.

The digits CNN of `benchmarks.graph_attacks` under joint WNLL heads of two settings. `graph_adaptive` proposes
the one batch that broke the most images; what any of its batches broke, image by image, is a bound that no
single batch has to reach. `merge` brings the batch nearer to it. Counts images that are answered correctly;
nothing here is timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.wnll.graph_adaptive import GraphAdaptive
from benchmarks.graph_attacks import headed, trained_network
from model_zoo.datasets import Digits
from robench.attack.oracle import Oracle
from robench.attack.protocol import run_attack
from robench.attack.threat import ThreatModel
from robench.judge.verdict import classify
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Model
from robench.randomness import Randomness

RADII = (0.03, 0.04, 0.05, 0.06)
MERGES = (0, 60)
HEADS = (
    {"m": 15, "n": 8, "template": 300, "protocol": "joint"},
    {"m": 30, "n": 15, "template": 100, "protocol": "joint"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """What an attack on one joint batch came to.

    Attributes:
        together: images answered correctly in the batch that is proposed.
        one_by_one: images that no batch of this attack broke.
        passes: of one image, forward and backward.
    """

    together: int
    one_by_one: int
    passes: int


def attack_batch(model: Model, x: Tensor, y: Tensor, eps: float, attack: GraphAdaptive) -> Batches:
    """Attack `x (B, C, H, W)` of classes `y (B,)` as one batch under Linf; the model has the last word."""
    with evaluation_mode(model.net):
        oracle = Oracle(model, x, y, ThreatModel(eps=eps))
        last = run_attack(attack, oracle, Randomness(0, torch.arange(len(x)), ("joint batches",)))
        proposal = oracle.proposal(last)
    ledger = oracle.ledger
    return Batches(
        together=int((classify(model, proposal, batch_size=len(x)) == y).sum()),
        one_by_one=int((~oracle.best_points.broken).sum()),
        passes=int((ledger.forwards + ledger.backwards).max()),
    )


def report(images: int, steps: int, radii: Sequence[float] = RADII, merges: Sequence[int] = MERGES) -> None:
    """Print a row for each head, radius and number of passes to merge."""
    network = trained_network()
    x, y = Digits()("test").batch(slice(0, images))
    print("| head | right | eps | merge | the one batch | image by image | passes |")
    print("|---|---|---|---|---|---|---|")
    for options in HEADS:
        model = headed(network, "wnll", options)
        right = int((classify(model, x, batch_size=len(x)) == y).sum())
        words = f"m {options['m']}, n {options['n']}, template {options['template']}"
        for eps in radii:
            for merge in merges:
                attack = GraphAdaptive(steps=steps, step_size=2.5 * eps / steps, merge=merge)
                row = attack_batch(model, x, y, eps, attack)
                cells = f"{eps:g} | {merge} | {row.together} | {row.one_by_one} | {row.passes:,}"
                print(f"| {words} | {right} | {cells} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joint_batches", description=__doc__)
    parser.add_argument("--images", type=int, default=120, help="test images, one batch (default 120)")
    parser.add_argument("--steps", type=int, default=10, help="steps of every try (default 10)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report(arguments.images, arguments.steps)


if __name__ == "__main__":
    main()
