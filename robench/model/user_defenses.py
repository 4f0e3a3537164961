"""Defenses of a user's file, and their host, which seeds generators and restores modes and gradients.

`path/to/mine.py:NAME` may be

- a frozen dataclass with a `DefenseInfo`, like every plugin (docs/plugins.md), of training or of inference;
- a function `(network, images)` that trains the network in place; further parameters are options, and it gets
  `device`, `seed`, `progress` and `context` if it has these parameters. It may return rows of history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from robench import plugins, recipe
from robench.errors import ConfigError, JobError
from robench.intake.user_code import is_reference
from robench.model.defense import DefenseInfo, TrainingContext
from robench.model.global_state import kept_global_state
from robench.model.user_errors import told_by_line
from robench.model.user_objects import (
    POSITIONAL,
    UserObject,
    is_recipe,
    options_among,
    parameters_of,
    recipe_from,
    recipe_of,
    user_object,
)
from robench.randomness import borrowed_global_randomness, seed_from

if TYPE_CHECKING:
    from torch import nn

    from robench.data.images import ImageSet
    from robench.plan.spec import Choice

GIVEN = ("device", "seed", "progress", "context")
"""Parameters that a training function gets if it has them."""


def defense_of(choice: Choice, *, trust_code: bool, stage: str = "training") -> Any:
    """Return the defense that a specification chooses, of training or of inference.

    Args:
        choice: a plugin's name or `path/to/mine.py:NAME`, with options.
        trust_code: whether a file may be run.
        stage: the required stage.

    Raises:
        PluginError: no defense has that name.
        ConfigError: an option is unknown or refused, a file may not be run or has no defense of that name,
            or the defense belongs to the other stage.
    """
    kind = defense_class(choice.name, trust_code=trust_code, where=choice.where)
    check_stage(kind.info, stage, choice.where)
    return recipe.build(kind, choice.options, where=choice.where)


def defense_from(user: UserObject, options: dict[str, Any]) -> Any:
    """Return a training from a function or class of the running program, with options.

    Raises:
        ConfigError: it is not a training, or an option is unknown or refused.
    """
    kind = _class_of(user, user.name)
    check_stage(kind.info, "training", user.name)
    return recipe.build(kind, options, where=user.name)


def check_stage(info: DefenseInfo, stage: str, where: str) -> None:
    """Refuse a defense of another stage."""
    if info.stage != stage:
        key = "train" if info.stage == "training" else "inference"
        expected, do = f"a defense of {stage}", f"Put it under the model's key `{key}`"
        raise ConfigError(where=where, expected=expected, got=f"{info.title!r}", do=do)


def defense_class(name: str, *, trust_code: bool = False, where: str = "") -> type[Any]:
    """Return the recipe class of a defense by its plugin name or by file; see `defense_of`."""
    if not is_reference(name):
        plugin: type[Any] = plugins.find("defenses", name, where=where)
        return plugin
    return _class_of(user_object(name, trust_code=trust_code, where=where), where)


def _class_of(user: UserObject, where: str) -> type[Any]:
    return _plugin(user, where) if is_recipe(user.value, DefenseInfo) else _function(user, where)


def code_of(name: str, *, trust_code: bool, where: str = "") -> dict[str, str]:
    """Return the identity of a defense's code if it is a user's file; an empty mapping for a plugin."""
    if not is_reference(name):
        return {}
    user = user_object(name, trust_code=trust_code, where=where)
    return {"defense_code_sha256": user.digest}


def _plugin(user: UserObject, where: str) -> type[Any]:
    """Return a complete plugin; a training plugin gets a host."""
    own = user.value.__call__
    if user.value.info.stage != "training":
        return recipe_from(user, {}, where=where)

    def call(
        self: Any, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train with a host; see `robench.model.Defense`."""
        hearer = _Hearer(context.progress)
        boundary = told_by_line(user, expected="weights", passes=hearer.raised)
        with hosted(network, context), boundary:
            answer = own(self, network, data, context=replace(context, progress=hearer))
        return _history(answer, network, [], user.name)

    return recipe_from(user, {"__call__": call}, where=where)


