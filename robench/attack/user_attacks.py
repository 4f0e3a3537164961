"""Attacks of a user's file: a plugin class, a plain function, or a class in the form of torchattacks.

Accepted are, under `path/to/mine.py:NAME`,

- a frozen dataclass with an `AttackInfo`, like every plugin (docs/plugins.md);
- a function `(model, x, y, eps)` that returns images like x; further parameters are options, and `norm`,
  `targeted` and `seed` are passed if the function has these parameters;
- a class created with its options, whose instances are called like such a function;
- a class created with the model first, `MyAttack(model, eps=...)`, whose instances are called with `(x, y)`.

The model is lent as to a library's attack (`robench.attack.library_model`): a module that returns scores,
counts passes and cannot be changed.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from robench import plugins, recipe
from robench.attack.norms import NORMS
from robench.attack.protocol import Attack, AttackInfo
from robench.attack.returned_images import images_like
from robench.errors import ConfigError
from robench.intake.user_code import is_reference
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
from robench.randomness import borrowed_global_randomness

if TYPE_CHECKING:
    from torch import Tensor

    from robench.attack.oracle import Oracle
    from robench.attack.surrogate_module import SurrogateModule
    from robench.randomness import Randomness
    from robench.types import Images

IMAGES = "adversarial images"
"""What an attack should return, in the message of its failure."""
ASKED = ", after it had asked about images of shape"
GIVEN = ("norm", "targeted", "seed")
"""Parameters that get their value from the threat, if the function has them."""

Run = Callable[[Any, "SurrogateModule", "Tensor", "Tensor", float, dict[str, Any]], Any]
"""From recipe, model, images, labels, radius and those parameters to adversarial images."""


def attack_named(name: str, options: dict[str, Any], *, trust_code: bool = False, where: str = "") -> Attack:
    """Return an attack with options, by its plugin name or by its file.

    Args:
        name: such as `pgd`, `art/pgd` or `path/to/mine.py:MyAttack`.
        options: by name.
        trust_code: whether a file may be run.
        where: for messages.

    Raises:
        PluginError: no attack has that name.
        ConfigError: an option is unknown or refused, the file may not be run or has no attack of that name.
    """
    kind = attack_class(name, trust_code=trust_code, where=where)
    attack: Attack = recipe.build(kind, options, where=where)
    return attack


def attack_class(name: str, *, trust_code: bool = False, where: str = "") -> type[Any]:
    """Return the recipe class of an attack by its plugin name or by file; see `attack_named`."""
    if not is_reference(name):
        plugin: type[Any] = plugins.find("attacks", name, where=where)
        return plugin
    return _class_of(user_object(name, trust_code=trust_code, where=where), where)


def attack_from(user: UserObject, options: dict[str, Any]) -> Attack:
    """Return an attack made of a function or class of the running program, with options.

    Raises:
        ConfigError: it is not an attack, or an option is unknown or refused.
    """
    attack: Attack = recipe.build(_class_of(user, user.name), options, where=user.name)
    return attack


def _class_of(user: UserObject, where: str) -> type[Any]:
    return _plugin(user, where) if is_recipe(user.value, AttackInfo) else _plain(user, where)


def _plugin(user: UserObject, where: str) -> type[Any]:
    """Return a plugin, identified by its file's content; it may draw from the global generators."""
    own = user.value.__call__

    def call(self: Any, oracle: Oracle, *arguments: Any, **keywords: Any) -> Images:
        """Run the attack with the global generators seeded, and restore them afterwards."""
        rng: Randomness = keywords["rng"] if "rng" in keywords else arguments[-1]
        # It uses an oracle: here it is not known whether the network or the attack raised the error.
        boundary = told_by_line(user, expected=IMAGES)
        with borrowed_global_randomness(rng.torch_seed()), boundary:
            return images_like(own(self, oracle, *arguments, **keywords), oracle.x, user.name)

    setattr(call, "__signature__", inspect.signature(own))  # noqa: B010 - says which form its call has
    info = replace(user.value.info, identity=user.name, code=user.digest)
    return recipe_from(user, {"info": info, "__call__": call}, where=where)


def _plain(user: UserObject, where: str) -> type[Any]:
    """Return the recipe class of a function or class that does not use robench."""
    value = user.value
    made_with = parameters_of(value, where)
    if not isinstance(value, type):
        _check_unbound(value, made_with, where)
        run: Run = _function
        parameters, options = made_with, options_among(made_with, skip=4, given=GIVEN)
    elif not _has_callable_instances(value):
        raise _not_callable(user, made_with, where)
    elif made_with and made_with[0].name == "model":
        run = _made_with_model
        parameters, options = made_with, options_among(made_with, skip=1, given=(*GIVEN, "eps"))
    else:
        run = _made_first
        parameters, options = (
            parameters_of(value.__call__, where)[1:],
            options_among(made_with, skip=0, given=()),
        )
    if run is not _made_with_model:
        _check_call(user, parameters, where)
    names = [name for name in GIVEN if any(parameter.name == name for parameter in parameters)]

    def call(self: Any, oracle: Oracle, rng: Randomness) -> Images:
        """Lend the model to the user's code and return its images; see `robench.attack.Attack`.

        Raises:
            ConfigError: a targeted goal, and the code has no parameter `targeted`; or there is a budget.
            JobError: the returned value is not images like x.
        """
        return _lent(self, oracle, rng, user=user, run=run, names=names)

    info = AttackInfo(
        title=user.name.rpartition(":")[2],
        paper=f"none; a user's file, {user.name.partition(':')[0]}",
        norms=_norms(user, where),
        randomised=True,
        minimises=bool(getattr(value, "minimises", False)),
        library=user.name.partition(":")[0],
        identity=user.name,
        code=user.digest,
    )
    members = {"info": info, "__call__": call, "__module__": __name__, "user_code": staticmethod(value)}
    if run is _function:
        members["usage"] = f"{info.title}(model, x, y, eps): all further parameters are options"
    return recipe_of(user, options, members, where=where)


