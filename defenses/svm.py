"""A multi-class support vector machine on a network's features. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.natural import Natural
from defenses.option_checks import one_of, positive
from defenses.training.objective import BatchContext, CleanObjective
from robench.model.defense import DefenseInfo, TrainingContext
from robench.papers import paper

if TYPE_CHECKING:
    from torch import nn

    from robench.data.images import ImageSet
    from robench.types import Images, Labels, Outputs, Scalar

FORMS = ("crammer_singer", "weston_watkins", "one_vs_rest")


@dataclass(frozen=True, slots=True, kw_only=True)
class SVM(Natural):
    """A hinge loss on the scores of the linear layer, in place of cross-entropy.

    Tang 2013 (arXiv:1306.0239); Wang & Osher 2019, Table 3. The L2 penalty of an SVM is `weight_decay`, here
    on the whole network. Wang & Osher do not specify the hinge; the default is Crammer and Singer's. Tang's
    DLSVM (equation 5, section 2.2) is `form: one_vs_rest, squared: true`. The network's outputs are scores,
    their order gives the prediction, and their softmax is not a probability. The other options are those of
    `defenses.natural.Natural`, with the same defaults, as in Wang & Osher's comparison; Tang trains a
    perceptron on MNIST for 400 epochs in batches of 200, the rate falling linearly from 0.1 to 0. The
    checkpoint is chosen by natural accuracy.

    Attributes:
        form: `crammer_singer`: max(0, m + max_{c != y} s_c - s_y) (Crammer & Singer 2001);
            `weston_watkins`: sum_{c != y} max(0, m + s_c - s_y) (Weston & Watkins 1999);
            `one_vs_rest`: sum_c max(0, m - t_c s_c) with t_y = 1 and t_c = -1 elsewhere.
        margin: the m above; above 0.
        squared: whether each max is squared (L2-SVM in Tang's words).

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="SVM head", paper="Tang 2013, arXiv:1306.0239", bibtex=paper("tang2013deep")
    )
    form: Literal["crammer_singer", "weston_watkins", "one_vs_rest"] = "crammer_singer"
    margin: float = 1.0
    squared: bool = False

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        Natural.__post_init__(self)
        one_of("form", self.form, FORMS)
        positive(margin=self.margin)

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train a network, images (B, C, H, W) to logits (B, K), in place; see `robench.model.Defense`."""
        from defenses.training.loop import train

        return train(network, data, _HingeLoss(network, self), options=self, context=context)


@dataclass(frozen=True, slots=True)
class _HingeLoss(CleanObjective):
    network: nn.Module
    options: SVM

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean hinge loss, at least 0, and the scores (B, K) of the images; see `hinge`.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: not used; the loss is the same in every epoch.
        """
        del batch
        scores: Outputs = self.network(x)
        options = self.options
        return hinge(scores, y, form=options.form, margin=options.margin, squared=options.squared), scores


def hinge(scores: Outputs, y: Labels, *, form: str, margin: float, squared: bool) -> Scalar:
    """Return the mean multi-class hinge loss, a scalar of at least 0.

    Args:
        scores: outputs (B, K) of the network, of any size.
        y: labels (B,), from 0 to K - 1.
        form: `crammer_singer`, `weston_watkins` or `one_vs_rest`; see `SVM`.
        margin: the lead below which a class costs, above 0.
        squared: whether each cost is squared before the sum.
    """
    import torch

    own = y[:, None]
    if form == "one_vs_rest":
        sign = torch.full_like(scores, -1.0).scatter(1, own, 1.0)
        short = margin - sign * scores
    else:
        short = (margin + scores - scores.gather(1, own)).scatter(1, own, 0.0)
        if form == "crammer_singer":
            short = short.amax(dim=1, keepdim=True)
    short = short.clamp_min(0)
    return (short.square() if squared else short).sum(dim=1).mean()
