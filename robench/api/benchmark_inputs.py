"""What `benchmark` may be given: models or plain networks, an image set or arrays, attacks or their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from robench.api.makers import Network, make_attack, wrap
from robench.attack.protocol import Attack
from robench.attack.threat import ThreatModel
from robench.data.images import ImageSet, image_set
from robench.errors import ConfigError, InputError, PluginError, nearest
from robench.model.interface import Model
from robench.plan.presets import PRESETS, attacks_of
from robench.plan.radius import EXPECTED

ModelLike = Model | Network
"""What can be evaluated: a model, or a plain network or function."""
AttackLike = Attack | str | Callable[..., Any]
"""An attack with its options, the name of one, or a function `(model, x, y, eps)`."""


def models_from(
    models: Mapping[str, ModelLike] | Sequence[ModelLike] | ModelLike, images: ImageSet
) -> list[Model]:
    """Return models; a plain network becomes a model with the name of its class, or its key in a mapping.

    Raises:
        InputError: something is neither.
    """
    value: object = models
    if isinstance(value, Mapping):
        return [replace(_model(one, images), name=str(name)) for name, one in value.items()]
    every = value if isinstance(value, list | tuple) else [value]
    return [_model(one, images) for one in every]


def _model(value: object, images: ImageSet) -> Model:
    if isinstance(value, Model):
        return value
    if isinstance(value, type) or not callable(value):
        got = f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
        do = "Make one with `robench.wrap(net, name=..., classes=...)`"
        raise InputError(where="models", expected="a Model, a torch.nn.Module or a function", got=got, do=do)
    name = type(value).__name__ if isinstance(value, nn.Module) else getattr(value, "__name__", "model")
    return wrap(value, name=name.strip("<>"), classes=len(images.classes))


def images_from(images: ImageSet | tuple[Any, Any]) -> ImageSet:
    """Return an image set, from a set or from images and labels.

    Raises:
        InputError: they are neither, or refused.
    """
    if isinstance(images, ImageSet):
        return images
    value: object = images
    if isinstance(value, tuple | list) and len(value) == 2:
        return image_set(value[0], value[1], name="images")
    do = "Make one with `robench.image_set(images, labels)`"
    expected = "an ImageSet, or a pair of images and labels"
    raise InputError(where="images", expected=expected, got=f"a {type(value).__name__}", do=do)


def missing_radius() -> ConfigError:
    """Return the error of a call without a radius."""
    do = 'Write eps="8/255" for this radius, or eps="inf" for the smallest perturbation'
    return ConfigError(where="eps", expected=EXPECTED, got="none", do=do)


def check_radius(threat: ThreatModel) -> None:
    """Refuse an Linf radius larger than the whole range of pixel values, which was meant in 255ths.

    Raises:
        ConfigError: the radius is so large.
    """
    if threat.norm.name == "Linf" and threat.bounded and threat.eps > 1:
        do = f"Write {threat.eps:g}/255 if pixels from 0 to 255 were meant, or inf for any change"
        expected = "an Linf radius of at most 1, as pixels lie in [0, 1]"
        raise ConfigError(where="eps", expected=expected, got=f"{threat.eps:g}", do=do)


def attacks_from(
    attacks: Mapping[str, AttackLike] | Sequence[AttackLike] | AttackLike, *, norm: str, smallest: bool
) -> dict[str, Attack]:
    """Return attacks by column label, from a mapping, one attack or several; a preset gives several.

    Args:
        attacks: the argument of the user.
        norm: norm of the threat.
        smallest: whether the threat has no radius.

    Raises:
        InputError: they are none of these, or two would share a column.
        PluginError: no attack has that name.
        ConfigError: a preset has no attack under the norm.
    """
    value: object = attacks
    if isinstance(value, Mapping):
        return {str(label): make_attack(attack) for label, attack in value.items()}
    several: list[Any] = [*value] if isinstance(value, list | tuple) else [value]
    for one in several:
        if not (isinstance(one, str) or callable(one) or hasattr(one, "info")):
            expected = (
                'a mapping such as {"PGD": robench.make_attack("pgd")}, or names such as ["pgd", "fgsm"]'
            )
            raise InputError(where="attacks", expected=expected, got=f"a {type(one).__name__}")
    recipes: dict[str, Attack] = {}
    for one in several:
        for label, recipe in _labelled(one, norm, smallest).items():
            if label in recipes and recipes[label] != recipe:
                do = f'Name them: attacks={{"first": ..., "second": ...}} in place of two `{label}`'
                raise InputError(where="attacks", expected="a column for each attack", got=label, do=do)
            recipes[label] = recipe
    return recipes


def _labelled(attack: AttackLike, norm: str, smallest: bool) -> dict[str, Attack]:
    """Return one attack, or those of a preset, by the labels of their columns."""
    if not isinstance(attack, str):
        name = str(getattr(attack, "__name__", type(attack).__name__)).strip("<>")
        return {name: make_attack(attack)}
    return _preset(attack, norm, smallest) if attack in PRESETS else {attack: _named(attack)}


def _named(name: str) -> Attack:
    """Return an attack with its defaults.

    Raises:
        PluginError: no attack has that name, or its library is not installed; a preset near to it is given.
    """
    try:
        return make_attack(name)
    except PluginError as error:
        do = nearest(name, PRESETS)
        if not do.endswith("?") or "/" in name:
            raise
        expected = "a preset or the name of an installed attack"
        raise PluginError(where="attacks", expected=expected, got=repr(name), do=do) from error


def _preset(name: str, norm: str, smallest: bool) -> dict[str, Attack]:
    """Return the attacks of a preset under the labels that a configuration gives them."""
    recipes: dict[str, Attack] = {}
    for entry in attacks_of(PRESETS[name], norm=norm, smallest=smallest):
        attack, options = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
        label = attack if isinstance(entry, str) else entry.get("label", attack)
        recipes[label] = make_attack(attack, **options)
    return recipes
