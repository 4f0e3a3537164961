"""The laws of inference-time defenses, put in front of a small model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from robench.conformance.built import (
    CLASSES,
    ModelTrial,
    builds,
    check_offered,
    check_untouched,
    laws_with,
    training_data,
)
from robench.conformance.recipes import described, light
from robench.conformance.result import InapplicableError, Result, judged, require
from robench.conformance.toys import ToyBranches
from robench.model.defense import DefenseInfo, InferenceDefense
from robench.model.interface import Model
from robench.plan.spec import to_json


@dataclass(slots=True)
class InferenceTrial(ModelTrial):
    """One inference-time defense on trial; the defended model that most laws look at is made once."""

    info_type: ClassVar[type[DefenseInfo]] = DefenseInfo
    recipe: InferenceDefense

    def again(self, global_seed: int = 0) -> Model:
        """Defend a fresh copy of the toy model."""
        return self.make(undefended(), global_seed)

    def make(self, model: Model, global_seed: int = 0) -> Model:
        """Put the defense in front of a model, with the global generators in a given state."""
        return self.checked(global_seed, partial(self.recipe, model, training_data=training_data, seed=0))


def inference_laws(recipe: InferenceDefense) -> Iterator[Result]:
    """Check every law of inference-time defenses on one recipe, one by one."""
    return judged(
        InferenceTrial(recipe),
        first=[described, attacked, light],
        gate=builds,
        rest=laws_with(offers, network, details),
    )


def undefended() -> Model:
    """Return the model that is defended."""
    net = ToyBranches(channels=3, classes=CLASSES).eval()
    return Model(name="toy", net=net, classes=CLASSES, details={"architecture": "toy"})


def attacked(trial: InferenceTrial) -> str:
    """It says how its gradient sources get past it: a defense is worth what its attack is worth."""
    claim = trial.recipe.info.attacked_through
    require(bool(claim.strip()), "info.attacked_through is empty")
    return claim


def offers(trial: InferenceTrial) -> str:
    """The gradient sources it offers before it is built are those its model has."""
    say = getattr(trial.recipe, "offers", None)
    if say is None:
        raise InapplicableError("It does not say beforehand what it offers")
    check_offered(set(say(tuple(undefended().sources))), set(trial.plain.sources))
    return ", ".join(trial.plain.sources)


def network(trial: InferenceTrial) -> str:
    """The model it is put in front of keeps its weights, keys and modes."""
    target = undefended()
    target.net.get_submodule("buffer").train()
    check_untouched(target.net, lambda: trial.make(target))
    return ""


def details(trial: InferenceTrial) -> str:
    """Its details are plain data, and keep those of the model behind it."""
    facts = dict(trial.plain.details)
    json.dumps(to_json(facts), allow_nan=False)
    absent = [name for name in undefended().details if name not in facts]
    require(not absent, f"those of the model behind it are gone: {', '.join(absent)}")
    return "" if facts != dict(undefended().details) else "a run adds the defense to them"
