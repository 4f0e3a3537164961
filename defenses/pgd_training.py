"""PGD adversarial training: every mini-batch is attacked before it is learned. No torch at import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.schedule import TrainingOptions, one_of, require
from robench import plugins
from robench.attack import Attack
from robench.defense import DefenseInfo, TrainingContext
from robench.recipe import build

if TYPE_CHECKING:
    from torch import Tensor, nn

    from defenses.training import Moment
    from robench.data import ImageSet
    from robench.model import Model
    from robench.randomness import Randomness
    from robench.threat import ThreatModel
    from robench.types import Images, Labels, Mask, Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class PGDTraining(TrainingOptions):
    """Cross-entropy on images attacked by PGD, through the linear branch.

    Madry et al. 2018 (arXiv:1706.06083), equation 2.1; Wang & Osher 2019, Algorithm 3, stage 1: MNIST with
    eps 0.3, step 0.01, 40 steps, 100 epochs at learning rate 0.1, divided by 10 at 50; CIFAR-10 with 8/255,
    2/255, 10 steps, 120 epochs at 0.1, divided by 10 at 80, 100, 110. The checkpoint is chosen by accuracy
    under the same attack on the held-out part. The other options are those of
    `defenses.schedule.TrainingOptions`.

    Attributes:
        eps: radius of the ball.
        norm: `Linf` or `L2`.
        step_size: length of a step; by default 2.5 times the current radius over `steps`.
        steps: steps of the inner attack.
        random_start: whether the inner attack starts at a random point of the ball.
        warmup_epochs: the radius grows linearly from 0 to `eps` during so many epochs. At a large radius
            (MNIST, 0.3) a fresh network attacked at full strength from the first step often stays at chance
            level for epochs; one or two epochs of growth avoid that. The held-out part is always attacked
            at `eps`.
        attack_mode: `eval`: the attacker sees dropout and batch-norm as at test time, and leaves the
            running statistics alone; `train`: as in training, so its passes move the running statistics too.
        attack_precision: `float32`, or `bfloat16` for the passes of the inner attack only; everything
            learned from, and the accuracies, stay in float32.
        inner: an attack to use in place of PGD with the options above; it gets the same radius.

    Raises:
        ConfigError: a value means nothing, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="PGD adversarial training", paper="Madry et al. 2018, arXiv:1706.06083"
    )
    eps: float
    norm: Literal["Linf", "L2"] = "Linf"
    step_size: float | None = None
    steps: int = 10
    random_start: bool = True
    warmup_epochs: float = 1.0
    attack_mode: Literal["eval", "train"] = "eval"
    attack_precision: Literal["float32", "bfloat16"] = "float32"
    inner: Attack | None = None

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

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train `network` in place; see `robench.defense.Defense`."""
        from defenses.training import train

        model = _attackable(network, len(data.classes), self.attack_precision)
        objective = _AttackedLoss(model, self._attack(), self)
        return train(network, data, objective, options=self, context=context)

    def radius(self, passed: float) -> float:
        """Return the radius after so many epochs."""
        return self.eps * min(1.0, passed / self.warmup_epochs) if self.warmup_epochs else self.eps

    def _attack(self) -> Attack:
        if self.inner is not None:
            return self.inner
        options = {"steps": self.steps, "step_size": self.step_size, "random_start": self.random_start}
        attack: Attack = build(plugins.find("attacks", "pgd"), options, where="pgd_training")
        return attack


@dataclass(frozen=True, slots=True)
class _AttackedLoss:
    """The objective of adversarial training."""

    model: Model
    attack: Attack
    options: PGDTraining

    def loss(self, x: Images, y: Labels, moment: Moment) -> tuple[Tensor, Outputs]:
        import torch.nn.functional as F

        from robench.oracle import Oracle

        threat = self._threat(self.options.radius(moment.passed))
        with _under_attack(self.model.net, self.options.attack_mode):
            oracle = Oracle(self.model, x, y, threat, drop=False, track=False, batch_size=len(x))
            x_adv = self.attack(oracle, x, y, threat=threat, rng=moment.rng).detach()
        logits: Outputs = self.model.net(x_adv)
        return F.cross_entropy(logits, y), logits

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        from robench.oracle import Oracle

        threat = self._threat(self.options.eps)
        with _under_attack(self.model.net, "eval"):
            oracle = Oracle(self.model, x, y, threat, drop=True, track=True, batch_size=len(x))
            oracle.outputs(self.attack(oracle, x, y, threat=threat, rng=rng))
        return ~oracle.broken

    def _threat(self, eps: float) -> ThreatModel:
        from robench.norms import norm_named
        from robench.threat import ThreatModel

        return ThreatModel(norm=norm_named(self.options.norm), eps=eps)


def _attackable(network: nn.Module, classes: int, precision: str) -> Model:
    """Return the network as the inner attack sees it."""
    import torch

    from robench.model import GradientSource, Model, OutputKind

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


@contextmanager
def _under_attack(network: nn.Module, mode: str) -> Iterator[None]:
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
