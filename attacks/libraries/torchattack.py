"""Attacks of torchattack (not torchattacks), made for transfer, behind our contract.

It is optional: `pip install torchattack`. It draws from the global generators, which are lent and restored.
If an attack reads a layer, the network is lent with accessible layers.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from attacks.libraries.adapter import accepted, in_parts
from attacks.libraries.catalogue import LibraryCatalogue
from attacks.libraries.rows import Arguments, Library, Row
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images, Labels


def run(oracle: Oracle, rng: Randomness, row: Row, arguments: Arguments, eps: float | None) -> Images:
    """Run an attack of torchattack on a batch and return its images.

    Args:
        oracle: whose model and gradient source are attacked, and whose ledger is charged.
        rng: seeds the global generators.
        row: names the class in `torchattack`.
        arguments: arguments of its constructor, beside the model, the box and the number of classes.
        eps: None for attacks that minimise, whose images are projected: they know no radius and may have
            found a larger perturbation.

    Raises:
        ConfigError: there is a budget.
        JobError: torchattack raised an error of its own.
    """
    from robench.attack.library_model import imported, lent
    from robench.attack.open_module import OpenModule, unlocked
    from robench.attack.surrogate_module import SurrogateModule
    from robench.attack.threat import Goal

    x, threat = oracle.x, oracle.threat
    kind = getattr(imported("torchattack"), row.theirs[threat.norm.name])
    low, high = threat.bounds
    further = {
        "device": x.device,
        "clip_min": low,
        "clip_max": high,
        "num_classes": oracle.model.classes,
        "targeted": threat.goal is Goal.TARGETED,
    }
    lending = lent(
        oracle,
        rng,
        form=row.form,
        ascends=row.ascends,
        name=row.label,
        kind=OpenModule if row.layers else SurrogateModule,
    )
    with lending as module, unlocked(module) if isinstance(module, OpenModule) else nullcontext():

        def attack(images: Images, labels: Labels) -> Images:
            # A new object for each part: some attacks store data of the last part.
            x_adv: Images = kind(module, **arguments, **accepted(kind, further))(
                images.clone(), labels.clone()
            )
            return x_adv

        x_adv = in_parts(oracle, attack)
    return threat.project(x, x_adv) if eps is None else x_adv


LIBRARY = Library(
    module=__name__,
    distribution="torchattack",
    bibtex=paper("song2023torchattack"),
    run=run,
    install="pip install torchattack",
    imports=("torchattack",),
    wanted="torchattack (not torchattacks)",
)
CATALOGUE = LibraryCatalogue(LIBRARY, "torchattack", norm_values={})


def __getattr__(name: str) -> Any:
    """Return the class of an attack of the catalogue, as pickles and records name it."""
    return CATALOGUE.class_named(name)
