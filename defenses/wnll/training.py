"""The alternation of linear and WNLL stages (Wang & Osher 2019, Algorithms 1 and 3). No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.natural import CleanLoss, Natural
from defenses.wnll.options import WNLLOptions, stage_options
from robench.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from defenses.training.objective import Objective
    from defenses.wnll.stage import WNLLStage
    from robench.data.images import ImageSet
    from robench.model.defense import TrainingContext


@dataclass(frozen=True, kw_only=True)  # no slots: it is mixed into classes that have some
class WNLLTraining(WNLLOptions):
    """Trains on clean images, unless a subclass says otherwise.

    Images without a label, where there are any, are never learned from: they only join the graphs of the WNLL
    stages, as many of them per step as `unlabelled_per_step` says.
    """

    epochs: int = 400
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "multistep"

    MILESTONES: ClassVar[tuple[float, ...]] = Natural.MILESTONES
    GAMMA: ClassVar[float] = Natural.GAMMA

    def linear_objective(self, network: nn.Module, classes: int) -> Objective:
        """Return what a linear stage minimises; `self` are the options of that stage."""
        del classes
        return CleanLoss(network)

    def graph_objective(self, stage: WNLLStage) -> Objective:
        """Return what a WNLL stage minimises; `self` are the options of that stage."""
        from defenses.wnll.stage import InterpolatedLoss

        return InterpolatedLoss(stage)

    def unlabelled_per_step(self) -> int:
        """Return how many unlabelled images join the graph of each step, at most."""
        return 0

    def check(self, data: ImageSet, *, seed: int) -> None:
        """Refuse data that one of the stages could not be trained on, before the first of them starts.

        Args:
            data: the training split or a subset of it.
            seed: that of the training.

        Raises:
            InputError: a class has no labelled image, a template half is smaller than m, or there is no
                unlabelled image where some are wanted.
        """
        from defenses.training.split import halves, split
        from robench.data.images import check_coverage

        check_coverage(data, where="WNLL training")
        if self.unlabelled_per_step() and not len(data.unlabelled()):
            raise InputError(
                where="WNLL training",
                expected="images without a label",
                got=f"{len(data)} images, all with one",
                do="Set `labelled` in the training data below its `limit`, or use `wnll_natural`",
            )
        learner, _ = split(data, self.validation, seed)
        for number in range(self.passes):
            _, template = halves(learner.labelled(), seed, number)
            check_coverage(template, where=f"template half of pass {number + 1}")
            if len(template) < self.m:
                raise InputError(
                    where="WNLL training",
                    expected=f"a template half of at least m = {self.m} images",
                    got=f"{len(template)}",
                    do="Lower `m`, or train on more labelled images",
                )

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train `network` in place; see `robench.model.Defense`.

        Raises:
            ConfigError: the network has no buffer layer or no linear branch.
            InputError: see `check`.
        """
        from defenses.training.loop import train_stages
        from defenses.training.objective import Stage
        from defenses.training.split import halves, joined, split
        from defenses.wnll.frozen import FrozenOutputs
        from defenses.wnll.stage import WNLLStage, buffer_of

        buffer = buffer_of(network)
        self.check(data, seed=context.seed)
        learner, held_out = split(data, self.validation, context.seed)
        labelled, unlabelled = learner.labelled(), learner.unlabelled()
        frozen = FrozenOutputs(network, context.device)
        stages = []
        for number in range(self.passes):
            first, second = stage_options(self, number)
            training, template = halves(labelled, context.seed, number)
            setting = WNLLStage(
                network,
                joined(template, unlabelled),
                options=second,
                context=context,
                learner=training,
                frozen=frozen,
            )
            linear = first.linear_objective(network, len(data.classes))
            stages += [
                Stage(network=network, objective=linear, options=first, learner=labelled),
                Stage(
                    network=network,
                    objective=second.graph_objective(setting),
                    options=second,
                    learner=training,
                    parameters=buffer,
                    classifier=setting.judge,
                ),
            ]
        return train_stages(
            stages, network=network, data=data, held_out=held_out, options=self, context=context
        )
