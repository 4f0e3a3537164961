"""Attacks on a network in training: their options, frozen parameters, and restored state.

No torch at import, because the options of all adversarial trainings are read from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from defenses.option_checks import at_least_one, one_of, positive, require, within_box
from defenses.training.options import TrainingOptions

if TYPE_CHECKING:
    from torch import nn

    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.attack.protocol import Attack
    from robench.attack.threat import ThreatModel
    from robench.model.interface import GradientSource, Model
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackOptions(TrainingOptions):
    """Options of the inner attack, beside those of `defenses.training.options.TrainingOptions`.

    Attributes:
        eps: radius of the ball, in units of pixels in [0, 1]; above 0, under Linf at most 1.
        norm: `Linf` or `L2`.
        step_size: length of a step, above 0, under Linf at most 1; by default 2.5 times the current radius
            over `steps`.
        steps: steps of the inner attack, at least 1, and of the PGD attack on the held-out part.
        warmup_epochs: the radius grows linearly from 0 to `eps` during so many epochs. At a large radius
            (MNIST, 0.3) a fresh network attacked at full strength from the first step often stays at chance
            level for epochs; one or two epochs of growth avoid that. The held-out part is always attacked
            at `eps`.
        attack_mode: `eval`: the attacker sees dropout and batch-norm as at test time, and leaves the
            running statistics alone; `train`: as in training, so its passes move the running statistics too.
        attack_precision: `float32`, or `bfloat16` for the passes of the inner attack only; training passes
            and accuracies stay in float32.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    eps: float
    norm: Literal["Linf", "L2"] = "Linf"
    step_size: float | None = None
    steps: int = 10
    warmup_epochs: float = 1.0
    attack_mode: Literal["eval", "train"] = "eval"
    attack_precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        TrainingOptions.__post_init__(self)
        positive(eps=self.eps, step_size=self.step_size)
        at_least_one(steps=self.steps)
        expected = f"from 0 to epochs ({self.epochs})"
        require(0 <= self.warmup_epochs <= self.epochs, "warmup_epochs", expected, self.warmup_epochs)
        one_of("norm", self.norm, ("Linf", "L2"))
        within_box(self.norm, eps=self.eps)
        within_box(self.norm, noun="step", step_size=self.step_size)
        one_of("attack_mode", self.attack_mode, ("eval", "train"))
        one_of("attack_precision", self.attack_precision, ("float32", "bfloat16"))

    def radius(self, epochs_passed: float) -> float:
        """Return the radius after so many epochs."""
        return self.eps * min(1.0, epochs_passed / self.warmup_epochs) if self.warmup_epochs else self.eps

    def inner_attack(self, network: nn.Module, classes: int, attack: Attack) -> InnerAttack:
        """Return an attack on a network in training, under the norm, mode and precision of these options."""
        model = model_of(network, classes, self.attack_precision)
        return InnerAttack(model=model, attack=attack, norm=self.norm, mode=self.attack_mode)


