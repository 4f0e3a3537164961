"""`python -m benchmarks.graph_attacks [--images N] [--steps N]`: attacks on graphs and neighbours, on digits.

A digits CNN, adversarially trained, with heads that share its features. Counts images that are answered
correctly before and after each attack; nothing here is timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.pgd import PGD
from attacks.query.square import Square
from attacks.wnll.gmsa import GMSA
from attacks.wnll.graph_adaptive import GraphAdaptive
from attacks.wnll.knn_guides import KNNGuides
from model_zoo.catalog import DigitsCNN
from model_zoo.datasets import Digits
from model_zoo.network import Network
from robench import plugins, recipe
from robench.attack.craft import CraftSettings, craft
from robench.attack.protocol import Attack
from robench.attack.threat import ThreatModel
from robench.judge.verdict import classify
from robench.model.defense import TrainingContext
from robench.model.interface import Coupling, Model

EPS = 0.05
TRAINING = {"eps": 0.12, "steps": 5, "epochs": 12, "learning_rate": 0.05, "schedule": "cosine"}
HEADS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("wnll", {"m": 15, "n": 8, "template": 300, "protocol": "joint"}),
    ("knn", {"k": 5, "template": 300}),
    ("deep_knn", {"k": 15, "template": 300, "calibration": 100}),
)


def trained_network() -> Network:
    """Return a digits CNN, trained on images attacked by PGD, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network(DigitsCNN()(channels=1, size=(8, 8), classes=10), classes=10, buffer=32)
    defense = recipe.build(plugins.find("defenses", "pgd_training"), TRAINING, where="benchmark")
    context = TrainingContext(seed=0, device="cpu", state=None, identity={}, progress=lambda _: None)
    defense(network, Digits()("train"), context=context)
    return network.eval()


def headed(network: Network, name: str, options: dict[str, Any]) -> Model:
    """Return the network under a head."""
    head = recipe.build(plugins.find("heads", name), options, where="benchmark")
    model: Model = head(
        network,
        name=name,
        classes=10,
        training_data=lambda: Digits()("train"),
        seed=0,
        device="cpu",
        details={},
    )
    return model


def attacks_on(model: Model, steps: int) -> Iterator[tuple[str, str, Attack]]:
    """Yield label, gradient source (empty where the attack chooses) and attack."""
    step_size = 2.5 * EPS / steps
    for source in model.sources:
        yield f"ifgsm through {source}", source, IFGSM(steps=steps, step_size=step_size)
        margin = PGD(steps=steps, step_size=step_size, random_start=False, loss="margin")
        yield f"the same with the margin, through {source}", source, margin
    yield "square, 200 queries", next(iter(model.sources)), Square(queries=200)
    adaptive = GraphAdaptive(steps=steps, step_size=step_size)
    yield "graph_adaptive", "", adaptive
    if model.coupling is Coupling.JOINT:
        yield "graph_adaptive, merge: 60", "", replace(adaptive, merge=60)
        for source in ("exact", "kernel"):
            for variant in ("avg", "min"):
                rounds = GMSA(variant=variant, rounds=4, steps=steps, step_size=step_size, loss="margin")
                yield f"gmsa {variant} through {source}", source, rounds
    yield "knn_guides", "", KNNGuides(steps=steps)


def broken_by(model: Model, attack: Attack, source: str, x: Tensor, y: Tensor) -> tuple[Tensor, int]:
    """Return which images (B,) an attack breaks, asked as it proposes them, and its passes on an image."""
    result = craft(
        model,
        attack,
        x,
        y,
        threat=ThreatModel(eps=EPS),
        indices=torch.arange(len(x)),
        settings=CraftSettings(source=source or None, seed=0),
    )
    passes = int((result.ledger.forwards + result.ledger.backwards).max())
    return classify(model, result.x_adv, batch_size=len(x)) != y, passes


def main() -> None:
    """Print a table for each head."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph_attacks", description=__doc__)
    parser.add_argument("--images", type=int, default=80, help="test images, one batch (default 80)")
    parser.add_argument("--steps", type=int, default=10, help="steps of every attack (default 10)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = trained_network()
    x, y = Digits()("test").batch(slice(0, arguments.images))
    for name, options in HEADS:
        model = headed(network, name, options)
        clean = int((classify(model, x, batch_size=len(x)) == y).sum())
        print(
            f"\n{name} {options}: {clean} of {len(x)} correct\n\n| attack | passes | correct |\n|---|---|---|"
        )
        worst = classify(model, x, batch_size=len(x)) != y
        for label, source, attack in attacks_on(model, arguments.steps):
            breaks, passes = broken_by(model, attack, source, x, y)
            worst |= breaks
            print(f"| {label} | {passes} | {int((~breaks).sum())} |", flush=True)
        print(f"| worst case, image by image | | {int((~worst).sum())} |")


if __name__ == "__main__":
    main()
