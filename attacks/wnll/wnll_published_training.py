"""The attack inside the authors' WNLL training code, for study: what its second stage was trained against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, positive
from attacks.shared.papers import WANG_OSHER
from robench.attack.protocol import AttackInfo

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class WNLLPublishedTraining:
    """IFGSM on the loss of the authors' training code, which re-orders rows (`attacks.wnll.published_rows`).

    Misclassified rows come first, scores of correct rows become exact one-hots, and the images keep their
    places: each image is moved by the gradient of another one. Otherwise as `wnll_published`. Do not read
    its number as robustness: it tells how adversarial the images were that a published WNLL head was
    trained on. (That code also overwrites its own label tensor with each step; that is not reproduced.)

    Attributes:
        steps: number of steps; the authors' code has 40 on MNIST.
        step_size: length of a step in input units; the authors' code has 0.01 on MNIST.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.wnll_published_training:WNLLPublishedTraining",
        title="IFGSM (published WNLL training)",
        paper="Wang & Osher 2019, arXiv:1907.06800; github.com/BaoWangMath/DNN-DataDependentActivation",
        bibtex=WANG_OSHER,
        norms=("Linf", "L2"),
        couples_images=True,
        own_source="published_training",
    )
    steps: int = 40
    step_size: float = 0.01

    def __post_init__(self) -> None:
        """Refuse options that mean nothing."""
        at_least(1, steps=self.steps)
        positive(step_size=self.step_size)

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return the last iterate; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, the goal targeted, or the model has neighbourhoods but no
                trained linear branch.
        """
        from attacks.wnll.published_protocol import climb_as_published
        from attacks.wnll.published_rows import training_rows
        from robench.model.interface import OutputKind

        del y, threat, rng  # the oracle holds the first two; nothing here is random
        return climb_as_published(
            oracle,
            x,
            steps=self.steps,
            step_size=self.step_size,
            pairing=training_rows,
            kind=OutputKind.LOGITS,
            perturb_template=True,
        )
