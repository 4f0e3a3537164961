"""GMSA, the greedy model space attack on classifiers whose answer depends on the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from attacks.gradient.pgd import madry_step
from attacks.shared.options import at_least, finite_radius, positive
from attacks.shared.tries import StrongestPoints
from attacks.wnll.model_space import model_on, values_on
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.model.interface import GradientSource
    from robench.randomness import Randomness
    from robench.types import Images, Mask, PerSample


@dataclass(frozen=True, slots=True, kw_only=True)
class GMSA:
    """Raises the losses of all models that the defender had on the batches of earlier rounds, at once.

    Chen et al. 2022 (arXiv:2110.14735), section 5: a transductive classifier learns from the batch that it
    classifies, so an attacker who raises the loss of one of its models is judged by another one. In every
    round the model on the current batch joins the set, and PGD from a random point raises the average
    (GMSA-AVG) or, image by image, the minimum (GMSA-MIN) of the losses over the set. As in the authors' code
    each image keeps its highest value of a round. The proposal is the batch that broke the most images when
    it was evaluated as a whole; the first model is the one on the clean batch.

    Here the model on a batch U, for an image x, is the answer of the joint model to x while the others are
    as in U. To evaluate each image alone would need as many passes as images: instead the batch is divided
    into `groups`, drawn anew in each round; with as many groups as images it is exact.

    If the model classifies images alone, every round has the same model, and this is PGD from several points.

    Attributes:
        variant: `avg` or `min`.
        rounds: number of models in the set at the end.
        steps: steps of each round.
        step_size: length of a step in input units; by default 2.5 eps / steps.
        loss: `cross_entropy` or `margin`.
        groups: parts of the batch that move one after the other.
        merge: forward passes of the whole batch for a merge of all rounds' batches at the end, as in
            `graph_adaptive`; 0 for none.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="GMSA",
        paper="Chen et al. 2022, arXiv:2110.14735",
        bibtex=paper("chen2022towards"),
        norms=("Linf", "L2"),
        randomised=True,
    )
    variant: Literal["avg", "min"] = "avg"
    rounds: int = 5
    steps: int = 20
    step_size: float | None = None
    loss: Literal["cross_entropy", "margin"] = "cross_entropy"
    groups: int = 2
    merge: int = 0

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, rounds=self.rounds, steps=self.steps, groups=self.groups)
        at_least(0, merge=self.merge)
        positive(step_size=self.step_size)
        for name, value, choices in (
            ("variant", self.variant, ("avg", "min")),
            ("loss", self.loss, ("cross_entropy", "margin")),
        ):
            if value not in choices:
                expected = " or ".join(map(repr, choices))
                raise ConfigError(where=name, expected=expected, got=repr(value))

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the batch that broke the most, or each image's worst point; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        from robench.attack.losses import LOSSES
        from robench.model.interface import Coupling

        eps = finite_radius(oracle.threat.eps, "GMSA")
        step_size = madry_step(eps, self.steps) if self.step_size is None else self.step_size
        loss, worst, joint = (
            LOSSES[self.loss],
            StrongestPoints(oracle),
            oracle.model.coupling is Coupling.JOINT,
        )
        batches = [oracle.x]
        for number in range(self.rounds):
            if oracle.finished:
                break
            oracle.begin_try()
            stream = rng.split("round", number)
            moving = _groups(oracle.x, stream.split("groups"), self.groups) if joint else []
            start = oracle.threat.project(oracle.x, oracle.threat.sample(oracle.x, stream.split("start")))
            point = self._climb(oracle, start, loss, step_size, batches if joint else [], moving)
            worst.replace(point)
            batches.append(point)
        worst.merge(self.merge)
        return worst.points

    def _climb(
        self,
        oracle: Oracle,
        start: Images,
        loss: Loss,
        step_size: float,
        batches: Sequence[Images],
        moving: Sequence[Mask],
    ) -> Images:
        """Return, image by image, the point with the highest combined loss."""
        import torch

        from robench.attack.norms import per_image

        base, threat = oracle.source, oracle.threat
        assert base is not None  # set by the oracle
        models = [model_on(base, batch, moving, oracle.model.net) for batch in batches] or [base]
        point = best = start
        best_value = oracle.best_size.new_full((len(start),), -torch.inf)
        with oracle.ascent():
            for step in range(self.steps + 1):
                if oracle.finished:
                    break
                value, gradient = self._combined(oracle, models, loss, point)
                better = value > best_value
                best_value = torch.where(better, value, best_value)
                best = torch.where(per_image(better, point), point, best)
                if step < self.steps:
                    point = threat.project(oracle.x, point + step_size * threat.norm.ascent(gradient))
        return best

    def _combined(
        self, oracle: Oracle, models: Sequence[GradientSource], loss: Loss, point: Images
    ) -> tuple[PerSample, Images]:
        """Return the average or the minimum of the losses over the models, (B,), and its gradient."""
        import torch

        if self.variant == "avg" or len(models) == 1:
            answers = [oracle.value_and_gradient(loss, point, source=model) for model in models]
            values, gradients = zip(*answers, strict=True)
            return torch.stack(values).mean(0), torch.stack(gradients).mean(0)
        lowest, which = torch.stack([values_on(oracle, model, loss, point) for model in models]).min(0)
        total = torch.zeros_like(point)
        for number, model in enumerate(models):
            is_lowest = which == number
            if bool(is_lowest.any()):
                total += oracle.gradient(_masked(loss, is_lowest), point, source=model)
        return lowest, total


def _masked(loss: Loss, rows: Mask) -> Loss:
    """Return a loss that is zero for all images but these (B,) of a joint batch."""
    return lambda outputs, y, kind: loss(outputs, y, kind).where(rows, 0.0)


def _groups(x: Images, rng: Randomness, count: int) -> list[Mask]:
    """Return a random partition of the batch into `count` parts of nearly equal size, as masks (B,)."""
    import torch

    rank = rng.uniform(x[:, :1, :1, :1]).flatten().argsort().argsort()
    return [rank % count == number for number in range(min(count, len(x)))] or [torch.ones_like(rank) > 0]
