"""PGD adversarial training for the WNLL head. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.pgd_training import PGDTraining, attacked_loss
from defenses.training.inner_attack import InnerAttack
from defenses.wnll.training import WNLLTraining
from robench.model.defense import DefenseInfo
from robench.papers import paper

if TYPE_CHECKING:
    from torch import nn

    from defenses.training.objective import BatchContext, Objective
    from defenses.wnll.stage import WNLLStage
    from robench.model.interface import Model
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class WNLLPGD(WNLLTraining, PGDTraining):
    """Like WNLL natural training, but each mini-batch is first attacked through the branch in training.

    Wang & Osher 2019 (arXiv:1907.06800), Algorithm 3: stage 1 attacks through the linear branch (Eq. 16),
    stage 2 through WNLL (Eq. 22), differentiated by Eq. 24 with the loss -log u_y; the template stays clean,
    and only the buffer is tuned. The defaults are those for CIFAR-10, as of
    `defenses.pgd_training.PGDTraining`, which has those for MNIST too. The paper does not give N and the
    length of stage 2 for this algorithm: those of Algorithm 1 are the defaults. Checkpoints are chosen by
    accuracy under the same attack on the held-out part, in WNLL stages through straight-through gradients of
    the independent protocol. The radius grows in the first stage only. The other options are those of
    `defenses.pgd_training.PGDTraining` and `defenses.wnll.options.WNLLOptions`.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="WNLL PGD adversarial training",
        paper="Wang & Osher 2019, arXiv:1907.06800, Algorithm 3",
        bibtex=paper("wang2019graph"),
    )
    epochs: int = 120
    learning_rate: float = 0.1
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "multistep"

    MILESTONES: ClassVar[tuple[float, ...]] = PGDTraining.MILESTONES
    GAMMA: ClassVar[float] = PGDTraining.GAMMA

    def linear_objective(self, network: nn.Module, classes: int) -> Objective:
        """Return the loss on images attacked through the linear branch."""
        return attacked_loss(self, network, classes)

    def graph_objective(self, stage: WNLLStage) -> Objective:
        """Return the loss on images attacked through WNLL."""
        return _AttackedInterpolation(self, stage)


@dataclass(frozen=True, slots=True)
class _AttackedInterpolation:
    adversarial: ClassVar[bool] = True
    options: WNLLPGD
    stage: WNLLStage

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean loss of attacked images at the WNLL output, and u (B, K) (Algorithm 3).

        Rows of u are on the simplex. The attack goes through the step's own template and the linear branch.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: the progress of the stage, and the randomness of these images.
        """
        model = self.stage.training_model(batch.rng)
        x_adv = self._inner(model).craft(x, y, batch.rng.split("attack"), self.options.eps)
        return self.stage.loss(model, x_adv, y)

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        """Tell which images (B,) withstand the attack on the model of `validation_model`, at the full radius.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            rng: randomness of these images.
        """
        assert self.stage.validator is not None  # the loop asked for the model first
        return self._inner(self.stage.validator).survives(x, y, rng, self.options.eps)

    def _inner(self, model: Model) -> InnerAttack:
        source = model.source("straight_through")
        return InnerAttack(model=model, norm=self.options.norm, attack=self.options.attack(), source=source)
