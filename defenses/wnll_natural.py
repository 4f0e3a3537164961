"""Natural training for the WNLL head: linear and WNLL stages in turn. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from defenses.natural import CleanLoss
from defenses.schedule import TrainingOptions
from defenses.wnll_options import WNLLOptions, alternate
from robench.defense import DefenseInfo, TrainingContext

if TYPE_CHECKING:
    from torch import Tensor, nn

    from defenses.objective import Moment
    from defenses.wnll_stage import WNLLStage
    from robench.data import ImageSet
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class WNLLNatural(WNLLOptions, TrainingOptions):
    """Stage 1 trains everything through the linear branch, stage 2 the buffer through WNLL; twice.

    Wang & Osher 2019 (arXiv:1907.06800), Algorithm 1 and section 4: N = 2 passes; 400 epochs at learning rate
    0.05, halved every 50; then 5 epochs at 0.0005 in batches of 2,000, one half of the data as template, the
    other interpolated, gradients by Eq. 13; the second pass at a fifth of the rates. `epochs`, `batch_size`,
    `learning_rate` and `schedule` are those of each linear stage. Each stage keeps its own best checkpoint:
    a linear stage by the linear branch, a WNLL stage by WNLL, each held-out image alone with a template. The
    result is that of the last WNLL stage. The other options are those of
    `defenses.schedule.TrainingOptions` and `defenses.wnll_options.WNLLOptions`.

    Raises:
        ConfigError: a value means nothing, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="WNLL natural training", paper="Wang & Osher 2019, arXiv:1907.06800, Algorithm 1"
    )

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        TrainingOptions.__post_init__(self)
        WNLLOptions.__post_init__(self)

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train `network` in place; see `robench.defense.Defense`.

        Raises:
            ConfigError: the network has no buffer layer or no linear branch.
            InputError: the template half misses a class or is smaller than m.
        """
        return alternate(
            network,
            data,
            options=self,
            context=context,
            linear=lambda _: CleanLoss(network),
            graph=lambda _, stage: _InterpolatedLoss(stage),
        )


@dataclass(frozen=True, slots=True)
class _InterpolatedLoss:
    stage: WNLLStage

    def loss(self, x: Images, y: Labels, moment: Moment) -> tuple[Tensor, Outputs]:
        return self.stage.loss(self.stage.training_model(moment.rng), x, y)

    def survives(self, x: Images, y: Labels, rng: Randomness) -> None:
        del x, y, rng
