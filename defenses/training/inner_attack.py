"""Attacks on a network in training: frozen parameters, the mode asked for, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from defenses.training.attack_options import AttackOptions
from robench.attack.losses import Loss
from robench.attack.norms import norm_named
from robench.attack.oracle import Oracle
from robench.attack.protocol import Attack, run_attack
from robench.attack.threat import ThreatModel
from robench.model.interface import GradientSource, Model, OutputKind
from robench.randomness import Randomness
from robench.types import Images, Labels, Mask, Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerAttack:
    """Attacks one model around images of a mini-batch.

    Attributes:
        model: as the attacker sees it.
        norm: `Linf` or `L2`.
        attack: what crafts, and what judges the held-out part; `climbed` does without.
        mode: `eval` or `train`, for the attacker's passes while training.
        source: what it differentiates; the model's first gradient source by default.
    """

    model: Model
    norm: str
    attack: Attack | None = None
    mode: str = "eval"
    source: GradientSource | None = None

    def threat(self, eps: float) -> ThreatModel:
        """Return the threat model of a radius."""
        return ThreatModel(norm=norm_named(self.norm), eps=eps)

    def crafted(self, x: Images, y: Labels, rng: Randomness, eps: float) -> Images:
        """Return what `attack` makes of every image of a mini-batch."""
        threat = self.threat(eps)
        with under_attack(self.model.net, self.mode):
            return run_attack(self._crafter(), self._oracle(x, y, threat), rng).detach()

    def climbed(
        self, x: Images, start: Images, y: Labels, loss: Loss, *, eps: float, steps: int, step_size: float
    ) -> Images:
        """Return the end of projected steepest-ascent steps on a loss of the whole batch, from `start`."""
        threat = self.threat(eps)
        with under_attack(self.model.net, self.mode):
            oracle, point = self._oracle(x, y, threat), start
            for _ in range(steps):
                ascent = threat.norm.ascent(oracle.gradient(loss, point))
                point = threat.project(x, point + step_size * ascent)
        return point.detach()

    def survives(self, x: Images, y: Labels, rng: Randomness, eps: float) -> Mask:
        """Tell which images `attack` finds no adversarial point for, in evaluation mode."""
        threat = self.threat(eps)
        with under_attack(self.model.net, "eval"):
            oracle = Oracle(
                self.model, x, y, threat, source=self.source, drop=True, track=True, batch_size=len(x)
            )
            oracle.outputs(run_attack(self._crafter(), oracle, rng))
        return ~oracle.broken

    def _crafter(self) -> Attack:
        assert self.attack is not None  # the defense that asks gave one
        return self.attack

    def _oracle(self, x: Images, y: Labels, threat: ThreatModel) -> Oracle:
        return Oracle(
            self.model, x, y, threat, source=self.source, drop=False, track=False, batch_size=len(x)
        )


def attackable(network: nn.Module, classes: int, precision: str = "float32") -> Model:
    """Return the network as the inner attack sees it.

    Args:
        network: images to logits.
        classes: number of classes.
        precision: `float32`, or `bfloat16` for the attacker's passes.
    """
    if precision == "float32":
        return Model(name="in training", net=network, classes=classes)

    def surrogate(x: Images) -> tuple[Outputs, Outputs]:
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            outputs = network(x)
        # The softmax stays in float32: in bfloat16 a confident one rounds to 1 and its gradient to zero.
        outputs = outputs.float()
        return outputs, outputs

    source = GradientSource("bfloat16", surrogate, OutputKind.LOGITS)
    return Model(name="in training", net=network, classes=classes, sources={source.name: source})


def inner_attack(options: AttackOptions, network: nn.Module, classes: int, attack: Attack) -> InnerAttack:
    """Return an attack on a network in training, under the norm, mode and precision that options ask for."""
    return InnerAttack(
        model=attackable(network, classes, options.attack_precision),
        attack=attack,
        norm=options.norm,
        mode=options.attack_mode,
    )


@contextmanager
def under_attack(network: nn.Module, mode: str) -> Iterator[None]:
    """Freeze the parameters, so that the backward pass goes to the images only, and set the mode."""
    trainable = [p for p in network.parameters() if p.requires_grad]
    training = network.training
    for parameter in trainable:
        parameter.requires_grad_(False)
    network.train(training and mode == "train")
    try:
        yield
    finally:
        network.train(training)
        for parameter in trainable:
            parameter.requires_grad_(True)
