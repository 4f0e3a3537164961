"""The attacks of the published WNLL evaluation and training, for study: numbers beside the honest ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from attacks.shared.options import at_least, positive
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


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
        bibtex=paper("wang2019graph"),
        norms=("Linf", "L2"),
        own_source="published",
    )
    steps: int = 40
    step_size: float = 0.01
    loss: Literal["softmax_on_u", "minus_log_u"] = "softmax_on_u"
    perturb_template: bool = True

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps)
        positive(step_size=self.step_size)
        if self.loss not in ("softmax_on_u", "minus_log_u"):
            raise ConfigError(where="loss", expected="`softmax_on_u` or `minus_log_u`", got=repr(self.loss))

    def __call__(self, oracle: Oracle, _rng: Randomness) -> Images:
        """Return the last iterate; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, the goal targeted, or the model has neighbourhoods but no
                trained linear branch.
        """
        from attacks.wnll.published_protocol import climb_as_published, own_rows
        from robench.model.interface import OutputKind

        return climb_as_published(
            oracle,
            steps=self.steps,
            step_size=self.step_size,
            pairing=own_rows,
            kind=OutputKind.LOGITS if self.loss == "softmax_on_u" else OutputKind.SIMPLEX,
            perturb_template=self.perturb_template,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WNLLPublishedTraining:
    """IFGSM on the loss of the authors' training code, which re-orders rows (see `training_rows`).

    Misclassified rows come first, scores of correct rows become exact one-hots, and the images are not
    reordered: each image is moved by the gradient of another one. Otherwise as `wnll_published`. Its result
    is not a measure of robustness: it shows how adversarial the training images of a published WNLL head
    were. (That code also overwrites its own label tensor with each step; that is not reproduced.)

    Attributes:
        steps: number of steps; the authors' code has 40 on MNIST.
        step_size: length of a step in input units; the authors' code has 0.01 on MNIST.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.wnll_published_training:WNLLPublishedTraining",
        title="IFGSM (published WNLL training)",
        paper="Wang & Osher 2019, arXiv:1907.06800; github.com/BaoWangMath/DNN-DataDependentActivation",
        bibtex=paper("wang2019graph"),
        norms=("Linf", "L2"),
        couples_images=True,
        own_source="published_training",
    )
    steps: int = 40
    step_size: float = 0.01

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps)
        positive(step_size=self.step_size)

    def __call__(self, oracle: Oracle, _rng: Randomness) -> Images:
        """Return the last iterate; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, the goal targeted, or the model has neighbourhoods but no
                trained linear branch.
        """
        from attacks.wnll.published_protocol import climb_as_published, training_rows
        from robench.model.interface import OutputKind

        return climb_as_published(
            oracle,
            steps=self.steps,
            step_size=self.step_size,
            pairing=training_rows,
            kind=OutputKind.LOGITS,
            perturb_template=True,
        )
