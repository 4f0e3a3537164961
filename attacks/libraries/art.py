"""Attacks of the Adversarial Robustness Toolbox (ART) behind our contract.

ART is given the labels always (it would attack its own predictions otherwise), the whole batch, and a
`PyTorchClassifier` around any head and gradient source. What it says of success is ignored. Restarts are
run by us, for ART keeps a restart by whether the prediction changed, not by whether it is wrong.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from attacks.gradient.fgsm import FGSM
from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.pgd import PGD, madry_step
from attacks.libraries.adapter import (
    CW_OPTIONS,
    PGD_OPTIONS,
    STEP_SIZE,
    STEPS,
    Arguments,
    Library,
    Option,
    Row,
    attack_classes,
    step_of,
)
from attacks.minimal.cw import CW
from attacks.shared import papers
from attacks.shared.options import finite_radius
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError, nearest

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images


def evade(name: str, oracle: Oracle, rng: Randomness, options: Arguments) -> Images:
    """Run the ART evasion attack of that class name on a batch and return its images.

    Args:
        name: class name in `art.attacks.evasion`.
        oracle: whose model and gradient source are attacked, and whose ledger is charged; its threat gives
            eps, norm and targeted where the attack has such options.
        rng: seeds the global generators ART draws from.
        options: the attack's other options, under ART's names.

    Raises:
        ConfigError: the attack, an option, or this threat is refused.
    """
    import numpy as np
    import torch
    from art.exceptions import EstimatorError

    from robench.attack.library_model import art_classifier, lent
    from robench.model.interface import Coupling

    x, threat = oracle.x, oracle.threat
    if threat.eps == 0:  # ART refuses a ball that is a point
        return x.clone()
    recipe = _class_named(name)
    whole = len(x) if oracle.model.coupling is Coupling.JOINT else min(oracle.batch_size, len(x))
    filled = _from_threat(name, recipe, threat, options, batch_size=max(whole, 1))
    with lent(oracle, rng) as module, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"art\.|numpy\.|torch\.")
        estimator = art_classifier(
            oracle.model, oracle.source, shape=tuple(x.shape[1:]), bounds=threat.bounds, module=module
        )
        try:
            attack = recipe(estimator, **filled, **options)
        except (EstimatorError, TypeError, ValueError, NotImplementedError) as error:
            raise ConfigError(
                where=f"art {name}", expected="options ART accepts", got=f"{options}: {error}"
            ) from error
        # Not all of its attacks take indices.
        labels = np.eye(oracle.model.classes, dtype=np.float32)[oracle.y.cpu().numpy()]
        generated = attack.generate(x=x.detach().cpu().numpy().astype(np.float32), y=labels)
    x_adv = torch.as_tensor(generated).to(x)
    # An attack that knows no radius looks for the smallest perturbation and may have found a larger one.
    return x_adv if "eps" in filled else threat.project(x, x_adv)


def _class_named(name: str) -> type[Any]:
    """Return the class; ConfigError with the nearest names if ART has no such evasion attack."""
    from art.attacks import evasion
    from art.attacks.attack import EvasionAttack

    known = {
        key: value
        for key, value in vars(evasion).items()
        if inspect.isclass(value) and issubclass(value, EvasionAttack)
    }
    if name not in known:
        expected = "the name of an evasion attack of ART"
        raise ConfigError(where="attack", expected=expected, got=repr(name), do=nearest(name, known))
    chosen: type[Any] = known[name]
    return chosen


def _from_threat(
    name: str, recipe: type[Any], threat: ThreatModel, options: dict[str, Any], *, batch_size: int
) -> dict[str, Any]:
    """Return the options that the threat model, the batch and the need for silence decide."""
    from robench.attack.threat import Goal

    known = inspect.signature(recipe).parameters
    for option in options:
        if option not in known:
            raise ConfigError(
                where=f"art {name}",
                expected="an option of this attack",
                got=repr(option),
                do=nearest(option, known),
            )
    targeted = threat.goal is Goal.TARGETED
    if targeted and "targeted" not in known:
        raise ConfigError(where=f"art {name}", expected="an untargeted goal", got="targeted")
    filled: dict[str, Any] = {
        "targeted": targeted,
        "norm": {"Linf": "inf", "L2": 2}[threat.norm.name],
        "batch_size": batch_size,
        "verbose": False,
    }
    if "eps" in known:
        filled["eps"] = float(finite_radius(threat.eps, f"ART's {name}"))
        if name.startswith("Auto"):
            filled["eps_step"] = 2 * filled["eps"]
        else:
            default = known["max_iter"].default if "max_iter" in known else 2.5
            filled["eps_step"] = madry_step(filled["eps"], options.get("max_iter", default))
    return {key: value for key, value in filled.items() if key in known and key not in options}


def _run(oracle: Oracle, rng: Randomness, row: Row, arguments: Arguments, eps: float | None) -> Images:
    del eps  # `evade` reads the threat
    return evade(row.theirs[oracle.threat.norm.name], oracle, rng, arguments)


LIBRARY = Library(module=__name__, distribution="adversarial-robustness-toolbox", bibtex=papers.ART, run=_run)

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
        paper="Nicolae et al. 2018, arXiv:1807.01069",
        bibtex=papers.ART,
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
