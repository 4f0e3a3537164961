"""Which attacks `quick`, `standard` and `full` mean under a norm. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robench import plugins
from robench.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A choice of attacks, and a number of images that suits their cost.

    Attributes:
        name: name of the preset.
        meaning: in a few words.
        limit: default number of images to evaluate; None for all.
        bounded: attacks inside a ball, as a configuration names them.
        smallest: attacks that search the smallest perturbation, for `eps: inf`.
    """

    name: str
    meaning: str
    limit: int | None
    bounded: tuple[Any, ...]
    smallest: tuple[Any, ...]


# Numbers are written out even where they are an attack's defaults: a preset shall not change with these.
PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="quick",
            meaning="a first look: few steps, 200 images",
            limit=200,
            bounded=(
                {"apgd": {"steps": 20}},
                {"apgd": {"steps": 20, "loss": "margin"}, "label": "apgd-margin"},
                {"square": {"queries": 200}},
                {"sigma_zero": {"steps": 50}},
            ),
            smallest=(
                {"fmn": {"steps": 50}},
                {"fab": {"steps": 20}},
                {"pdpgd": {"steps": 50}},
                {"sigma_zero": {"steps": 50}},
            ),
        ),
        Preset(
            name="standard",
            meaning="PGD and what AutoAttack breaks at a part of its price, 1,000 images",
            limit=1000,
            bounded=({"pgd": {"steps": 40}}, "economical_autoattack", {"sigma_zero": {"steps": 100}}),
            smallest=(
                {"ddn": {"steps": 100}},
                {"fmn": {"steps": 100}},
                {"fab": {"steps": 50}},
                {"pdpgd": {"steps": 100}},
                {"sigma_zero": {"steps": 100}},
            ),
        ),
        Preset(
            name="full",
            meaning="AutoAttack as published, its economical form and PGD with restarts, all images",
            limit=None,
            bounded=(
                {"pgd": {"steps": 100, "restarts": 5}},
                "economical_autoattack",
                "autoattack",
                "sigma_zero",
            ),
            smallest=(
                "cw",
                "ddn",
                "fmn",
                "deepfool",
                {"fab": {"restarts": 3}},
                "pdpgd",
                "sigma_zero",
            ),
        ),
    )
}


def attacks_of(preset: Preset, *, norm: str, smallest: bool) -> list[Any]:
    """Return the attacks of a preset that support a norm, as a configuration names them.

    Args:
        preset: the choice.
        norm: such as `Linf`.
        smallest: whether there is no radius.

    Raises:
        ConfigError: there is none.
    """
    entries = [
        attack
        for attack in (preset.smallest if smallest else preset.bounded)
        if norm in plugins.find("attacks", name_of(attack)).info.norms
    ]
    if not entries:
        expected = f"attacks of the preset {preset.name!r} under {norm}"
        do = "Name attacks: --attacks NAME,NAME; `robench list attacks` shows them"
        raise ConfigError(where="--attacks", expected=expected, got="none", do=do)
    return entries


def name_of(attack: Any) -> str:
    """Return the name of an attack as a configuration writes it, alone or above its options."""
    return attack if isinstance(attack, str) else str(next(iter(attack)))
