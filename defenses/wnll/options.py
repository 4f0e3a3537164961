"""The shared options of all WNLL trainings, and their values in each stage. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from defenses.option_checks import at_least_one, one_of, positive, require
from defenses.training.options import TrainingOptions

Options = TypeVar("Options", bound="WNLLOptions")


@dataclass(frozen=True, kw_only=True)  # no slots: it is mixed into classes that have some
class WNLLOptions(TrainingOptions):
    """How the WNLL stage is trained (Wang & Osher 2019, section 4).

    Attributes:
        passes: how often linear and WNLL stage alternate, the paper's N, at least 1.
        later_rate: factor on both learning rates after each pass; above 0.
        wnll_epochs: epochs of each WNLL stage, at least 1.
        wnll_learning_rate: its constant learning rate; above 0.
        wnll_batch_size: images interpolated at once, at least 1.
        template: template images that interpolate them, drawn anew for every step from the template half; all
            of it if it has fewer.
        m: neighbours of the graph, the point itself counted; at most `template`.
        n: the neighbour whose distance is the scale, 2 to m.
        surrogate: what Eq. 13 sends into the linear branch's Jacobian: `logits`: u - e_y, the derivative of
            the cross-entropy in logits at p = u, bounded; `simplex`: dL/du = -1/u_y on the label's score as
            it stands, unbounded where u_y is near 0 (set clip_norm).
    """

    passes: int = 2
    later_rate: float = 0.2
    wnll_epochs: int = 5
    wnll_learning_rate: float = 0.0005
    wnll_batch_size: int = 2000
    template: int = 2000
    m: int = 30
    n: int = 15
    surrogate: Literal["logits", "simplex"] = "logits"

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        super().__post_init__()
        at_least_one(
            passes=self.passes,
            wnll_epochs=self.wnll_epochs,
            wnll_batch_size=self.wnll_batch_size,
            template=self.template,
        )
        positive(later_rate=self.later_rate, wnll_learning_rate=self.wnll_learning_rate)
        require(2 <= self.n <= self.m, "n", f"from 2 to m ({self.m})", self.n)
        require(self.m <= self.template, "template", f"at least m ({self.m})", self.template)
        one_of("surrogate", self.surrogate, ("logits", "simplex"))

    def unlabelled_per_step(self) -> int:
        """Return how many unlabelled images join the graph of each step, at most."""
        return 0


def stage_options(options: Options, number: int) -> tuple[Options, Options]:
    """Return the options of the linear and of the WNLL stage of a pass, counted from 0."""
    factor = options.later_rate**number
    later: dict[str, Any] = {}
    if number and hasattr(options, "warmup_epochs"):
        later = {"warmup_epochs": 0.0}  # the network was already trained at the full radius
    first = replace(options, learning_rate=options.learning_rate * factor, **later)
    if hasattr(options, "warmup_epochs"):
        later = {"warmup_epochs": 0.0}
    second = replace(
        options,
        epochs=options.wnll_epochs,
        batch_size=options.wnll_batch_size,
        learning_rate=options.wnll_learning_rate * factor,
        schedule="constant",
        milestones=(),
        **later,
    )
    return first, second
