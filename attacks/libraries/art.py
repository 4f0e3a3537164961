"""Attacks of the Adversarial Robustness Toolbox (ART) behind our contract.

ART is given the labels always (it would attack its own predictions otherwise), the whole batch, and a
`PyTorchClassifier` around any head and gradient source. What it says of success is ignored. Restarts are
run by us, for ART keeps a restart by whether the prediction changed, not by whether it is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from attacks.gradient.fgsm import FGSM
from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.pgd import PGD, madry_step
from attacks.libraries.art_bridge import evade
from attacks.minimal.cw import CW
from attacks.shared import papers
from attacks.shared.options import at_least, finite_radius, not_negative, positive
from attacks.shared.restarts import strongest
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images, Labels

LIBRARY = "adversarial-robustness-toolbox"
ART_PAPER = "Nicolae et al. 2018, arXiv:1807.01069"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtFGSM:
    """ART's FastGradientMethod: one step as long as the radius, no random start."""

    info: ClassVar[AttackInfo] = AttackInfo(
        title="FGSM (ART)",
        paper=FGSM.info.paper,
        bibtex=papers.together(FGSM.info.bibtex, papers.ART),
        norms=("Linf", "L2"),
        library=LIBRARY,
    )

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return ART's images; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, or there is a budget.
        """
        eps = finite_radius(threat.eps, "ART's FGSM")
        return evade("FastGradientMethod", oracle, x, y, threat=threat, rng=rng, eps_step=eps)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtIFGSM:
    """ART's BasicIterativeMethod: sign steps from the clean image.

    Attributes:
        steps: number of steps.
        step_size: length of a step in input units.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="IFGSM (ART)",
        paper=IFGSM.info.paper,
        bibtex=papers.together(IFGSM.info.bibtex, papers.ART),
        norms=("Linf",),
        library=LIBRARY,
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
        """Return ART's images; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, or there is a budget.
        """
        finite_radius(threat.eps, "ART's IFGSM")
        options = {"max_iter": self.steps, "eps_step": self.step_size}
        return evade("BasicIterativeMethod", oracle, x, y, threat=threat, rng=rng, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtPGD:
    """ART's ProjectedGradientDescentPyTorch.

    Attributes:
        steps: number of steps of each try.
        step_size: length of a step in input units; by default 2.5 eps / steps.
        restarts: number of tries; the one with the highest final loss is kept for each image.
        random_start: start at a random point of the ball.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="PGD (ART)",
        paper=PGD.info.paper,
        bibtex=papers.together(PGD.info.bibtex, papers.ART),
        norms=("Linf", "L2"),
        randomised=True,
        library=LIBRARY,
    )
    steps: int = 40
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True

    def __post_init__(self) -> None:
        """Refuse the options PGD refuses."""
        PGD(
            steps=self.steps,
            step_size=self.step_size,
            restarts=self.restarts,
            random_start=self.random_start,
        )

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return ART's images of the strongest try; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, or there is a budget.
        """
        from robench.attack.losses import cross_entropy

        eps = finite_radius(threat.eps, "ART's PGD")
        options: dict[str, Any] = {
            "max_iter": self.steps,
            "eps_step": madry_step(eps, self.steps) if self.step_size is None else self.step_size,
            "num_random_init": int(self.random_start),
        }

        def attempt(restart: int) -> Images:
            streams = rng.split("restart", restart)
            name = "ProjectedGradientDescentPyTorch"
            return evade(name, oracle, x, y, threat=threat, rng=streams, **options)

        return strongest(oracle, self.restarts, attempt, cross_entropy)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtCW:
    """ART's CarliniL2Method: gradient descent with a line search in tanh space.

    Two things to know: pixels that are exactly 0 or 1 hardly move, and its binary search stops refining c
    after the first success.

    Attributes:
        c: weight of the misclassification term; where binary_search_steps > 1, its first value.
        kappa: by how much the scores must favour the wrong class.
        steps: steps for each value of c.
        learning_rate: first step size of each line search.
        binary_search_steps: values of c tried per image.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="C&W (ART)",
        paper=CW.info.paper,
        bibtex=papers.together(CW.info.bibtex, papers.ART),
        norms=("L2",),
        minimises=True,
        library=LIBRARY,
    )
    c: float = 10.0
    kappa: float = 0.0
    steps: int = 50
    learning_rate: float = 0.006
    binary_search_steps: int = 1

    def __post_init__(self) -> None:
        """Refuse options that mean nothing."""
        at_least(1, steps=self.steps, binary_search_steps=self.binary_search_steps)
        positive(c=self.c, learning_rate=self.learning_rate)
        not_negative(kappa=self.kappa)

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return ART's images; see `robench.attack.Attack`.

        Raises:
            ConfigError: there is a budget.
        """
        options = {
            "initial_const": self.c,
            "confidence": self.kappa,
            "max_iter": self.steps,
            "learning_rate": self.learning_rate,
            "binary_search_steps": self.binary_search_steps,
        }
        return evade("CarliniL2Method", oracle, x, y, threat=threat, rng=rng, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtEvasion:
    """Any evasion attack of ART, by the name of its class.

    Norm, radius and goal come from the threat model; where ART's attack takes a step size and none is given,
    it is 2 eps for the Auto family (Croce & Hein 2020) and 2.5 eps / max_iter otherwise.

    Attributes:
        attack: the class, such as `DeepFool`, `SquareAttack`, `HopSkipJump`.
        options: its own options, under ART's names.
    """

    # Whether the chosen attack minimises is not known before ART is imported; saying so lets it run under an
    # infinite radius, and those that need a radius refuse that themselves.
    info: ClassVar[AttackInfo] = AttackInfo(
        title="ART",
        paper=ART_PAPER,
        bibtex=papers.ART,
        norms=("Linf", "L2"),
        randomised=True,
        minimises=True,
        library=LIBRARY,
    )
    attack: str
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse options the threat model decides."""
        for name in sorted({"eps", "norm", "targeted"} & set(self.options)):
            raise ConfigError(
                where=f"options.{name}",
                expected="options the threat model does not decide",
                got=repr(self.options[name]),
                do=f"Leave {name!r} to the threat",
            )

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return ART's images; see `robench.attack.Attack`.

        Raises:
            ConfigError: ART has no such attack, the attack no such option, it cannot play under this threat
                (goal, radius, budget), or it cannot attack a PyTorch classifier.
        """
        return evade(self.attack, oracle, x, y, threat=threat, rng=rng, **self.options)
