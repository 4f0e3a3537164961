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
    """Trains in linear and WNLL stages in turn; on clean images, unless a subclass says otherwise.

    Images without a label are never trained on: they only join the graphs of the WNLL stages,
    `unlabelled_per_step` of them per step.
    """

    epochs: int = 400
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "multistep"

    MILESTONES: ClassVar[tuple[float, ...]] = Natural.MILESTONES
    GAMMA: ClassVar[float] = Natural.GAMMA

    def linear_objective(self, network: nn.Module, classes: int) -> Objective:
        """Return the objective of a linear stage; `self` are the options of that stage."""
        del classes
        return CleanLoss(network)

    def graph_objective(self, stage: WNLLStage) -> Objective:
        """Return the objective of a WNLL stage; `self` are the options of that stage."""
        from defenses.wnll.stage import InterpolatedLoss

        return InterpolatedLoss(stage)

    def check(self, data: ImageSet, *, seed: int) -> None:
        """Refuse data that one of the stages cannot use, before the first stage starts.

        Args:
            data: the training split or a subset of it, images (N, C, H, W).
            seed: seed of the training.

        Raises:
            InputError: a class has no labelled image, a template half is smaller than m, or there is no
                unlabelled image although the training needs some.
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
        training_set, _ = split(data, self.validation, seed)
        for number in range(self.passes):
            _, template = halves(training_set.labelled(), seed, number)
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
        """Train a network, images (B, C, H, W) to logits (B, K), in place; see `robench.model.Defense`.

        Raises:
            ConfigError: the network has no buffer layer or no linear branch.
            InputError: see `check`.
        """
        from defenses.training.loop import train_stages
        from defenses.training.objective import Stage
        from defenses.training.split import halves, joined, split
        from defenses.wnll.backbone import BackboneCache
        from defenses.wnll.stage import WNLLStage, buffer_parameters

        buffer = buffer_parameters(network)
        self.check(data, seed=context.seed)
        training_set, validation_set = split(data, self.validation, context.seed)
        with_labels, without_labels = training_set.labelled(), training_set.unlabelled()
        cache = BackboneCache(network, context.device)
        stages = []
        for number in range(self.passes):
            first, second = stage_options(self, number)
            half, template = halves(with_labels, context.seed, number)
            wnll_stage = WNLLStage(
                network,
                joined(template, without_labels),
                options=second,
                context=context,
                training_set=half,
                cache=cache,
            )
            linear = first.linear_objective(network, len(data.classes))
            stages += [
                Stage(network=network, objective=linear, options=first, training_set=with_labels),
                Stage(
                    network=network,
                    objective=second.graph_objective(wnll_stage),
                    options=second,
                    training_set=half,
                    parameters=buffer,
                    classifier=wnll_stage.validation_model,
                ),
            ]
        return train_stages(
            stages, network=network, data=data, validation_set=validation_set, options=self, context=context
        )
