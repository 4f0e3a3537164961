"""The laws of heads, put on a small network with features, buffer and a linear branch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

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
from robench.errors import ConfigError
from robench.model.interface import Model
from robench.plan.spec import to_json
from robench.recipe import Info


@dataclass(slots=True)
class HeadTrial(ModelTrial):
    """One head on trial; the model that most laws look at is made once."""

    info_type: ClassVar[type[Info]] = Info
    recipe: Callable[..., Model]

    def again(self, global_seed: int = 0) -> Model:
        """Put the head on a fresh copy of the toy network."""
        return self.make(ToyBranches(channels=3, classes=CLASSES).eval(), global_seed)

    def make(self, network: nn.Module, global_seed: int = 0) -> Model:
        """Put the head on a network, with the global generators in a given state."""
        make = partial(
            self.recipe,
            network,
            name="toy",
            classes=CLASSES,
            training_data=training_data,
            seed=0,
            device="cpu",
            details={"architecture": "toy"},
        )
        return self.checked(global_seed, make)


def head_laws(recipe: Callable[..., Model]) -> Iterator[Result]:
    """Check every law of heads on one recipe, one by one."""
    return judged(
        HeadTrial(recipe), first=[described, light], gate=builds, rest=laws_with(offers, network, details)
    )


def offers(trial: HeadTrial) -> str:
    """The gradient sources it offers before it is built are those its model has."""
    claim = getattr(trial.recipe, "offers", None)
    if claim is None:
        raise InapplicableError("It does not say beforehand what it offers")
    # Some are there only for networks whose answers are random.
    names = {*trial.plain.sources}
    with suppress(ConfigError):  # it may refuse such a network
        names |= {*trial.make(ToyBranches(channels=3, classes=CLASSES, noisy=True).eval()).sources}
    check_offered(set(claim), names)
    strangers = [name for name, source in trial.plain.sources.items() if source.name != name]
    require(not strangers, f"listed under another name than their own: {strangers}")
    return ", ".join(claim)


def network(trial: HeadTrial) -> str:
    """The network it is put on keeps its weights, keys and modes."""
    target = ToyBranches(channels=3, classes=CLASSES)
    target.buffer.eval()
    check_untouched(target, lambda: trial.make(target))
    return ""


def details(trial: HeadTrial) -> str:
    """The model's details are plain data and keep the facts that were given."""
    facts = dict(trial.plain.details)
    json.dumps(to_json(facts), allow_nan=False)
    require(facts.get("architecture") == "toy", "the given details are gone")
    require("head" in facts, "they do not say `head`")
    return f"head {facts['head']}"
