"""The published evaluation's attack on WNLL heads, for study: its number, beside the honest ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from attacks.shared.options import at_least, positive
from attacks.shared.papers import WANG_OSHER
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class WNLLPublished:
    """IFGSM as the authors' public code runs it against a WNLL head; not the paper's Eq. 22.

    It differs from `ifgsm` through `straight_through` in two things, which `loss` and `perturb_template`
    switch off one by one: cross-entropy takes u for logits, a softmax on top of a simplex point; and the
    template images are perturbed along, so that every gradient is that of another graph than the one that
    classifies in the end, when the template is clean again. What counts is the last point, not the best one
    met. With one step as long as the radius it is the published FGSM.

    A model without neighbourhoods is attacked by plain IFGSM with cross-entropy on its own outputs, as the
    authors attack its softmax twin. The goal is untargeted.

    Attributes:
        steps: number of steps; the authors' code has 40 on MNIST, 100 on CIFAR-10.
        step_size: length of a step in input units; the paper has 0.01 on MNIST, 1/255 on CIFAR-10.
        loss: `softmax_on_u`, as published, or `minus_log_u`.
        perturb_template: move the template along while the attack runs.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.wnll_published:WNLLPublished",
        title="IFGSM (published WNLL evaluation)",
        paper="Wang & Osher 2019, arXiv:1907.06800; github.com/BaoWangMath/DNN-DataDependentActivation",
        bibtex=WANG_OSHER,
        norms=("Linf", "L2"),
        own_source="published",
    )
    steps: int = 40
    step_size: float = 0.01
    loss: Literal["softmax_on_u", "minus_log_u"] = "softmax_on_u"
    perturb_template: bool = True

    def __post_init__(self) -> None:
        """Refuse options that mean nothing."""
        at_least(1, steps=self.steps)
        positive(step_size=self.step_size)
        if self.loss not in ("softmax_on_u", "minus_log_u"):
            raise ConfigError(where="loss", expected="`softmax_on_u` or `minus_log_u`", got=repr(self.loss))

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return the last iterate; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, the goal targeted, or the model has neighbourhoods but no
                trained linear branch.
        """
        from attacks.wnll.published_protocol import climb_as_published
        from attacks.wnll.published_rows import own_rows
        from robench.model.interface import OutputKind

        del y, threat, rng  # the oracle holds the first two; nothing here is random
        return climb_as_published(
            oracle,
            x,
            steps=self.steps,
            step_size=self.step_size,
            pairing=own_rows,
            kind=OutputKind.LOGITS if self.loss == "softmax_on_u" else OutputKind.SIMPLEX,
            perturb_template=self.perturb_template,
        )
