"""Training for a certificate, by a loss of interval bounds or of linear bounds. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from defenses.option_checks import one_of, positive, require, within_box
from defenses.training.options import TrainingOptions
from robench.model.defense import DefenseInfo, TrainingContext
from robench.papers import paper

if TYPE_CHECKING:
    from torch import nn

    from defenses.training.objective import BatchContext
    from robench.data.images import ImageSet
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class IBPTraining(TrainingOptions):
    """kappa CE(clean) + (1 - kappa) CE(worst case), the worst case by bounds around each image (Linf).

    Gowal et al. 2018 (arXiv:1810.12715), equations 10 to 12: the true logit at its least and the others at
    their most over the ball, the last layer merged into the margins. The defaults are those for MNIST: 100
    epochs of Adam at 0.001, divided by 10 at 25 and 42, batches of 100; clean images alone for 3.3 epochs,
    then radius and kappa move linearly to `eps` and 1/2 during 16.7 epochs. `bound: crown_ibp` is Zhang et
    al. 2020 (arXiv:1906.06316), equation 12: margins are carried back to the images through interval bounds,
    and mixed with the intervals' own by a beta that moves from 1 to `beta_end` with the radius. Train at a
    radius a little above the one to be certified. Weights are chosen by the share of the held-out part that
    the bounds certify at `eps`. Certificates come from `bounds:` of a threat, not from here.

    Attributes:
        eps: radius of the ball (Linf), in units of pixels in [0, 1]; above 0, at most 1.
        bound: `ibp` or `crown_ibp`; the latter needs ReLU between affine layers, and K times the passes.
        natural_epochs: epochs on clean images alone, at least 0.
        ramp_epochs: epochs after these during which radius, kappa and beta move.
        kappa_end: weight of the clean images at the end, 0 to 1.
        beta_end: weight of the margins carried back at the end, for `crown_ibp`; 0 to 1.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Interval bound training",
        paper="Gowal et al. 2018, arXiv:1810.12715",
        bibtex=paper("gowal2018effectiveness"),
    )
    eps: float
    bound: Literal["ibp", "crown_ibp"] = "ibp"
    natural_epochs: float | None = None
    ramp_epochs: float | None = None
    kappa_end: float = 0.5
    beta_end: float = 0.0
    epochs: int = 100
    batch_size: int = 100
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "multistep"
    clip_norm: float | None = field(default=8.0)

    MILESTONES: ClassVar[tuple[float, ...]] = (15 / 60, 25 / 60)

    def __post_init__(self) -> None:
        """Fill in the paper's schedule; refuse values that would fail, or silently do nothing, much later."""
        TrainingOptions.__post_init__(self)
        for name, fraction in (("natural_epochs", 2 / 60), ("ramp_epochs", 10 / 60)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, fraction * self.epochs)
        positive(eps=self.eps)
        within_box("Linf", eps=self.eps)
        one_of("bound", self.bound, ("ibp", "crown_ibp"))
        natural, ramp = self.natural_epochs or 0.0, self.ramp_epochs or 0.0
        require(natural >= 0, "natural_epochs", "at least 0", natural)
        expected = f"at least 0, and natural_epochs and ramp_epochs within epochs ({self.epochs})"
        require(ramp >= 0 and natural + ramp <= self.epochs, "ramp_epochs", expected, ramp)
        require(0 <= self.kappa_end <= 1, "kappa_end", "a number in [0, 1]", self.kappa_end)
        require(0 <= self.beta_end <= 1, "beta_end", "a number in [0, 1]", self.beta_end)
        require(self.precision == "float32", "precision", "float32, for bounds of bfloat16 hold nothing",
                self.precision)  # fmt: skip

    def progress(self, epochs_passed: float) -> float:
        """Return the progress of the ramp after so many epochs, from 0 to 1."""
        past = epochs_passed - (self.natural_epochs or 0.0)
        return min(max(past / self.ramp_epochs, 0.0), 1.0) if self.ramp_epochs else float(past >= 0)

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train a network, images (B, C, H, W) to logits (B, K), in place; see `robench.model.Defense`.

        Raises:
            ConfigError: a layer has no bound; it is named.
        """
        from defenses.training.loop import train

        objective = BoundLoss(network, self)
        objective.check(data)
        return train(network, data, objective, options=self, context=context)


@dataclass(frozen=True, slots=True)
class BoundLoss:
    """The objective: cross-entropy on the images, and on the worst case of the bounds around them."""

    adversarial: ClassVar[bool] = False
    network: nn.Module
    options: IBPTraining
    _bounds: dict[bool, Any] = field(default_factory=dict)

    def check(self, data: ImageSet) -> None:
        """Bound two images, so that a network without bounds is refused before the first epoch.

        Args:
            data: the training split, images (N, C, H, W) in [0, 1].

        Raises:
            ConfigError: a layer has no bound, or the network computes something else than its layers say.
        """
        import torch

        from defenses.training.trained_bounds import refusal
        from robench.model.evaluation import evaluation_mode

        x, y = data.batch(slice(0, 2))
        parameter = next(iter(self.network.parameters()), x)
        x, y = x.to(parameter), y.clamp_min(0).to(parameter.device)
        with evaluation_mode(self.network), torch.no_grad():
            logits = self.margins(x, y, self.options.eps)[1]
            same = torch.allclose(logits, self.network(x), rtol=1e-3, atol=1e-4)
        if not same:
            raise refusal(
                "network", "a forward pass that computes something else, by changes in place or hooks"
            )

    def margins(
        self, x: Images, y: Labels, eps: float, *, beta: float | None = None
    ) -> tuple[Outputs, Outputs]:
        """Return lower bounds (B, K) of the margins within `eps`, and the logits (B, K) of the images.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1; their own column is 0.
            eps: radius under Linf, at least 0.
            beta: weight of margins propagated back, from 0 to 1; by default the final weight, or 0 for `ibp`.
        """
        from defenses.training.trained_bounds import TrainedBounds, margin_bounds

        mode = self.network.training
        if mode not in self._bounds:  # a forward pass may depend on the mode
            self._bounds[mode] = TrainedBounds(self.network)
        steps = self._bounds[mode].steps(x, (x - eps).clamp_min(0), (x + eps).clamp_max(1))
        is_crown = self.options.bound == "crown_ibp"
        beta = self.options.beta_end if beta is None else beta
        beta = beta if is_crown else 0.0
        logits = steps[-1].output.value
        if beta == 0:
            return margin_bounds(steps, y, carried=False), logits
        bounds = margin_bounds(steps, y, carried=True)
        if beta < 1:
            bounds = beta * bounds + (1 - beta) * margin_bounds(steps, y, carried=False)
        return bounds, logits

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean loss, at least 0, and the logits (B, K) of the images themselves.

        The loss is kappa CE(f(x), y) + (1 - kappa) CE(-margins, y); see `IBPTraining` for both papers.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: its progress sets radius and weights, from 0 before the ramp to the final ones after it.

        Raises:
            ConfigError: a layer has no bound; it is named.
        """
        import torch.nn.functional as F

        options, progress = self.options, self.options.progress(batch.epochs_passed)
        kappa = 1 - (1 - options.kappa_end) * progress
        beta = 1 - (1 - options.beta_end) * progress
        if progress == 0.0:
            clean: Outputs = self.network(x)
            return F.cross_entropy(clean, y), clean
        margins, logits = self.margins(x, y, options.eps * progress, beta=beta)
        worst = F.cross_entropy(-margins, y)
        return kappa * F.cross_entropy(logits, y) + (1 - kappa) * worst, logits

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        """Tell which images (B,) the bounds certify at the full radius.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            rng: not used; bounds have no chance in them.
        """
        import torch

        del rng
        with torch.no_grad():
            margins, _ = self.margins(x, y, self.options.eps)
        others = margins.scatter(1, y[:, None], torch.inf)
        return others.amin(dim=1).detach() > 0
