"""Attacks of torchattacks behind our contract.

torchattacks assumes images in [0, 1] and draws from the global generator, which is lent and restored. Its
restarts do not exist and are run by us.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from attacks.gradient.fgsm import FGSM
from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.pgd import PGD, madry_step
from attacks.minimal.cw import CW
from attacks.shared import papers
from attacks.shared.options import at_least, finite_radius, not_negative, positive
from attacks.shared.restarts import strongest
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from robench.attack.library_model import SurrogateModule
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images, Labels

LIBRARY = "torchattacks"


def installed() -> None:
    """Refuse to go on without torchattacks, before anything is run.

    Raises:
        PluginError: it is not installed; says how to install it and why robench does not.
    """
    if find_spec("torchattacks") is None:
        raise PluginError(
            expected="torchattacks 3.5.1 to be installed",
            got="no module of that name",
            do="Run `pip install --no-deps torchattacks==3.5.1`: its metadata pins a `requests` with known "
            "vulnerabilities that it never imports, so robench cannot depend on it",
        )


def run(
    make: Callable[[Any, SurrogateModule], Any],
    oracle: Oracle,
    x: Images,
    y: Labels,
    *,
    threat: ThreatModel,
    rng: Randomness,
    positive_scores: bool = False,
) -> Images:
    """Run a torchattacks attack on a batch and return its images.

    Args:
        make: takes the library and the module to attack, gives the attack.
        oracle: whose model and gradient source are attacked, and whose ledger is charged.
        x: clean images (B, C, H, W) in [0, 1].
        y: labels, or targets under a targeted goal, (B,).
        threat: gives the goal.
        rng: seeds the global generator.
        positive_scores: shift scores to be positive, see SurrogateModule.

    Raises:
        ConfigError: the box is not [0, 1], or there is a budget.
    """
    import torch
    import torchattacks

    from robench.attack.library_model import lent
    from robench.attack.threat import Goal
    from robench.model.interface import Coupling

    if threat.bounds != (0.0, 1.0):
        raise ConfigError(where="bounds", expected="(0, 1) for torchattacks", got=repr(threat.bounds))
    size = len(x) if oracle.model.coupling is Coupling.JOINT else oracle.batch_size
    with lent(oracle, rng, positive=positive_scores) as module:
        attack = make(torchattacks, module)
        if threat.goal is Goal.TARGETED:
            attack.set_mode_targeted_by_label(quiet=True)
        parts = zip(torch.split(x, max(size, 1)), torch.split(y, max(size, 1)), strict=True)
        found = [attack(images, labels).detach() for images, labels in parts]
    return torch.cat(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchattacksFGSM:
    """torchattacks' FGSM: one sign step as long as the radius."""

    info: ClassVar[AttackInfo] = AttackInfo(
        title="FGSM (torchattacks)",
        paper=FGSM.info.paper,
        bibtex=papers.together(FGSM.info.bibtex, papers.TORCHATTACKS),
        norms=("Linf",),
        library=LIBRARY,
    )

    def __post_init__(self) -> None:
        """Refuse to exist without the library."""
        installed()

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return the library's images; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, the box is not [0, 1], or there is a budget.
        """
        eps = finite_radius(threat.eps, "torchattacks' FGSM")
        return run(lambda library, m: library.FGSM(m, eps=eps), oracle, x, y, threat=threat, rng=rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchattacksIFGSM:
    """torchattacks' BIM: sign steps from the clean image.

    Attributes:
        steps: number of steps.
        step_size: length of a step in input units.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="IFGSM (torchattacks)",
        paper=IFGSM.info.paper,
        bibtex=papers.together(IFGSM.info.bibtex, papers.TORCHATTACKS),
        norms=("Linf",),
        library=LIBRARY,
    )
    steps: int = 40
    step_size: float = 0.01

    def __post_init__(self) -> None:
        """Refuse options that mean nothing, and to exist without the library."""
        installed()
        at_least(1, steps=self.steps)
        positive(step_size=self.step_size)

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return the library's images; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, the box is not [0, 1], or there is a budget.
        """
        eps = finite_radius(threat.eps, "torchattacks' BIM")

        def make(library: Any, module: SurrogateModule) -> Any:
            return library.BIM(module, eps=eps, alpha=self.step_size, steps=self.steps)

        return run(make, oracle, x, y, threat=threat, rng=rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchattacksPGD:
    """torchattacks' PGD under Linf, PGDL2 under L2.

    Attributes:
        steps: number of steps of each try.
        step_size: length of a step in input units; by default 2.5 eps / steps.
        restarts: number of tries; the one with the highest final loss is kept for each image.
        random_start: start at a random point of the ball.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="PGD (torchattacks)",
        paper=PGD.info.paper,
        bibtex=papers.together(PGD.info.bibtex, papers.TORCHATTACKS),
        norms=("Linf", "L2"),
        randomised=True,
        library=LIBRARY,
    )
    steps: int = 40
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True

    def __post_init__(self) -> None:
        """Refuse the options PGD refuses, and to exist without the library."""
        installed()
        PGD(
            steps=self.steps,
            step_size=self.step_size,
            restarts=self.restarts,
            random_start=self.random_start,
        )

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return the library's images of the strongest try; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, the box is not [0, 1], or there is a budget.
        """
        from robench.attack.losses import cross_entropy

        eps = finite_radius(threat.eps, "torchattacks' PGD")
        if eps == 0:  # PGDL2 divides 0 by 0 there
            return x.clone()
        options = {
            "eps": eps,
            "alpha": madry_step(eps, self.steps) if self.step_size is None else self.step_size,
            "steps": self.steps,
            "random_start": self.random_start,
        }

        def make(library: Any, module: SurrogateModule) -> Any:
            return (library.PGDL2 if threat.norm.name == "L2" else library.PGD)(module, **options)

        def attempt(restart: int) -> Images:
            return run(make, oracle, x, y, threat=threat, rng=rng.split("restart", restart))

        return strongest(oracle, self.restarts, attempt, cross_entropy)


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchattacksCW:
    """torchattacks' CW: Adam in tanh space with a fixed c.

    Three things to know: pixels that are exactly 0 or 1 never move; the batch stops as a whole when its
    summed cost rises; the last point is not looked at. Its formula takes scores for positive numbers, so it
    is given scores shifted to be positive, which makes it right for every head.

    Attributes:
        c: weight of the misclassification term.
        kappa: by how much the scores must favour the wrong class.
        steps: Adam steps.
        learning_rate: of Adam on w.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="C&W (torchattacks)",
        paper=CW.info.paper,
        bibtex=papers.together(CW.info.bibtex, papers.TORCHATTACKS),
        norms=("L2",),
        minimises=True,
        couples_images=True,
        library=LIBRARY,
    )
    c: float = 10.0
    kappa: float = 0.0
    steps: int = 50
    learning_rate: float = 0.006

    def __post_init__(self) -> None:
        """Refuse options that mean nothing, and to exist without the library."""
        installed()
        at_least(1, steps=self.steps)
        positive(c=self.c, learning_rate=self.learning_rate)
        not_negative(kappa=self.kappa)

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return the library's images; see `robench.attack.Attack`.

        Raises:
            ConfigError: the box is not [0, 1], or there is a budget.
        """

        def make(library: Any, module: SurrogateModule) -> Any:
            return library.CW(module, c=self.c, kappa=self.kappa, steps=self.steps, lr=self.learning_rate)

        found = run(make, oracle, x, y, threat=threat, rng=rng, positive_scores=True)
        return threat.project(x, found)  # it knows no radius and may have found a larger perturbation
