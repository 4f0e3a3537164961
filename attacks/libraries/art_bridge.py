"""How a batch gets to an ART attack and back: options checked, those of the threat model filled in."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

from attacks.gradient.pgd import madry_step
from attacks.shared.options import finite_radius
from robench.errors import ConfigError, nearest

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images, Labels


def evade(
    name: str,
    oracle: Oracle,
    x: Images,
    y: Labels,
    *,
    threat: ThreatModel,
    rng: Randomness,
    **options: Any,
) -> Images:
    """Run the ART evasion attack of that class name on a batch and return its images.

    Args:
        name: class name in `art.attacks.evasion`.
        oracle: whose model and gradient source are attacked, and whose ledger is charged.
        x: clean images (B, C, H, W).
        y: labels, or targets under a targeted goal, (B,).
        threat: gives eps, norm and targeted where the attack has such options.
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

    if threat.eps == 0:  # ART refuses a ball that is a point
        return x.clone()
    recipe = _attack_class(name)
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
        labels = np.eye(oracle.model.classes, dtype=np.float32)[y.cpu().numpy()]  # not all take indices
        found = attack.generate(x=x.detach().cpu().numpy().astype(np.float32), y=labels)
    x_adv = torch.as_tensor(found).to(x)
    # An attack that knows no radius looks for the smallest perturbation and may have found a larger one.
    return x_adv if "eps" in filled else threat.project(x, x_adv)


def _attack_class(name: str) -> type[Any]:
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
