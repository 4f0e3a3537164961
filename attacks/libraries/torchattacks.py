"""Attacks of torchattacks behind our contract.

torchattacks assumes images in [0, 1] and draws from the global generator, which is lent and restored. Its
restarts do not exist and are run by us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attacks.gradient.fgsm import FGSM
from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.pgd import PGD
from attacks.libraries.adapter import accepted, attack_classes, in_parts, refuse_other_boxes, step_of
from attacks.libraries.catalogue import LibraryCatalogue
from attacks.libraries.rows import CW_OPTIONS, PGD_OPTIONS, STEP_SIZE, STEPS, Arguments, Library, Row
from attacks.minimal.cw import CW
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


def run(oracle: Oracle, rng: Randomness, row: Row, arguments: Arguments, eps: float | None) -> Images:
    """Run a torchattacks attack on a batch and return its images.

    Args:
        oracle: whose model and gradient source are attacked, and whose ledger is charged.
        rng: seeds the global generator.
        row: names the class in `torchattacks`.
        arguments: arguments of its constructor, beside the model, the number of classes and a seed.
        eps: None for attacks that minimise, whose images are projected: they know no radius and may have
            found a larger perturbation.

    Raises:
        ConfigError: the box is not [0, 1], or there is a budget.
        JobError: torchattacks raised an error of its own.
    """
    from robench.attack.library_model import imported, lent
    from robench.attack.threat import Goal

    x, threat = oracle.x, oracle.threat
    refuse_other_boxes(oracle, "torchattacks")
    with lent(oracle, rng, form=row.form, ascends=row.ascends, name=row.label) as module:
        kind = getattr(imported("torchattacks"), row.theirs[threat.norm.name])
        # By default some would attack ten classes, and seed the generator with 0 for every batch.
        further = {"n_classes": oracle.model.classes, "seed": rng.torch_seed()}
        attack = kind(module, **arguments, **accepted(kind, further))
        if threat.goal is Goal.TARGETED:
            attack.set_mode_targeted_by_label(quiet=True)
        x_adv = in_parts(oracle, attack)
    return threat.project(x, x_adv) if eps is None else x_adv


LIBRARY = Library(
    module=__name__,
    distribution="torchattacks",
    bibtex=paper("kim2020torchattacks"),
    run=run,
    install="pip install --no-deps torchattacks==3.5.1",
    imports=("torchattacks",),
    wanted="torchattacks 3.5.1",
    remedy=": its metadata pins a `requests` with known "
    "vulnerabilities that it never imports, so robench cannot depend on it",
)

ROWS = (
    Row(
        name="TorchattacksFGSM",
        title="FGSM (torchattacks)",
        ours=FGSM,
        theirs={"Linf": "FGSM"},
        label="torchattacks' FGSM",
        text="torchattacks' FGSM: one sign step as long as the radius.",
        arguments=lambda _, eps: {"eps": eps},
    ),
    Row(
        name="TorchattacksIFGSM",
        title="IFGSM (torchattacks)",
        ours=IFGSM,
        theirs={"Linf": "BIM"},
        label="torchattacks' BIM",
        text="torchattacks' BIM: sign steps from the clean image.",
        options=(STEPS, STEP_SIZE),
        arguments=lambda attack, eps: {"eps": eps, "alpha": attack.step_size, "steps": attack.steps},
    ),
    Row(
        name="TorchattacksPGD",
        title="PGD (torchattacks)",
        ours=PGD,
        theirs={"Linf": "PGD", "L2": "PGDL2"},
        label="torchattacks' PGD",
        text="torchattacks' PGD under Linf, PGDL2 under L2.",
        options=PGD_OPTIONS,
        arguments=lambda attack, eps: {
            "eps": eps,
            "alpha": step_of(attack, eps),
            "steps": attack.steps,
            "random_start": attack.random_start,
        },
        randomised=True,
        still_at_zero=True,  # PGDL2 divides 0 by 0 there
    ),
    Row(
        name="TorchattacksCW",
        title="C&W (torchattacks)",
        ours=CW,
        theirs={"L2": "CW"},
        label="torchattacks' C&W",
        text="""torchattacks' CW: Adam in tanh space with a fixed c.

Three things to know: pixels that are exactly 0 or 1 never move; the batch stops as a whole when its
summed cost rises; the last point is not looked at. Its formula takes scores for positive numbers, so it
is given scores shifted to be positive, which makes it right for every head.""",
        options=CW_OPTIONS,
        arguments=lambda attack, _: {
            "c": attack.c,
            "kappa": attack.kappa,
            "steps": attack.steps,
            "lr": attack.learning_rate,
        },
        minimises=True,
        couples_images=True,
        form="positive",
    ),
)

globals().update(attack_classes(LIBRARY, ROWS))

CATALOGUE = LibraryCatalogue(
    LIBRARY, "torchattacks", norm_values={"norm": {"Linf": "Linf", "L2": "L2", "L1": "L1"}}
)


def __getattr__(name: str) -> Any:
    """Return the class of an attack of the catalogue, as pickles and records name it."""
    return CATALOGUE.class_named(name)