def _has_callable_instances(kind: type[Any]) -> bool:
    """Tell whether a class or one of its bases has a `__call__`; a class itself can always be called."""
    return any("__call__" in vars(ancestor) for ancestor in kind.__mro__)


def _not_callable(user: UserObject, made_with: Sequence[inspect.Parameter], where: str) -> ConfigError:
    """Return the refusal of a class whose instances cannot be called."""
    has_model = bool(made_with) and made_with[0].name == "model"
    call = "__call__(x, y)" if has_model else "__call__(model, x, y, eps)"
    do = "Give it that method, which returns the adversarial images"
    if callable(getattr(user.value, "forward", None)):
        do = "Where `forward` returns the adversarial images, add `__call__ = forward` to the class"
    expected, got = f"a class with the method {call}", f"{user.name} without a __call__"
    return ConfigError(where=where, expected=expected, got=got, do=do)


def _check_unbound(value: object, parameters: Sequence[inspect.Parameter], where: str) -> None:
    """Refuse an object that attacks a network of its own, as those of libraries do.

    An object that is called with the model to attack may have another network, such as a surrogate.
    """
    is_lent = bool(parameters) and parameters[0].name == "model"
    if not is_lent and isinstance(getattr(value, "model", None), nn.Module):
        kind = type(value)
        library = kind.__module__.partition(".")[0]
        raise ConfigError(
            where=where,
            expected="an attack that is lent the network",
            got=f"a {kind.__name__} of {library}, made with a network of its own",
            do=f"Give its class with its options, or such a name as '{library}/{kind.__name__}'",
        )


def _check_call(user: UserObject, parameters: list[inspect.Parameter], where: str) -> None:
    """Refuse what cannot be called with `(model, x, y, eps)`."""
    positional = [p for p in parameters if p.kind in POSITIONAL]
    anything = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    if len(positional) >= 4 or anything:
        return
    raise ConfigError(
        where=where,
        expected=f"{user.name.rpartition(':')[2]}(model, x, y, eps), or a plugin class with an AttackInfo",
        got=f"{user.name}({', '.join(str(p) for p in parameters)})",
        do="Take model, images, labels and radius, in this order, and return the adversarial images",
    )


def _norms(user: UserObject, where: str) -> tuple[str, ...]:
    """Return the norms that an attribute `norms` of the code names; all by default."""
    norms = getattr(user.value, "norms", tuple(NORMS))
    names = (norms,) if isinstance(norms, str) else tuple(norms)
    if strangers := [name for name in names if name not in NORMS]:
        expected = f"norms of {user.name} among {', '.join(NORMS)}"
        raise ConfigError(where=where, expected=expected, got=repr(strangers[0]))
    return names


def _function(
    attack: Any, model: SurrogateModule, x: Tensor, y: Tensor, eps: float, context: dict[str, Any]
) -> Any:
    return attack.user_code(model, x, y, eps, **recipe.options_of(attack), **context)


def _made_first(
    attack: Any, model: SurrogateModule, x: Tensor, y: Tensor, eps: float, context: dict[str, Any]
) -> Any:
    return attack.user_code(**recipe.options_of(attack))(model, x, y, eps, **context)


def _made_with_model(
    attack: Any, model: SurrogateModule, x: Tensor, y: Tensor, eps: float, context: dict[str, Any]
) -> Any:
    names = inspect.signature(attack.user_code).parameters
    radius = {"eps": eps} if "eps" in names else {}
    return attack.user_code(model, **radius, **recipe.options_of(attack), **context)(x, y)


def _lent(
    attack: Any, oracle: Oracle, rng: Randomness, *, user: UserObject, run: Run, names: list[str]
) -> Images:
    import torch

    from robench.attack.library_model import lent
    from robench.attack.threat import Goal
    from robench.model.interface import Coupling

    targeted = oracle.threat.goal is Goal.TARGETED
    if targeted and "targeted" not in names:
        do = "Give it the parameter `targeted`; y are then the classes to aim at"
        raise ConfigError(where=user.name, expected="an untargeted goal", got="a targeted one", do=do)
    whole = oracle.model.coupling is Coupling.JOINT
    size = max(len(oracle.x) if whole else oracle.batch_size, 1)
    values = {"norm": oracle.threat.norm.name, "targeted": targeted, "seed": rng.torch_seed()}
    context = {name: values[name] for name in names}
    eps = oracle.threat.eps if oracle.threat.bounded else math.inf
    parts = []
    with (
        lent(oracle, rng, name=user.name, owner="the attack") as model,
        told_by_line(
            user,
            expected=IMAGES,
            owner="the attack's own",
            passes=lambda error: error is model.error,
            after=lambda: f"{ASKED} {model.odd_shape}" if model.odd_shape is not None else "",
        ),
        torch.enable_grad(),
    ):
        for x, y in zip(torch.split(oracle.x, size), torch.split(oracle.y, size), strict=True):
            parts.append(
                images_like(run(attack, model, x.clone(), y.clone(), eps, dict(context)), x, user.name)
            )
    return torch.cat(parts) if parts else oracle.x.clone()
