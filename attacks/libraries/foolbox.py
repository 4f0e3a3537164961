"""Attacks of foolbox behind our contract; foolbox is optional: `pip install foolbox`.

foolbox is given the labels, a plain module around any head and gradient source, and the radius; what it says
of success is ignored. It draws from the global generators, which are lent and restored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attacks.gradient.fgsm import FGSM
from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.pgd import PGD
from attacks.libraries.adapter import accepted, attack_classes, in_parts, step_of
from attacks.libraries.catalogue import LibraryCatalogue
from attacks.libraries.rows import CW_OPTIONS, PGD_OPTIONS, STEP_SIZE, STEPS, Arguments, Library, Row
from attacks.minimal.cw import CW
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


def run(oracle: Oracle, rng: Randomness, row: Row, arguments: Arguments, eps: float | None) -> Images:
    """Run a foolbox attack on a batch and return its images.

    Args:
        oracle: whose model and gradient source are attacked, and whose ledger is charged.
        rng: seeds the global generators.
        row: names the class in `foolbox.attacks`.
        arguments: what it is made with.
        eps: radius; None for attacks that minimise, whose images are projected: they know no radius and may
            have found a larger perturbation.

    Raises:
        ConfigError: there is a budget.
        JobError: foolbox raised an error of its own.
    """
    from robench.attack.library_model import imported, lent
    from robench.attack.threat import Goal

    foolbox = imported("foolbox")
    x, threat = oracle.x, oracle.threat
    radius = {} if eps is None else {"epsilon": eps}
    with lent(oracle, rng, form=row.form, ascends=row.ascends, name=row.label) as module:
        module.training = False  # the flag foolbox looks at; the network itself is in eval mode
        their_model = foolbox.PyTorchModel(module, bounds=threat.bounds, device=x.device)
        kind = getattr(foolbox.attacks, row.theirs[threat.norm.name])
        further = accepted(kind, {"distance": _DISTANCES[threat.norm.name]})
        distance = {name: getattr(foolbox.distances, value) for name, value in further.items()}
        attack = kind(**arguments, **distance)
        targeted = threat.goal is Goal.TARGETED
        criterion = foolbox.TargetedMisclassification if targeted else foolbox.Misclassification
        x_adv = in_parts(oracle, lambda images, y: attack.run(their_model, images, criterion(y), **radius))
    return threat.project(x, x_adv) if eps is None else x_adv


_DISTANCES = {"Linf": "linf", "L2": "l2", "L1": "l1"}


def _untargeted_only(oracle: Oracle) -> None:
    from robench.attack.threat import Goal

    if oracle.threat.goal is Goal.TARGETED:
        do = "Use fgsm, art/fgsm or foolbox/pgd"
        raise ConfigError(where="goal", expected="untargeted for foolbox's FGSM", got="targeted", do=do)


LIBRARY = Library(
    module=__name__,
    distribution="foolbox",
    bibtex=paper("rauber2020foolbox"),
    run=run,
    install="pip install foolbox",
    imports=("foolbox", "eagerpy", "git", "requests"),
    wanted="foolbox and what it imports",
    remedy=", or use robench's own attack",
)

ROWS = (
    Row(
        name="FoolboxFGSM",
        title="FGSM (foolbox)",
        ours=FGSM,
        theirs={"Linf": "FGSM", "L2": "FGM"},
        label="foolbox's FGSM",
        text="foolbox's FGSM and FGM: one step as long as the radius; untargeted only.",
        arguments=lambda *_: {"random_start": False},
        goals=("untargeted",),
        refuse=_untargeted_only,
    ),
    Row(
        name="FoolboxIFGSM",
        title="IFGSM (foolbox)",
        ours=IFGSM,
        theirs={"Linf": "LinfBasicIterativeAttack"},
        label="foolbox's IFGSM",
        text="foolbox's LinfBasicIterativeAttack: sign steps from the clean image.",
        options=(STEPS, STEP_SIZE),
        arguments=lambda attack, _: {
            "abs_stepsize": attack.step_size,
            "steps": attack.steps,
            "random_start": False,
        },
    ),
    Row(
        name="FoolboxPGD",
        title="PGD (foolbox)",
        ours=PGD,
        theirs={"Linf": "LinfPGD", "L2": "L2PGD"},
        label="foolbox's PGD",
        text="foolbox's LinfPGD and L2PGD.",
        options=PGD_OPTIONS,
        arguments=lambda attack, eps: {
            "abs_stepsize": step_of(attack, eps),
            "steps": attack.steps,
            "random_start": attack.random_start,
        },
        randomised=True,
    ),
    Row(
        name="FoolboxCW",
        title="C&W (foolbox)",
        ours=CW,
        theirs={"L2": "L2CarliniWagnerAttack"},
        label="foolbox's C&W",
        text=(
            "foolbox's L2CarliniWagnerAttack with one constant, as the other versions here: no binary search."
        ),
        options=CW_OPTIONS,
        arguments=lambda attack, _: {
            "binary_search_steps": 1,
            "steps": attack.steps,
            "stepsize": attack.learning_rate,
            "confidence": attack.kappa,
            "initial_const": attack.c,
            "abort_early": False,
        },
        minimises=True,
    ),
)

globals().update(attack_classes(LIBRARY, ROWS))

CATALOGUE = LibraryCatalogue(LIBRARY, "foolbox", norm_values={"constraint": {"Linf": "linf", "L2": "l2"}})


def __getattr__(name: str) -> Any:
    """Return the class of an attack of the catalogue, as pickles and records name it."""
    return CATALOGUE.class_named(name)
