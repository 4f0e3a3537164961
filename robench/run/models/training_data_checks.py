"""Refuses training data that a head or a defense cannot use before the first network is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from robench import plugins, recipe
from robench.data.images import ImageSet
from robench.errors import InputError
from robench.model.user_defenses import defense_of
from robench.plan.spec import DataSpec, ModelSpec, Plan
from robench.randomness import seed_from


@runtime_checkable
class ParticularHead(Protocol):
    """A head that cannot be put on every network's training data."""

    def check(self, training_data: Callable[[], ImageSet], *, classes: int, seed: int) -> None:
        """Refuse data that it would refuse after the training, with the same random choices.

        Raises:
            InputError: the data is not suitable.
        """
        ...


@runtime_checkable
class ParticularDefense(Protocol):
    """A defense that cannot use every training data set."""

    def check(self, data: ImageSet, *, seed: int) -> None:
        """Refuse data that it would refuse during the training, with the same random choices.

        Raises:
            InputError: the data is not suitable.
        """
        ...


def check_training_data(
    plan: Plan,
    *,
    classes: int,
    load: Callable[[DataSpec], ImageSet],
    training_data: Callable[[ModelSpec], Callable[[], ImageSet]],
    trust_code: bool = False,
) -> None:
    """Call the `check` of every head and defense of a plan that has one.

    Args:
        plan: the plan.
        classes: number of classes.
        load: returns the images of a specification.
        training_data: maps a model to a function that returns the training split of its network.
        trust_code: whether a defense's file may be run.

    Raises:
        InputError: a check refused the data; names the model.
        RobenchError: an option is refused, or the data cannot be loaded.
    """
    for spec in plan.models:
        where = spec.head.where or spec.where
        kind = plugins.find("heads", spec.head.name, where=where)
        head = recipe.build(kind, spec.head.options, where=where)
        if isinstance(head, ParticularHead):
            with _naming(spec.name):
                head.check(training_data(spec), classes=classes, seed=seed_from(plan.seed, "template"))
        if spec.train is None:
            continue
        defense = defense_of(spec.train.defense, trust_code=trust_code)
        if isinstance(defense, ParticularDefense):
            with _naming(spec.name):
                defense.check(load(spec.train.data), seed=seed_from(plan.seed, "train"))


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Name the model in a refusal."""
    try:
        yield
    except InputError as error:
        where = f"model {name!r}, {error.where}" if error.where else f"model {name!r}"
        raise InputError(expected=error.expected, got=error.got, do=error.do, where=where) from None
