"""Attacks of the Adversarial Robustness Toolbox (ART) behind our contract.

How one is run: `attacks.libraries.art_generation`. Restarts are run by us, for ART keeps a restart by whether
the prediction changed, not by whether it is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from attacks.gradient.fgsm import FGSM
from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.pgd import PGD, madry_step
from attacks.libraries.adapter import accepted, attack_classes, step_of
from attacks.libraries.art_generation import NORMS, class_named, evade, generate
from attacks.libraries.catalogue import LibraryCatalogue
from attacks.libraries.rows import CW_OPTIONS, PGD_OPTIONS, STEP_SIZE, STEPS, Arguments, Library, Option, Row
from attacks.libraries.table import Entry
from attacks.minimal.cw import CW
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


def _run(oracle: Oracle, rng: Randomness, row: Row, arguments: Arguments, eps: float | None) -> Images:
    del eps  # `evade` reads the threat
    return evade(row.theirs[oracle.threat.norm.name], oracle, rng, arguments)


def _run_as_told(
    oracle: Oracle, rng: Randomness, row: Row, arguments: Arguments, eps: float | None
) -> Images:
    from robench.attack.threat import Goal

    name = row.theirs[oracle.threat.norm.name]
    targeted = accepted(class_named(name), {"targeted": oracle.threat.goal is Goal.TARGETED})
    return generate(
        name,
        oracle,
        rng,
        {**arguments, **targeted},
        in_ball=eps is not None,
        form=row.form,
        ascends=row.ascends,
        most=1 if row.one_by_one else None,
    )


def _with_step(entry: Entry, arguments: Arguments, eps: float) -> Arguments:
    """Return a default step instead of ART's 0.1, which is not suitable for any radius."""
    if "eps_step" not in arguments or arguments["eps_step"] is not None:
        return {}
    if not entry.radius:
        return {"eps_step": 0.1}  # ART's default, for its Wasserstein attack, which takes no radius
    return {"eps_step": 2 * eps if "Auto" in entry.name else madry_step(eps, arguments.get("max_iter", 2.5))}


LIBRARY = Library(
    module=__name__,
    distribution="adversarial-robustness-toolbox",
    bibtex=paper("nicolae2018adversarial"),
    run=_run,
    install="pip install adversarial-robustness-toolbox",
    imports=("art",),
    wanted="ART",
)

ROWS = (
    Row(
        name="ArtFGSM",
        title="FGSM (ART)",
        ours=FGSM,
        theirs={"Linf": "FastGradientMethod", "L2": "FastGradientMethod"},
        label="ART's FGSM",
        text="ART's FastGradientMethod: one step as long as the radius, no random start.",
        arguments=lambda _, eps: {"eps_step": eps},
    ),
    Row(
        name="ArtIFGSM",
        title="IFGSM (ART)",
        ours=IFGSM,
        theirs={"Linf": "BasicIterativeMethod"},
        label="ART's IFGSM",
        text="ART's BasicIterativeMethod: sign steps from the clean image.",
        options=(STEPS, STEP_SIZE),
        arguments=lambda attack, _: {"max_iter": attack.steps, "eps_step": attack.step_size},
    ),
    Row(
        name="ArtPGD",
        title="PGD (ART)",
        ours=PGD,
        theirs=dict.fromkeys(("Linf", "L2"), "ProjectedGradientDescentPyTorch"),
        label="ART's PGD",
        text="ART's ProjectedGradientDescentPyTorch.",
        options=PGD_OPTIONS,
        arguments=lambda attack, eps: {
            "max_iter": attack.steps,
            "eps_step": step_of(attack, eps),
            "num_random_init": int(attack.random_start),
        },
        randomised=True,
    ),
    Row(
        name="ArtCW",
        title="C&W (ART)",
        ours=CW,
        theirs={"L2": "CarliniL2Method"},
        label="ART's C&W",
        text="""ART's CarliniL2Method: gradient descent with a line search in tanh space.

Two things to know: pixels that are exactly 0 or 1 hardly move, and its binary search stops refining c
after the first success.""",
        options=(
            replace(
                CW_OPTIONS[0],
                meaning=CW_OPTIONS[0].meaning[:-1] + "; where binary_search_steps > 1, its first value.",
            ),
            CW_OPTIONS[1],
            replace(CW_OPTIONS[2], meaning="steps for each value of c."),
            replace(CW_OPTIONS[3], meaning="first step size of each line search."),
            Option(name="binary_search_steps", kind="int", default=1, meaning="values of c tried per image."),
        ),
        arguments=lambda attack, _: {
            "initial_const": attack.c,
            "confidence": attack.kappa,
            "max_iter": attack.steps,
            "learning_rate": attack.learning_rate,
            "binary_search_steps": attack.binary_search_steps,
        },
        minimises=True,
    ),
)

globals().update(attack_classes(LIBRARY, ROWS))

CATALOGUE = LibraryCatalogue(
    replace(LIBRARY, run=_run_as_told), "art", norm_values={"norm": NORMS}, steps=_with_step
)


def __getattr__(name: str) -> Any:
    """Return the class of an attack of the catalogue, as pickles and records name it."""
    return CATALOGUE.class_named(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtEvasion:
    """Any evasion attack of ART, by the name of its class.

    Norm, radius and goal come from the threat model; where ART's attack takes a step size and none is given,
    it is 2 eps for the Auto family (Croce & Hein 2020) and 2.5 eps / max_iter otherwise.

    Attributes:
        attack: the class, such as `DeepFool`, `SquareAttack`, `HopSkipJump`.
        options: its own options, under ART's names.
    """

    # Whether the chosen attack minimises is known only when ART is imported. True allows an infinite radius,
    # which attacks that need a radius refuse themselves.
    info: ClassVar[AttackInfo] = AttackInfo(
        title="ART",
        paper="Nicolae et al. 2018, arXiv:1807.01069",
        bibtex=paper("nicolae2018adversarial"),
        norms=("Linf", "L2"),
        randomised=True,
        minimises=True,
        library=LIBRARY.distribution,
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

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return ART's images; see `robench.attack.Attack`.

        Raises:
            ConfigError: ART has no such attack, the attack no such option, it cannot play under this threat
                (goal, radius, budget), or it cannot attack a PyTorch classifier.
        """
        return evade(self.attack, oracle, rng, self.options)
