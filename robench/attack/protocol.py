"""What an attack is: a frozen recipe called on an oracle. No torch at import."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from robench.errors import ConfigError
from robench.recipe import Info

if TYPE_CHECKING:
    from torch import Tensor

    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.model.interface import Model
    from robench.randomness import Randomness
    from robench.types import Images


class Knowledge(StrEnum):
    """What an attacker may see of the model: everything, scores only, or labels only."""

    GRADIENT = "gradient"
    SCORE = "score"
    DECISION = "decision"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackInfo(Info):
    """What is known about an attack without running it.

    Attributes:
        norms: names of the norms it supports.
        knowledge: what it needs to see of the model.
        randomised: whether its result depends on the seed.
        minimises: whether it searches the smallest perturbation instead of any one inside the ball.
        couples_images: whether its proposal for one image depends on the other images of the batch, as with
            one perturbation for all of them. Such a result belongs to a shard, not to an image: it may change
            if the images are split differently, or if some are dropped.
        unconfined: whether its proposals may lie outside the ball and the box, as with a published attack
            that never clips. The judge projects them, and says so; a new attack has no reason to set this.
        goals: which goals it supports.
        layers: whether it reads the layers of the network. The network is then attacked as it is, because a
            faster copy may have other layers.
        rectifiers: whether it attacks only networks of linear layers and rectifiers, whose layers it reads,
            and refuses all others.
        library: the distribution that implements it, `robench` for our own.
        library_version: version of the library, if keys and records contain it beside the attack: another
            version may give other images.
        install: the command that installs the library.
        control: whether it is not an attack but a control that every attack must beat: it lifts no finding.
        own_source: for an attack that chooses itself what it differentiates, the name that records give this
            choice as gradient source. It is crafted once per model, whatever sources a plan names; an attack
            that leaves this empty is crafted once through each source.
        identity: `module:class` as the attack was first published; records and keys keep this name if the
            file of the attack moves. Empty if it has not moved.
        revision: raised whenever the same options give other images than before, so that a run folder does
            not use old images as new ones.
        code: SHA-256 of the source of an attack of a user's file, part of every key; set when the file is
            loaded.
    """

    norms: tuple[str, ...]
    knowledge: Knowledge = Knowledge.GRADIENT
    randomised: bool = False
    minimises: bool = False
    couples_images: bool = False
    unconfined: bool = False
    goals: tuple[str, ...] = ("untargeted", "targeted")
    layers: bool = False
    rectifiers: bool = False
    library: str = "robench"
    library_version: str = ""
    install: str = ""
    control: bool = False
    own_source: str = ""
    identity: str = ""
    revision: int = 1
    code: str = ""


@runtime_checkable
class Attack(Protocol):
    """A recipe: options only. It holds no model and keeps no state."""

    info: ClassVar[AttackInfo]

    def __call__(self, oracle: Oracle, rng: Randomness, /) -> Images:
        """Propose one image per image.

        Args:
            oracle: the only way to the model; it counts passes, and keeps the best evaluated point. It holds
                the clean images `oracle.x` (B, C, H, W) inside the threat model's bounds, the labels
                `oracle.y` (B,), targets under a targeted goal, and `oracle.threat`: norm, radius, bounds and
                goal. An attack must not change any of them.
            rng: per-image randomness; the only source of random numbers an attack may use.

        Returns:
            The last point tried for each image, (B, C, H, W); the judge decides whether it is a success.
        """
        ...


@runtime_checkable
class SelectiveAttack(Protocol):
    """An attack that cannot attack every model, and refuses the others before anything is run."""

    def check_model(self, model: Model, threat: ThreatModel, shape: tuple[int, ...], /) -> None:
        """Refuse a model that it cannot attack.

        Args:
            model: what would be attacked.
            threat: under which threat.
            shape: (C, H, W) of its images.

        Raises:
            ConfigError: says which property of the model or the threat it does not support.
        """
        ...


def check_attackable(
    attack: Attack, model: Model, threat: ThreatModel, shape: tuple[int, ...], *, label: str
) -> None:
    """Refuse a model that an attack cannot attack, before anything is run.

    Raises:
        ConfigError: names the attack, the model, and what the attack does not support.
    """
    if not isinstance(attack, SelectiveAttack):
        return
    try:
        attack.check_model(model, threat, shape)
    except ConfigError as error:
        own = f"model {model.name!r}"
        where = error.where if error.where.startswith(own) else f"{own}, {error.where}"
        do = "Put this model, or this attack, into a configuration of its own"
        raise ConfigError(
            where=f"{label} on {where}", expected=error.expected, got=error.got, do=do
        ) from None


def run_attack(attack: Attack, oracle: Oracle, rng: Randomness, *, copies: bool = True) -> Tensor:
    """Return what an attack proposes for the oracle's images; its call may have either form.

    These should be images (B, C, H, W); an attack of a user's may return anything, which the host checks.

    Args:
        attack: the recipe, called with `(oracle, rng)` or in the older form.
        oracle: the way to the model.
        rng: per-image randomness.
        copies: give an attack of the older form copies of images and labels, which it may change.

    Raises:
        ConfigError: the attack can be called in neither form.
    """
    if has_older_form(attack):
        older: Any = attack
        x, y = (oracle.x.clone(), oracle.y.clone()) if copies else (oracle.x, oracle.y)
        images: Tensor = older(oracle, x, y, threat=oracle.threat, rng=rng)
        return images
    return attack(oracle, rng)


OLDER = {"x", "y", "threat"}
"""Names of parameters that only attacks of the older form have."""


def has_older_form(attack: Attack) -> bool:
    """Tell whether an attack is to be called with `(oracle, x, y, *, threat, rng)`.

    This is the one place that knows the older form. An attack that accepts any arguments,
    `(*args, **options)`, is called in the present form.

    Raises:
        ConfigError: the attack can be called in neither form.
    """
    got = "something that cannot be called"
    if callable(attack):
        signature = inspect.signature(attack)
        if _binds(signature, 0, 0) and not OLDER & set(signature.parameters):
            return False
        if _binds(signature, 0, 0, 0, threat=0, rng=0):
            return True
        got = str(signature)
    raise ConfigError(
        where=f"attack {type(attack).__name__}",
        expected="a call of the form (oracle, rng)",
        got=got,
        do="Write its __call__ as `robench.attack.Attack` has it",
    )


def _binds(signature: inspect.Signature, *values: int, **keywords: int) -> bool:
    try:
        signature.bind(*values, **keywords)
    except TypeError:
        return False
    return True
