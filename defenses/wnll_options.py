"""The options of both WNLL trainings and the plan of stages they share. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from defenses.schedule import TrainingOptions, one_of, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from defenses.objective import Objective
    from defenses.wnll_stage import WNLLStage
    from robench.data import ImageSet
    from robench.defense import TrainingContext


@dataclass(frozen=True, kw_only=True)  # no slots: it is mixed into classes that have some
class WNLLOptions:
    """How the WNLL stage is trained (Wang & Osher 2019, section 4).

    Attributes:
        passes: how often linear and WNLL stage alternate, the paper's N.
        later_rate: factor on both learning rates after each pass.
        wnll_epochs: epochs of each WNLL stage.
        wnll_learning_rate: its constant learning rate.
        wnll_batch_size: images interpolated at once.
        template: template images that interpolate them, drawn anew for every step from the template half; all
            of it if it has fewer.
        m: neighbours of the graph, the point itself counted.
        n: the neighbour whose distance is the scale.
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
        for name in ("passes", "wnll_epochs", "wnll_batch_size", "template"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("later_rate", "wnll_learning_rate"):
            require(0 < getattr(self, name) < float("inf"), name, "a positive number", getattr(self, name))
        require(2 <= self.n <= self.m, "n", f"from 2 to m ({self.m})", self.n)
        one_of("surrogate", self.surrogate, ("logits", "simplex"))


def alternate(
    network: nn.Module,
    data: ImageSet,
    *,
    options: Any,
    context: TrainingContext,
    linear: Callable[[Any], Objective],
    graph: Callable[[Any, WNLLStage], Objective],
) -> list[dict[str, float]]:
    """Alternate linear and WNLL stages (Wang & Osher 2019, Algorithms 1 and 3) and return the history.

    Args:
        network: features, buffer and linear branch.
        data: the training split or a subset of it.
        options: a `TrainingOptions` that is a `WNLLOptions` too.
        context: seed, device, state file, progress.
        linear: options of a stage to the objective of the linear stage.
        graph: options of a stage and the halves it works on to the objective of the WNLL stage.
    """
    from defenses.objective import Stage
    from defenses.split import halves, split
    from defenses.training import train_stages
    from defenses.wnll_stage import WNLLStage, buffer_of

    buffer = buffer_of(network)
    learner, held_out = split(data, options.validation, context.seed)
    stages = []
    for number in range(options.passes):
        first, second = stage_options(options, number)
        training, template = halves(learner, context.seed, number)
        setting = WNLLStage(network, template, options=second, context=context)
        objective = graph(second, setting)
        stages += [
            Stage(network=network, objective=linear(first), options=first, learner=learner),
            Stage(
                network=network,
                objective=objective,
                options=second,
                learner=training,
                parameters=buffer,
                classifier=setting.judge,
            ),
        ]
    return train_stages(
        stages, network=network, data=data, held_out=held_out, options=options, context=context
    )


def stage_options(options: Any, number: int) -> tuple[Any, Any]:
    """Return the options of the linear and of the WNLL stage of a pass, counted from 0."""
    factor = options.later_rate**number
    later: dict[str, Any] = {}
    if number and hasattr(options, "warmup_epochs"):
        later = {"warmup_epochs": 0.0}  # the network knows the full radius by now
    first = replace(options, learning_rate=options.learning_rate * factor, **later)
    if hasattr(options, "warmup_epochs"):
        later = {"warmup_epochs": 0.0}
    second: TrainingOptions = replace(
        options,
        epochs=options.wnll_epochs,
        batch_size=options.wnll_batch_size,
        learning_rate=options.wnll_learning_rate * factor,
        schedule="constant",
        milestones=(),
        **later,
    )
    return first, second
