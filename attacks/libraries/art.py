"""Attacks of the Adversarial Robustness Toolbox (ART) behind our contract.

ART is given the labels always (it would attack its own predictions otherwise), the whole batch, and a
`PyTorchClassifier` around any head and gradient source. What it says of success is ignored. Restarts are
run by us, for ART keeps a restart by whether the prediction changed, not by whether it is wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib import import_module
from tempfile import TemporaryDirectory
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
    accepted,
    attack_classes,
    step_of,
)
from attacks.libraries.catalogue import LibraryCatalogue
from attacks.libraries.table import Entry
from attacks.minimal.cw import CW
from attacks.shared import papers
from attacks.shared.options import finite_radius
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError, nearest

if TYPE_CHECKING:
    from robench.attack.library_model import Form
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
    if oracle.threat.eps == 0:  # ART refuses a ball that is a point
        return oracle.x.clone()
    from_threat = _from_threat(name, _class_named(name), oracle.threat, options)
    return _generate(name, oracle, rng, {**from_threat, **options}, in_ball="eps" in from_threat)


def _generate(
    name: str,
    oracle: Oracle,
    rng: Randomness,
    arguments: Arguments,
    *,
    in_ball: bool,
    form: Form = "scores",
    ascends: bool | None = None,
    most: int | None = None,
) -> Images:
    """Return the images of an ART attack, projected where it knows no radius; see `evade`.

    Args:
        name: class name in `art.attacks.evasion`.
        oracle: whose model is attacked.
        rng: seeds the global generators.
        arguments: what the class is made with beside the estimator, the size of a batch and silence.
        in_ball: whether it keeps to the ball by itself.
        form: see `lent`.
        ascends: see `lent`.
        most: most images at a time.
    """
    import numpy as np
    import torch
    from art.exceptions import EstimatorError

    from robench.attack.library_model import art_classifier, lent
    from robench.model.interface import Coupling

    x, threat, recipe = oracle.x, oracle.threat, _class_named(name)
    whole = len(x) if oracle.model.coupling is Coupling.JOINT else min(oracle.batch_size, len(x))
    silent = {"batch_size": max(min(whole, most or whole), 1), "verbose": False}
    arguments = {**accepted(recipe, silent), **arguments}
    with lent(oracle, rng, form=form, ascends=ascends, name=f"art/{name}") as module:
        estimator = art_classifier(
            oracle.model, oracle.source, shape=tuple(x.shape[1:]), bounds=threat.bounds, module=module
        )
        try:
            attack = recipe(estimator, **_silenced(recipe, arguments))
        except (EstimatorError, TypeError, ValueError, NotImplementedError) as error:
            raise ConfigError(
                where=f"art {name}", expected="options ART accepts", got=f"{arguments}: {error}"
            ) from error
        # Not all of its attacks take indices.
        labels = np.eye(oracle.model.classes, dtype=np.float32)[oracle.y.cpu().numpy()]
        pixels = x.detach().cpu().numpy().astype(np.float32)
        size = most or max(len(x), 1)  # ART cuts batches itself, except where it takes a single image
        with _elsewhere() if name in _WRITES else nullcontext():
            parts = [
                attack.generate(x=pixels[start : start + size], y=labels[start : start + size])
                for start in range(0, max(len(x), 1), size)
            ]
    x_adv = torch.as_tensor(np.concatenate(parts)).to(x)
    # An attack that knows no radius looks for the smallest perturbation and may have found a larger one.
    return x_adv if in_ball else threat.project(x, x_adv)


_WRITES = ("GeoDA",)
"""Attacks that keep a file in the folder they are run in."""


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Run inside the block in a folder that is removed after it."""
    with TemporaryDirectory() as folder, chdir(folder):
        yield


def _silenced(recipe: type[Any], arguments: Arguments) -> Arguments:
    """Return the arguments with silence for the attack that a universal perturbation is made of."""
    inner = getattr(recipe, "attacks_dict", {}).get(arguments.get("attacker"))
    if inner is None:
        return arguments
    module, _, name = inner.rpartition(".")
    quiet = accepted(getattr(import_module(module), name), {"verbose": False})
    return {**arguments, "attacker_params": {**quiet, **(arguments["attacker_params"] or {})} or None}


def _class_named(name: str) -> type[Any]:
    """Return the class; ConfigError with the nearest names if ART has no such evasion attack."""
    from art.attacks import evasion
    from art.attacks.attack import EvasionAttack

    classes = {
        key: value
        for key, value in vars(evasion).items()
        if inspect.isclass(value) and issubclass(value, EvasionAttack)
    }
    if name not in classes:
        expected = "the name of an evasion attack of ART"
        raise ConfigError(where="attack", expected=expected, got=repr(name), do=nearest(name, classes))
    kind: type[Any] = classes[name]
    return kind


def _from_threat(
    name: str, recipe: type[Any], threat: ThreatModel, options: dict[str, Any]
) -> dict[str, Any]:
    """Return the options that the threat model decides."""
    from robench.attack.threat import Goal

    parameters = inspect.signature(recipe).parameters
    for option in options:
        if option not in parameters:
            raise ConfigError(
                where=f"art {name}",
                expected="an option of this attack",
                got=repr(option),
                do=nearest(option, parameters),
            )
    targeted = threat.goal is Goal.TARGETED
    if targeted and "targeted" not in parameters:
        raise ConfigError(where=f"art {name}", expected="an untargeted goal", got="targeted")
    values: dict[str, Any] = {
        "targeted": targeted,
        "norm": _NORMS[threat.norm.name],
    }
    if "eps" in parameters:
        values["eps"] = float(finite_radius(threat.eps, f"ART's {name}"))
        default = parameters["max_iter"].default if "max_iter" in parameters else 2.5
        values["eps_step"] = _step(name, values["eps"], options.get("max_iter", default))
    return {key: value for key, value in values.items() if key in parameters and key not in options}


def _step(name: str, eps: float, steps: float) -> float:
    """Return the length of a step where none is given: that of the Auto family, or Madry's."""
    return 2 * eps if name.startswith("Auto") else madry_step(eps, steps)


_NORMS = {"Linf": "inf", "L2": 2, "L1": 1}


def _run(oracle: Oracle, rng: Randomness, row: Row, arguments: Arguments, eps: float | None) -> Images:
    del eps  # `evade` reads the threat
    return evade(row.theirs[oracle.threat.norm.name], oracle, rng, arguments)


def _run_as_told(
    oracle: Oracle, rng: Randomness, row: Row, arguments: Arguments, eps: float | None
) -> Images:
    from robench.attack.threat import Goal

    name = row.theirs[oracle.threat.norm.name]
    targeted = accepted(_class_named(name), {"targeted": oracle.threat.goal is Goal.TARGETED})
    return _generate(
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
    """Return the step in place of ART's 0.1, which suits no radius, where none is given."""
    if "eps_step" not in arguments or arguments["eps_step"] is not None:
        return {}
    if not entry.radius:
        return {"eps_step": 0.1}  # the Wasserstein attack's own
    return {"eps_step": 2 * eps if "Auto" in entry.name else madry_step(eps, arguments.get("max_iter", 2.5))}


LIBRARY = Library(
    module=__name__,
    distribution="adversarial-robustness-toolbox",
    bibtex=papers.ART,
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
    replace(LIBRARY, run=_run_as_told), "art", norm_values={"norm": _NORMS}, steps=_with_step
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