def _function(user: UserObject, where: str) -> type[Any]:
    """Return the recipe class of a function that trains a network."""
    parameters = parameters_of(user.value, where)
    if isinstance(user.value, type) or len([p for p in parameters if p.kind in POSITIONAL]) < 2:
        raise ConfigError(
            where=where,
            expected=f"{user.name.rpartition(':')[2]}(network, images), or a plugin class with a DefenseInfo",
            got=f"{user.name}({', '.join(str(p) for p in parameters)})",
            do="Take network and images, in this order, and train the network in place",
        )
    names = [name for name in GIVEN if any(p.name == name for p in parameters[2:])]
    options = options_among(parameters, skip=2, given=names)

    def call(
        self: Any, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train by the user's function with a host; see `robench.model.Defense`."""
        rows: list[dict[str, float]] = []
        hearer = _Hearer(context.progress)
        boundary = told_by_line(user, expected="weights", passes=hearer.raised)

        def progress(row: dict[str, float]) -> None:
            rows.append(dict(row))
            hearer(row)

        values = {"device": context.device, "seed": context.seed, "progress": progress, "context": context}
        with hosted(network, context), boundary:
            network.to(context.device).train()
            answer = self.user_code(
                network, data, **recipe.options_of(self), **{name: values[name] for name in names}
            )
        history = _history(answer, network, [row for row in rows if "step" not in row], user.name)
        for row in history:
            if row not in rows:
                context.progress(row)
        return history

    title = user.name.rpartition(":")[2]
    info = DefenseInfo(title=title, paper=f"none; a user's file, {user.name.partition(':')[0]}")
    members = {
        "info": info,
        "__call__": call,
        "__module__": __name__,
        "user_code": staticmethod(user.value),
        "usage": f"{title}(network, images): all further parameters are options",
    }
    return recipe_of(user, options, members, where=where)


class _Hearer:
    """Passes rows on, and notes errors of the receiver, which are not errors of the training.

    Args:
        progress: receives the rows.
    """

    def __init__(self, progress: Callable[[dict[str, float]], None]) -> None:
        self._progress = progress
        self._error: BaseException | None = None

    def __call__(self, row: dict[str, float]) -> None:
        """Pass a row on."""
        try:
            self._progress(row)
        except BaseException as error:
            self._error = error
            raise

    def raised(self, error: BaseException) -> bool:
        """Tell whether an error was raised by the receiver of the rows."""
        return error is self._error


@contextmanager
def hosted(network: nn.Module, context: TrainingContext) -> Iterator[None]:
    """Prepare the global state for a training, and restore it afterwards.

    Inside, the global generators of PyTorch, NumPy and Python are seeded from the context, so that code may
    draw from them. Afterwards they, modes and `requires_grad` are restored, and `.grad` is removed.
    """
    modes = [(part, part.training) for part in network.modules()]
    flags = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    try:
        with kept_global_state(), borrowed_global_randomness(seed_from(context.seed, "hosted")):
            yield
    finally:
        for part, training in modes:
            part.training = training
        for name, parameter in network.named_parameters():
            parameter.grad = None
            if name in flags:
                parameter.requires_grad_(flags[name])


def _history(
    answer: Any, network: nn.Module, reports: list[dict[str, float]], name: str
) -> list[dict[str, float]]:
    """Return the history: the returned rows, else the reported rows, else one empty row for the training.

    Raises:
        JobError: the returned value is not a list of rows of numbers.
    """
    from torch.nn import Module

    if answer is None or answer is network:
        return reports or [{"epoch": 1.0}]
    rows = [answer] if isinstance(answer, dict) else answer
    try:
        return [{str(key): float(value) for key, value in row.items()} for row in rows]
    except (TypeError, ValueError, AttributeError):
        raise JobError(
            where=name,
            expected="None, or a list of rows such as {'epoch': 1, 'loss': 0.3}",
            got="another network" if isinstance(answer, Module) else f"{answer!r:.80}",
            do="Train the given network in place" if isinstance(answer, Module) else "",
        ) from None
