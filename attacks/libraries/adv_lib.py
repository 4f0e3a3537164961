"""Attacks of adv-lib (adversarial-library) behind our contract; optional: `pip install adv-lib`.

adv-lib has functions, whose Greek parameters are written in Latin letters here (`gamma` for γ). It assumes
images in [0, 1] and draws from the global generator, which is lent and restored.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from attacks.libraries.adapter import accepted, in_parts, refuse_other_boxes
from attacks.libraries.catalogue import LibraryCatalogue
from attacks.libraries.rows import Arguments, Library, Row
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images, Labels


def latin(name: str) -> str:
    """Return a parameter's name with its Greek letters spelled out, epsilon as `eps`."""
    return "".join(map(_spelled, name))


def _spelled(letter: str) -> str:
    official = unicodedata.name(letter)
    if not official.startswith("GREEK SMALL LETTER "):
        return letter
    return official.rpartition(" ")[2].lower().replace("epsilon", "eps")


def run(oracle: Oracle, rng: Randomness, row: Row, arguments: Arguments, eps: float | None) -> Images:
    """Run an attack of adv-lib on a batch and return its images.

    Args:
        oracle: whose model and gradient source are attacked, and whose ledger is charged.
        rng: seeds the global generator.
        row: names the function in `adv_lib.attacks`.
        arguments: its options, in Latin letters.
        eps: None for attacks that minimise, whose images are projected: they know no radius and may have
            found a larger perturbation.

    Raises:
        ConfigError: the box is not [0, 1], or there is a budget.
        JobError: adv-lib raised an error of its own.
    """
    import inspect

    from robench.attack.library_model import imported, lent
    from robench.attack.threat import Goal

    x, threat = oracle.x, oracle.threat
    refuse_other_boxes(oracle, "adv-lib")
    function = getattr(imported("adv_lib.attacks"), row.theirs[threat.norm.name])
    theirs = {latin(name): name for name in inspect.signature(function).parameters}
    options = {theirs[name]: value for name, value in arguments.items()}
    targeted = {"targeted": threat.goal is Goal.TARGETED, "num_classes": oracle.model.classes}
    options |= accepted(function, targeted)
    with lent(oracle, rng, form=row.form, ascends=row.ascends, name=row.label) as module:

        def attack(images: Images, labels: Labels) -> Images:
            x_adv: Images = function(module, images.clone(), labels.clone(), **options)
            return x_adv

        x_adv = in_parts(oracle, attack)
    return threat.project(x, x_adv) if eps is None else x_adv


LIBRARY = Library(
    module=__name__,
    distribution="adv-lib",
    bibtex=paper("rony2020adversarial"),
    run=run,
    install="pip install adv-lib",
    imports=("adv_lib", "visdom"),
    wanted="adv-lib and what it imports",
)
_ORDERS = {"Linf": float("inf"), "L2": 2, "L1": 1}
CATALOGUE = LibraryCatalogue(
    LIBRARY,
    "adv_lib",
    norm_values={"norm": _ORDERS, "p": _ORDERS, "distance": {"L2": "l2", "L1": "l1"}},
)


def __getattr__(name: str) -> Any:
    """Return the class of an attack of the catalogue, as pickles and records name it."""
    return CATALOGUE.class_named(name)
