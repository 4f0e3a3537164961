"""Free adversarial training: one backward pass serves weights and perturbation. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.option_checks import at_least_one, one_of, positive, within_box
from defenses.training.inner_attack import InnerAttack, model_of, pgd
from defenses.training.options import TrainingOptions
from robench.model.defense import DefenseInfo, TrainingContext
from robench.papers import paper

if TYPE_CHECKING:
    from torch import Tensor, nn

    from defenses.training.inner_attack import InnerAttack
    from defenses.training.objective import BatchContext
    from robench.data.images import ImageSet
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Free(TrainingOptions):
    """Every batch is learned `replays` times in a row; each backward pass also moves the perturbation.

    Shafahi et al. 2019 (arXiv:1904.12843), Algorithm 1. The perturbation is not reset for a new batch: it
    continues from the previous one. An epoch here is a pass over the batches, `replays` steps each. The
    defaults are those of the authors for CIFAR-10 (eps 8/255): m = 8, 80,000 steps at batch 128, which are
    26 passes; learning rate 0.1, divided by 10 after a half and three quarters, weight decay 0.0002. The
    checkpoint is chosen by accuracy under PGD on the held-out part. The other options are those of
    `defenses.training.options.TrainingOptions`.

    Attributes:
        eps: radius of the ball, in input units; above 0, under Linf at most 1.
        norm: `Linf` or `L2`.
        replays: the paper's m, at least 1.
        step_size: how far the perturbation moves per step, in input units, above 0, under Linf at most 1; by
            default eps (Algorithm 1, line 10).
        steps: of PGD on the held-out part, at least 1.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Free adversarial training",
        paper="Shafahi et al. 2019, arXiv:1904.12843",
        bibtex=paper("shafahi2019adversarial"),
    )
    epochs: int = 26
    learning_rate: float = 0.1
    nesterov: bool = False
    weight_decay: float = 2e-4
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "multistep"
    eps: float
    norm: Literal["Linf", "L2"] = "Linf"
    replays: int = 8
    step_size: float | None = None
    steps: int = 10

    MILESTONES: ClassVar[tuple[float, ...]] = (1 / 2, 3 / 4)

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        TrainingOptions.__post_init__(self)
        positive(eps=self.eps, step_size=self.step_size)
        at_least_one(replays=self.replays, steps=self.steps)
        one_of("norm", self.norm, ("Linf", "L2"))
        within_box(self.norm, eps=self.eps)
        within_box(self.norm, noun="step", step_size=self.step_size)

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train a network, images (B, C, H, W) to logits (B, K), in place; see `robench.model.Defense`."""
        from defenses.training.loop import train

        inner = InnerAttack(
            model=model_of(network, len(data.classes)), attack=pgd(steps=self.steps), norm=self.norm
        )
        objective = _FreeLoss(inner, self)
        return train(network, data, objective, options=self, context=context, replays=self.replays)


@dataclass(slots=True)
class _FreeLoss:
    """Keeps the perturbation; a step's gradient is applied to it when the next step begins."""

    adversarial: ClassVar[bool] = True
    inner: InnerAttack
    options: Free
    delta: Tensor | None = None
    _leaf: Tensor | None = field(default=None, repr=False)

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean cross-entropy at the kept perturbation, and the logits (B, K) there (Algorithm 1).

        The perturbation (B, C, H, W), at most `eps` in the norm, first moves along the last gradient.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: not used; the perturbation itself is the progress.
        """
        import torch
        import torch.nn.functional as F

        del batch
        self._move()
        if self.delta is None:
            self.delta = torch.zeros_like(x)
        elif len(self.delta) < len(x):
            self.delta = torch.cat([self.delta, torch.zeros_like(x[len(self.delta) :])])
        self._leaf = self.delta[: len(x)].to(x.device).clone().requires_grad_(True)
        logits: Outputs = self.inner.model.net(self.inner.threat(self.options.eps).clip(x + self._leaf))
        return F.cross_entropy(logits, y), logits

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        """Tell which images (B,) withstand PGD of `steps` steps at the full radius `eps`.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            rng: randomness of these images.
        """
        return self.inner.survives(x, y, rng, self.options.eps)

    def state(self) -> dict[str, Tensor]:
        """Return the perturbation (B, C, H, W), if any, including the step of the last backward pass."""
        self._move()
        return {} if self.delta is None else {"delta": self.delta}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from a perturbation (B, C, H, W)."""
        self.delta, self._leaf = state.get("delta"), None

    def _move(self) -> None:
        """Move the perturbation along the last gradient, and project it to the ball."""
        if self._leaf is None or self._leaf.grad is None or self.delta is None:
            return
        options, norm = self.options, self.inner.threat(self.options.eps).norm
        point = self._leaf.detach() + (options.step_size or options.eps) * norm.ascent(self._leaf.grad)
        delta = norm.project(point, point.new_full((len(point),), options.eps))
        self.delta = self.delta.to(delta.device).clone()
        self.delta[: len(delta)] = delta
        self._leaf = None