def pgd(*, steps: int, step_size: float | None = None, random_start: bool = True) -> Attack:
    """Return the installed plugin `pgd`; `step_size` None is its own default, 2.5 eps / steps."""
    from robench import plugins
    from robench.recipe import build

    options = {"steps": steps, "step_size": step_size, "random_start": random_start}
    attack: Attack = build(plugins.find("attacks", "pgd"), options, where="training defense")
    return attack


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerAttack:
    """Attacks one model around images (B, C, H, W) in [0, 1] of a mini-batch, with labels (B,).

    Attributes:
        model: the model that the attacker sees.
        norm: `Linf` or `L2`.
        attack: crafts images, also on the held-out part; `ascend` does not use it.
        mode: `eval` or `train`, for the attacker's passes during training.
        source: its gradient source; the model's first one by default.
    """

    model: Model
    norm: str
    attack: Attack | None = None
    mode: str = "eval"
    source: GradientSource | None = None

    def threat(self, eps: float) -> ThreatModel:
        """Return the threat model of a radius."""
        from robench.attack.norms import norm_named
        from robench.attack.threat import ThreatModel

        return ThreatModel(norm=norm_named(self.norm), eps=eps)

    def craft(self, x: Images, y: Labels, rng: Randomness, eps: float) -> Images:
        """Return the result of `attack` for every image of a mini-batch, (B, C, H, W) in [0, 1]."""
        assert self.attack is not None  # the calling defense has an inner attack
        from robench.attack.protocol import run_attack

        threat = self.threat(eps)
        with under_attack(self.model.net, self.mode):
            return run_attack(self.attack, self._oracle(x, y, threat), rng).detach()

    def ascend(
        self, x: Images, start: Images, y: Labels, loss: Loss, *, eps: float, steps: int, step_size: float
    ) -> Images:
        """Return the end points of projected steepest-ascent steps on a loss, (B, C, H, W) in [0, 1].

        Args:
            x: clean images (B, C, H, W) in [0, 1], the centres of the balls.
            start: the starting points, (B, C, H, W).
            y: labels (B,).
            loss: the loss to maximise, (B,).
            eps: radius of the balls.
            steps: how many steps.
            step_size: their length, in the norm of the threat.
        """
        threat = self.threat(eps)
        with under_attack(self.model.net, self.mode):
            oracle, point = self._oracle(x, y, threat), start
            for _ in range(steps):
                ascent = threat.norm.ascent(oracle.gradient(loss, point))
                point = threat.project(x, point + step_size * ascent)
        return point.detach()

    def survives(self, x: Images, y: Labels, rng: Randomness, eps: float) -> Mask:
        """Tell for which images (B,) `attack` finds no adversarial point, in evaluation mode."""
        assert self.attack is not None  # the calling defense has an inner attack
        from robench.attack.protocol import run_attack

        threat = self.threat(eps)
        with under_attack(self.model.net, "eval"):
            oracle = self._oracle(x, y, threat, until_broken=True)
            oracle.outputs(run_attack(self.attack, oracle, rng))
        return ~oracle.broken

    def _oracle(self, x: Images, y: Labels, threat: ThreatModel, *, until_broken: bool = False) -> Oracle:
        """Return the oracle of the attack; `until_broken` drops broken images, and remembers them."""
        from robench.attack.oracle import Oracle

        return Oracle(
            self.model,
            x,
            y,
            threat,
            source=self.source,
            drop=until_broken,
            track=until_broken,
            batch_size=len(x),
        )


def model_of(network: nn.Module, classes: int, precision: str = "float32") -> Model:
    """Return a network in training as the inner attack sees it.

    Args:
        network: images (B, C, H, W) to logits (B, K).
        classes: number of classes K.
        precision: `float32`, or `bfloat16` for the attacker's passes.
    """
    import torch

    from robench.model.interface import GradientSource, Model, OutputKind

    if precision == "float32":
        return Model(name="in training", net=network, classes=classes)

    def surrogate(x: Images) -> tuple[Outputs, Outputs]:
        """Map images (B, C, H, W) to logits (B, K) computed in bfloat16, twice."""
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            outputs = network(x)
        # The softmax stays in float32: in bfloat16 a confident one rounds to 1 and its gradient to zero.
        outputs = outputs.float()
        return outputs, outputs

    source = GradientSource("bfloat16", surrogate, OutputKind.LOGITS)
    return Model(name="in training", net=network, classes=classes, sources={source.name: source})


@contextmanager
def under_attack(network: nn.Module, mode: str) -> Iterator[None]:
    """Freeze the parameters, so that the backward pass goes to the images only, and set the mode.

    Args:
        network: has its parameters, and each of its parts its own mode, as before again after the block.
        mode: `eval`, or `train`: every part stays in the mode it has.
    """
    trainable = [p for p in network.parameters() if p.requires_grad]
    modes = [(part, part.training) for part in network.modules()]
    for parameter in trainable:
        parameter.requires_grad_(False)
    if mode == "eval":
        network.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
        for parameter in trainable:
            parameter.requires_grad_(True)
