"""The same attack by several libraries, on the same images: who broke what, and who is weaker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robench import plugins
from robench.api import benchmark
from robench.attack import Attack
from robench.data import ImageSet
from robench.errors import ConfigError, JobError, PluginError, nearest
from robench.model import Model
from robench.recipe import build, describe
from robench.record import Status
from robench.statistics import SIGNIFICANCE, discordant, mcnemar

LIBRARIES = ("art", "torchattacks", "foolbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One implementation of the attack.

    Attributes:
        name: plugin name.
        n: images.
        robust: images it did not break.
        alone: images that only this version broke.
        missed: images another version broke and this one did not.
        p_value: of the exact McNemar test against the strongest version; 1 for the strongest itself.
        passes: forwards plus backwards per image.
        seconds: wall-clock time of the attack.
        median: median size of the perturbation of broken images, in the threat's norm; None if none broke.
    """

    name: str
    n: int
    robust: int
    alone: int
    missed: int
    p_value: float
    passes: float
    seconds: float
    median: float | None

    @property
    def weaker(self) -> bool:
        """Whether it broke fewer images than the strongest version, beyond chance (5 %)."""
        return self.p_value < SIGNIFICANCE


def family(name: str, options: Mapping[str, Any]) -> tuple[dict[str, Attack], dict[str, str]]:
    """Return every installed version of an attack, with the same options, and why others are left out.

    Args:
        name: our plugin's name, such as `pgd`.
        options: set alike in every version; the rest is our version's default where it has that option.

    Raises:
        PluginError: robench has no attack of that name.
        ConfigError: no library has a version of it, or an option is refused by ours.
    """
    ours = plugins.find("attacks", name, where="parity")
    made: dict[str, Attack] = {name: build(ours, dict(options), where=name)}
    absent: dict[str, str] = {}
    known = plugins.names("attacks")
    if not any(f"{library}/{name}" in known for library in LIBRARIES):
        pairs = sorted({other.partition("/")[2] for other in known if "/" in other})
        do = nearest(name, pairs)
        raise ConfigError(where="parity", expected="an attack that a library has too", got=repr(name), do=do)
    default = {key: getattr(made[name], key) for key in describe(ours)}
    for library in LIBRARIES:
        theirs = f"{library}/{name}"
        if theirs not in known:
            absent[theirs] = "no version of this attack"
            continue
        recipe = plugins.find("attacks", theirs)
        shared = {key: value for key, value in default.items() if key in describe(recipe)}
        try:
            made[theirs] = build(recipe, shared, where=theirs)
        except PluginError as error:
            absent[theirs] = error.got
    return made, absent


def parity(
    model: Model,
    images: ImageSet,
    attacks: Mapping[str, Attack],
    *,
    norm: str,
    eps: float,
    source: str | None = None,
    seed: int = 0,
    batch_size: int = 250,
) -> list[Version]:
    """Run every version on the same images of one model and compare them image by image, strongest first.

    Args:
        model: the model.
        images: what to attack.
        attacks: as `family` returns them.
        norm: the threat's norm.
        eps: the threat's radius; `inf` for minimising attacks.
        source: gradient source for all of them; the model's first by default.
        seed: source of all chance.
        batch_size: most images per pass.

    Raises:
        ConfigError: a version cannot play under this norm.
        JobError: a version failed.
    """
    chosen = source or next(iter(model.sources))
    found = benchmark(
        [model],
        images,
        attacks=attacks,
        norm=norm,
        eps=eps,
        sources={model.name: [chosen]},
        transfer=False,
        seed=seed,
        shard=len(images),
        batch_size=batch_size,
    )
    if found.failures:
        raise JobError(where="parity", expected="every version to run", got=found.failures[0])
    columns = {str(r.attack["label"]): r for r in found.records if r.attack["label"] in attacks}
    stands = {name: [s == Status.ROBUST for s in r.columns.status] for name, r in columns.items()}
    order = sorted(stands, key=lambda name: (sum(stands[name]), list(attacks).index(name)))
    return [_version(name, columns[name], stands, order[0], norm) for name in order]


def _version(name: str, record: Any, stands: dict[str, list[bool]], strongest: str, norm: str) -> Version:
    columns, mine = record.columns, stands[name]
    others = [theirs for other, theirs in stands.items() if other != name]
    sizes = sorted(
        size
        for size, status in zip(columns.l2 if norm == "L2" else columns.linf, columns.status, strict=True)
        if status == Status.BROKEN
    )
    passes = sum(columns.forwards) + sum(columns.backwards)
    return Version(
        name=name,
        n=len(mine),
        robust=sum(mine),
        alone=sum(not m and all(o) for m, o in zip(mine, _rows(others, len(mine)), strict=True)),
        missed=sum(m and not all(o) for m, o in zip(mine, _rows(others, len(mine)), strict=True)),
        p_value=1.0 if name == strongest else mcnemar(*discordant(mine, stands[strongest])),
        passes=passes / len(mine),
        seconds=float(record.provenance["seconds"]),
        median=sizes[len(sizes) // 2] if sizes else None,
    )


def _rows(columns: Sequence[Sequence[bool]], n: int) -> list[list[bool]]:
    return [[column[i] for column in columns] for i in range(n)]
