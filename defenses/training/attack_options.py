"""The options of every defense that attacks its own mini-batches. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from defenses.training.options import TrainingOptions, one_of, require

if TYPE_CHECKING:
    from robench.attack.protocol import Attack


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackOptions(TrainingOptions):
    """What the inner attack may do, beside the options of `defenses.training.options.TrainingOptions`.

    Attributes:
        eps: radius of the ball.
        norm: `Linf` or `L2`.
        step_size: length of a step; by default 2.5 times the current radius over `steps`.
        steps: steps of the inner attack, and of the PGD attack on the held-out part.
        warmup_epochs: the radius grows linearly from 0 to `eps` during so many epochs. At a large radius
            (MNIST, 0.3) a fresh network attacked at full strength from the first step often stays at chance
            level for epochs; one or two epochs of growth avoid that. The held-out part is always attacked
            at `eps`.
        attack_mode: `eval`: the attacker sees dropout and batch-norm as at test time, and leaves the
            running statistics alone; `train`: as in training, so its passes move the running statistics too.
        attack_precision: `float32`, or `bfloat16` for the passes of the inner attack only; everything
            learned from, and the accuracies, stay in float32.

    Raises:
        ConfigError: a value means nothing, or two contradict each other.
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
        require(0 < self.eps < float("inf"), "eps", "a positive number", self.eps)
        require(self.steps >= 1, "steps", "at least 1", self.steps)
        if self.step_size is not None:
            require(0 < self.step_size < float("inf"), "step_size", "a positive number", self.step_size)
        expected = f"from 0 to epochs ({self.epochs})"
        require(0 <= self.warmup_epochs <= self.epochs, "warmup_epochs", expected, self.warmup_epochs)
        one_of("norm", self.norm, ("Linf", "L2"))
        one_of("attack_mode", self.attack_mode, ("eval", "train"))
        one_of("attack_precision", self.attack_precision, ("float32", "bfloat16"))

    def radius(self, passed: float) -> float:
        """Return the radius after so many epochs."""
        return self.eps * min(1.0, passed / self.warmup_epochs) if self.warmup_epochs else self.eps


def pgd(*, steps: int, step_size: float | None = None, random_start: bool = True) -> Attack:
    """Return the installed plugin `pgd`; `step_size` None is its own default, 2.5 eps / steps."""
    from robench import plugins
    from robench.recipe import build

    options = {"steps": steps, "step_size": step_size, "random_start": random_start}
    attack: Attack = build(plugins.find("attacks", "pgd"), options, where="training defense")
    return attack
