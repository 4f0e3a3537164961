"""Attacks of foolbox behind our contract; foolbox is optional: `pip install foolbox`.

foolbox is given the labels, a plain module around any head and gradient source, and the radius; what it says
of success is ignored. It draws from the global generators, which are lent and restored.
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
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images, Labels

LIBRARY = "foolbox"


def installed() -> None:
    """Refuse to go on without foolbox, before anything is run.

    Raises:
        PluginError: it is not installed; says how to install it.
    """
    if find_spec("foolbox") is None:
        do = "Run `pip install foolbox`, or use robench's own attack"
        raise PluginError(expected="foolbox to be installed", got="no module of that name", do=do)


def run(
    make: Callable[[Any], Any],
    oracle: Oracle,
    x: Images,
    y: Labels,
    *,
    threat: ThreatModel,
    rng: Randomness,
    eps: float | None,
) -> Images:
    """Run a foolbox attack on a batch and return its images.

    Args:
        make: takes `foolbox.attacks`, gives the attack.
        oracle: whose model and gradient source are attacked, and whose ledger is charged.
        x: clean images (B, C, H, W) inside the box.
        y: labels, or targets under a targeted goal, (B,).
        threat: gives box and goal.
        rng: seeds the global generators.
        eps: radius; None for attacks that minimise.

    Raises:
        ConfigError: there is a budget.
    """
    import foolbox
    import torch

    from robench.attack.library_model import lent
    from robench.attack.threat import Goal
    from robench.model.interface import Coupling

    size = len(x) if oracle.model.coupling is Coupling.JOINT else oracle.batch_size
    with lent(oracle, rng) as module:
        module.training = False  # the flag foolbox looks at; the network itself is in eval mode
        wrapped = foolbox.PyTorchModel(module, bounds=threat.bounds, device=x.device)
        attack = make(foolbox.attacks)
        targeted = threat.goal is Goal.TARGETED
        criterion = foolbox.TargetedMisclassification if targeted else foolbox.Misclassification
        parts = zip(torch.split(x, max(size, 1)), torch.split(y, max(size, 1)), strict=True)
        options = {} if eps is None else {"epsilon": eps}
        found = [attack.run(wrapped, images, criterion(labels), **options) for images, labels in parts]
    return torch.cat(found).detach()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoolboxFGSM:
    """foolbox's FGSM and FGM: one step as long as the radius; untargeted only."""

    info: ClassVar[AttackInfo] = AttackInfo(
        title="FGSM (foolbox)",
        paper=FGSM.info.paper,
        bibtex=papers.together(FGSM.info.bibtex, papers.FOOLBOX),
        norms=("Linf", "L2"),
        library=LIBRARY,
    )

    def __post_init__(self) -> None:
        """Refuse to exist without the library."""
        installed()

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return foolbox's images; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, the goal is targeted, or there is a budget.
        """
        from robench.attack.threat import Goal

        eps = finite_radius(threat.eps, "foolbox's FGSM")
        if threat.goal is Goal.TARGETED:
            do = "Use fgsm, art/fgsm or foolbox/pgd"
            raise ConfigError(where="goal", expected="untargeted for foolbox's FGSM", got="targeted", do=do)

        def make(library: Any) -> Any:
            return (library.FGM if threat.norm.name == "L2" else library.FGSM)(random_start=False)

        return run(make, oracle, x, y, threat=threat, rng=rng, eps=eps)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoolboxIFGSM:
    """foolbox's LinfBasicIterativeAttack: sign steps from the clean image.

    Attributes:
        steps: number of steps.
        step_size: length of a step in input units.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="IFGSM (foolbox)",
        paper=IFGSM.info.paper,
        bibtex=papers.together(IFGSM.info.bibtex, papers.FOOLBOX),
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
        """Return foolbox's images; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, or there is a budget.
        """
        eps = finite_radius(threat.eps, "foolbox's IFGSM")

        def make(library: Any) -> Any:
            return library.LinfBasicIterativeAttack(
                abs_stepsize=self.step_size, steps=self.steps, random_start=False
            )

        return run(make, oracle, x, y, threat=threat, rng=rng, eps=eps)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoolboxPGD:
    """foolbox's LinfPGD and L2PGD.

    Attributes:
        steps: number of steps of each try.
        step_size: length of a step in input units; by default 2.5 eps / steps.
        restarts: number of tries; the one with the highest final loss is kept for each image.
        random_start: start at a random point of the ball.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="PGD (foolbox)",
        paper=PGD.info.paper,
        bibtex=papers.together(PGD.info.bibtex, papers.FOOLBOX),
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
        """Return foolbox's images of the strongest try; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, or there is a budget.
        """
        from robench.attack.losses import cross_entropy

        eps = finite_radius(threat.eps, "foolbox's PGD")
        step = madry_step(eps, self.steps) if self.step_size is None else self.step_size

        def make(library: Any) -> Any:
            attack = library.L2PGD if threat.norm.name == "L2" else library.LinfPGD
            return attack(abs_stepsize=step, steps=self.steps, random_start=self.random_start)

        def attempt(restart: int) -> Images:
            streams = rng.split("restart", restart)
            return run(make, oracle, x, y, threat=threat, rng=streams, eps=eps)

        return strongest(oracle, self.restarts, attempt, cross_entropy)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoolboxCW:
    """foolbox's L2CarliniWagnerAttack with one constant, as the other versions here: no binary search.

    Attributes:
        c: weight of the misclassification term.
        kappa: by how much the scores must favour the wrong class.
        steps: Adam steps.
        learning_rate: of Adam on w.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="C&W (foolbox)",
        paper=CW.info.paper,
        bibtex=papers.together(CW.info.bibtex, papers.FOOLBOX),
        norms=("L2",),
        minimises=True,
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
        """Return foolbox's images; see `robench.attack.Attack`.

        Raises:
            ConfigError: there is a budget.
        """

        def make(library: Any) -> Any:
            return library.L2CarliniWagnerAttack(
                binary_search_steps=1,
                steps=self.steps,
                stepsize=self.learning_rate,
                confidence=self.kappa,
                initial_const=self.c,
                abort_early=False,
            )

        found = run(make, oracle, x, y, threat=threat, rng=rng, eps=None)
        return threat.project(x, found)  # it knows no radius and may have found a larger perturbation
