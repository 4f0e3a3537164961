"""Makes an attack of the Adversarial Robustness Toolbox (ART) and runs it on images of an oracle.

ART is given the labels always (it would attack its own predictions otherwise), the whole batch, and a
`PyTorchClassifier` around any head and gradient source. Its own report of success is ignored.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from attacks.gradient.pgd import madry_step
from attacks.libraries.adapter import accepted
from attacks.libraries.rows import Arguments
from attacks.shared.options import finite_radius
from robench.errors import ConfigError, nearest

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.surrogate_module import Form
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images


NORMS = {"Linf": "inf", "L2": 2, "L1": 1}
"""ART's names of the norms."""


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
    from_threat = _from_threat(name, class_named(name), oracle.threat, options)
    return generate(name, oracle, rng, {**from_threat, **options}, in_ball="eps" in from_threat)


def generate(
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
        oracle: gives the model.
        rng: seeds the global generators.
        arguments: arguments of the class, without estimator, batch size and verbosity.
        in_ball: whether the attack itself stays in the ball.
        form: see `lent`.
        ascends: see `lent`.
        most: most images at a time.
    """
    import numpy as np
    import torch
    from art.exceptions import EstimatorError

    from robench.attack.library_model import art_classifier, lent
    from robench.model.interface import Coupling

    x, threat, recipe = oracle.x, oracle.threat, class_named(name)
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
    # An attack without a radius searches the smallest perturbation and may have found a larger one.
    return x_adv if in_ball else threat.project(x, x_adv)


_WRITES = ("GeoDA",)
"""Attacks that write a file into the current folder."""


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Run inside the block in a folder that is removed after it."""
    with TemporaryDirectory() as folder, chdir(folder):
        yield


def _silenced(recipe: type[Any], arguments: Arguments) -> Arguments:
    """Return the arguments, where the inner attack of a universal perturbation prints no progress."""
    inner = getattr(recipe, "attacks_dict", {}).get(arguments.get("attacker"))
    if inner is None:
        return arguments
    module, _, name = inner.rpartition(".")
    quiet = accepted(getattr(import_module(module), name), {"verbose": False})
    return {**arguments, "attacker_params": {**quiet, **(arguments["attacker_params"] or {})} or None}


def class_named(name: str) -> type[Any]:
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
        "norm": NORMS[threat.norm.name],
    }
    if "eps" in parameters:
        values["eps"] = float(finite_radius(threat.eps, f"ART's {name}"))
        default = parameters["max_iter"].default if "max_iter" in parameters else 2.5
        values["eps_step"] = _step(name, values["eps"], options.get("max_iter", default))
    return {key: value for key, value in values.items() if key in parameters and key not in options}


def _step(name: str, eps: float, steps: float) -> float:
    """Return the default length of a step: that of the Auto family, or Madry's."""
    return 2 * eps if name.startswith("Auto") else madry_step(eps, steps)
