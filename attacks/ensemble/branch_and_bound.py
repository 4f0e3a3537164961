"""Branch and bound as an attack: gradients start, and integer programmes look, where bounds are weakest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, finite_radius, positive
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.model.interface import Model
    from robench.randomness import Randomness
    from robench.types import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchAndBoundAttack:
    """Split the ball by the signs of ReLUs, worst part first, and attack from the minimiser of its bound.

    BaB-Attack (Zhang et al. 2022, arXiv:2206.06589), on the bounds of beta-CROWN (Wang et al. 2021,
    arXiv:2103.06624). First gradients from many random points; then parts of the ball in the order of their
    bounds, whose minimisers are starts for short ascents; under Linf the best points so far are improved by
    integer programmes (HiGHS) over the few ReLUs that switch nearby. It stops at an image as soon as one is
    broken or certified.

    It reads the network's layers, so it attacks what `robench.bounds` can bound, networks of linear layers
    and rectifiers, and refuses others by the name of the layer. It runs on the CPU, an image at a time.

    Attributes:
        seconds: most seconds per image; None for no such limit. Results within a time limit depend on the
            machine.
        domains: most parts of the ball bounded for an image; None for no such limit. With `seconds: null` a
            run is the same each time.
        restarts: random starts beside each batch of parts; eight times as many at the beginning.
        minimisers: starts in each batch at minimisers of bounds.
        polish: after how many batches the best point is improved by integer programming, under Linf; None
            for never.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="Branch and bound",
        paper="Zhang et al. 2022, arXiv:2206.06589; Wang et al. 2021, arXiv:2103.06624 (bounds)",
        bibtex=paper("zhang2022branch", "wang2021beta"),
        norms=("Linf", "L2", "L1"),
        randomised=True,
        goals=("untargeted",),
        layers=True,
        rectifiers=True,
    )
    seconds: float | None = 60.0
    domains: int | None = None
    restarts: int = 48
    minimisers: int = 16
    polish: int | None = 16

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        positive(seconds=self.seconds)
        if self.seconds is None and self.domains is None:
            expected, do = "a limit for an image: seconds or domains", "Write {seconds: 60}"
            raise ConfigError(where="seconds", expected=expected, got="neither", do=do)
        at_least(0, restarts=self.restarts, minimisers=self.minimisers)
        for name, value in (("domains", self.domains), ("polish", self.polish)):
            if value is not None:
                at_least(1, **{name: value})

    def check_model(self, model: Model, threat: ThreatModel, shape: tuple[int, ...]) -> None:
        """Refuse a model whose network cannot be bounded, before any work.

        Args:
            model: the model.
            threat: norm and radius.
            shape: (C, H, W) of its images.

        Raises:
            ConfigError: names the layer, or the part of the threat without bounds.
        """
        from robench.bounds import Certifier

        if threat.budget is not None:
            expected, do = "no budget of passes for branch and bound", "Limit it by seconds or domains"
            raise ConfigError(where="budget", expected=expected, got=str(threat.budget), do=do)
        Certifier(model, threat, shape)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return each image's adversarial point, or the point with the smallest margin that gradients found.

        Raises:
            ConfigError: the network cannot be bounded, or the radius is infinite, or there is a budget.
        """
        from robench.bounds import Budget, Certifier, outcomes_of
        from robench.randomness import seed_from

        finite_radius(oracle.threat.eps, "branch and bound")
        x = oracle.x
        self.check_model(oracle.model, oracle.threat, tuple(x.shape[1:]))
        rows = oracle.active.nonzero().squeeze(1)
        if not len(rows):
            return x.clone()
        certifier = Certifier(oracle.model, oracle.threat, tuple(x.shape[1:]))
        images, labels = certifier.checked(x[rows], oracle.y[rows])
        budget = Budget(
            seconds=self.seconds,
            domains=self.domains,
            restarts=self.restarts,
            attacked=self.minimisers,
            polish=self.polish,
        )
        # Random numbers for an image depend on the image and this seed alone.
        outcomes = outcomes_of(
            certifier, images, labels, budget, seed=seed_from(rng.seed, *rng.stream, "branch and bound")
        )
        points = x.clone()
        for row, outcome in zip(rows, outcomes, strict=True):
            oracle.ledger.book(row[None], forwards=outcome.forwards, backwards=outcome.backwards)
            point = outcome.x_adv if outcome.x_adv is not None else outcome.closest
            if point is not None:
                points[row] = point.to(points)
        oracle.outputs(points)
        return points
