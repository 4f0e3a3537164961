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
    """What is known of an attack without running it.

    Attributes:
        norms: names of the norms it supports.
        knowledge: what it needs to see of the model.
        randomised: whether its result depends on the seed.
        minimises: whether it looks for the smallest perturbation rather than for any inside the ball.
        couples_images: whether what it proposes for one image depends on which others it attacks with it, as
            one perturbation for all of them does. Such a result belongs to a shard, not to an image: to split
            the images differently, or to drop some, may change it.
        unconfined: whether what it proposes may lie outside the ball and the box, as a published attack that
            never clips. The judge projects it, and says so; an attack of one's own has no reason for it.
        goals: which goals it can play.
        layers: whether it looks at the layers of the network, which is then attacked as it is: a faster copy
            may have others.
        rectifiers: whether it attacks networks of linear layers and rectifiers only, whose layers it reads,
            and refuses others.
        library: the distribution that implements it, `robench` for our own.
        library_version: its version, where keys and records tell it beside the attack: another version may
            give other images.
        install: the command that installs the library.
        control: whether it is no attack but a control that every attack must beat: it lifts no finding.
        own_source: for an attack that chooses itself what it differentiates, the name its choice is recorded
            under as gradient source. It is crafted once per model, whatever sources a plan names; an attack
            that leaves this empty is crafted once through each of them.
        identity: `module:class` as the attack was first published, which records and keys go on naming when
            its file moves; empty for where it is.
        revision: raised whenever the same options give other images than before, so that a run folder does
            not take old images for new ones.
        code: for an attack of a user's file the SHA-256 of its source, which is part of every key; set when
            the file is loaded.
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
            oracle: the only road to the model; it counts, and remembers the best point it was shown. It holds
                the clean images `oracle.x` (B, C, H, W) inside the threat model's bounds, the labels
                `oracle.y` (B,), targets under a targeted goal, and `oracle.threat`: norm, radius, bounds and
                goal. An attack writes to none of them.
            rng: per-image randomness; the only source of chance an attack may use.

        Returns:
            The last point tried for each image, (B, C, H, W); the judge decides what it is worth.
        """
        ...


@runtime_checkable
class SelectiveAttack(Protocol):
    """An attack that cannot attack every model, and says so before any work."""

    def check_model(self, model: Model, threat: ThreatModel, shape: tuple[int, ...], /) -> None:
        """Refuse a model that it cannot attack.

        Args:
            model: what would be attacked.
            threat: under which threat.
            shape: (C, H, W) of its images.

        Raises:
            ConfigError: says what of the model or the threat it cannot deal with.
        """
        ...


def check_attackable(
    attack: Attack, model: Model, threat: ThreatModel, shape: tuple[int, ...], *, label: str
) -> None:
    """Refuse a model that an attack cannot attack, before anything is run.

    Raises:
        ConfigError: names attack and model, and what it cannot deal with.
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
    """Return what an attack proposes for the oracle's images, (B, C, H, W), whichever form its call has.

    Args:
        attack: the recipe, called with `(oracle, rng)` or in the older form.
        oracle: the road to the model.
        rng: per-image randomness.
        copies: give an attack of the older form copies of images and labels, to which it may write.

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
"""Names of parameters that only an attack of the older form has."""


def has_older_form(attack: Attack) -> bool:
    """Tell whether an attack is to be called with `(oracle, x, y, *, threat, rng)`.

    This is the one place that knows the older form. An attack that takes anything, `(*args, **options)`, is
    called in the form of today.

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
