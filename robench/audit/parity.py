"""The same attack by several libraries, on the same images: what each one broke, and which are weaker."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from robench import plugins
from robench.attack.craft import Crafted
from robench.attack.norms import norm_named
from robench.attack.protocol import Attack
from robench.attack.threat import ThreatModel
from robench.data.images import ImageSet
from robench.errors import ConfigError, JobError, PluginError
from robench.model.interface import Model
from robench.recipe import build, describe
from robench.record.measures.curves import size_column
from robench.record.measures.statistics import SIGNIFICANCE, discordant, mcnemar
from robench.record.schema import Record, Status
from robench.run.crafting import Board
from robench.run.evaluate import evaluate
from robench.run.evaluated_model import EvaluatedModel
from robench.run.keeper import Memory
from robench.run.settings import Settings
from robench.run.work import Work

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
        most: most forwards plus backwards on one image; ours stops at broken images, libraries go on.
        seconds: wall-clock time of the attack.
        median: median size of the perturbation of broken images, in the threat's norm; None if none broke.
        index: position of every image in the full split.
        stands: whether this version left the image robust.
        silent: whether it was broken only by a point that a library evaluated and did not return.
    """

    name: str
    n: int
    robust: int
    alone: int
    missed: int
    p_value: float
    passes: float
    most: float
    seconds: float
    median: float | None
    index: tuple[int, ...] = ()
    stands: tuple[bool, ...] = ()
    silent: tuple[bool, ...] = ()

    @property
    def returned(self) -> int:
        """How many images stay robust against the returned points: what the library itself would count."""
        return self.robust + sum(self.silent)

    @property
    def weaker(self) -> bool:
        """Whether it broke fewer images than the strongest version, beyond chance (5 %)."""
        return self.p_value < SIGNIFICANCE


@dataclass(slots=True)
class _SilentMemory(Memory):
    """A `Memory` that also stores which images of a crafting were broken by a point that was not returned."""

    silent: dict[str, list[bool]] = field(default_factory=dict)

    def keep_crafted(self, key: str, crafted: Crafted) -> None:
        """Keep the newest crafted images, and the silent successes of every crafting."""
        Memory.keep_crafted(self, key, crafted)
        self.silent[key] = crafted.ledger.silent.tolist()


def family(name: str, options: Mapping[str, Any]) -> tuple[dict[str, Attack], dict[str, str]]:
    """Return every installed version of an attack, with the same options, and why others are left out.

    Args:
        name: our plugin's name, such as `pgd`.
        options: set equally in every version; others have our version's default, if it has the option.

    Raises:
        PluginError: robench has no attack of that name.
        ConfigError: no library has a version of it, or an option is refused by ours.
    """
    ours = plugins.find("attacks", name, where="parity")
    versions: dict[str, Attack] = {name: build(ours, dict(options), where=name)}
    absent: dict[str, str] = {}
    catalogue = plugins.names("attacks")
    if not any(f"{library}/{name}" in catalogue for library in LIBRARIES):
        raise _no_twin(name, catalogue)
    default = {key: getattr(versions[name], key) for key in describe(ours)}
    for library in LIBRARIES:
        theirs = f"{library}/{name}"
        if theirs not in catalogue:
            absent[theirs] = "no version of this attack"
            continue
        recipe = plugins.find("attacks", theirs)
        common = {key: value for key, value in default.items() if key in describe(recipe)}
        try:
            versions[theirs] = build(recipe, common, where=theirs)
        except PluginError as error:
            absent[theirs] = f"{error.got}. {error.do}" if error.do else error.got
    return versions, absent


def _no_twin(name: str, catalogue: Collection[str]) -> ConfigError:
    """Return the error that no library's version has the same options; name the nearest attack."""
    twins = sorted(one for one in catalogue if any(f"{library}/{one}" in catalogue for library in LIBRARIES))
    word = name.replace("_", "").lower()
    near = [other for other in sorted(catalogue) if other.partition("/")[2].lower() == word]
    near.sort(key=lambda other: other.partition("/")[0] not in LIBRARIES)
    beside = f", or run it beside {near[0]} in one configuration" if near else ""
    return ConfigError(
        where="parity",
        expected=f"an attack with the same options in a library ({', '.join(twins)})",
        got=repr(name),
        do=f"Choose one of these{beside}",
    )


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
        seed: seed of all random numbers.
        batch_size: most images per pass.

    Raises:
        ConfigError: a version does not support this norm.
        JobError: a version failed.
    """
    gradient_source = source or next(iter(model.sources))
    threat = ThreatModel(norm=norm_named(norm), eps=eps)
    work = Work(
        models=[EvaluatedModel(model=model, fingerprint=model.fingerprint(), sources=(gradient_source,))],
        data=images,
        boards=[Board(threat=threat, eps_text=f"{eps:g}", attacks=dict(attacks))],
        settings=Settings(transfer=False, seed=seed, shard=len(images), batch_size=batch_size),
    )
    memory = _SilentMemory()
    records = [unit.record for unit in evaluate(work, memory)]
    if memory.failures:
        raise JobError(
            where="parity", expected="every version to run", got=next(iter(memory.failures.values()))
        )
    columns = {r.attack.label: r for r in records if r.attack.label in attacks}
    stands = {name: [s == Status.ROBUST for s in r.columns.status] for name, r in columns.items()}
    order = sorted(stands, key=lambda name: (sum(stands[name]), list(attacks).index(name)))
    return [_version(name, columns[name], stands, order[0], memory) for name in order]


def disputed(versions: Sequence[Version]) -> dict[tuple[str, ...], list[int]]:
    """Return which versions broke which images, if not all did the same: versions to indices of images."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for position, index in enumerate(versions[0].index):
        breakers = tuple(v.name for v in versions if not v.stands[position])
        if 0 < len(breakers) < len(versions):
            groups.setdefault(breakers, []).append(index)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def _version(
    name: str, record: Record, stands: dict[str, list[bool]], strongest: str, memory: _SilentMemory
) -> Version:
    columns, mine = record.columns, stands[name]
    others = [theirs for other, theirs in stands.items() if other != name]
    sizes = sorted(
        size
        for size, status in zip(getattr(columns, size_column(record)), columns.status, strict=True)
        if status == Status.BROKEN
    )
    passes = [
        forwards + backwards for forwards, backwards in zip(columns.forwards, columns.backwards, strict=True)
    ]
    return Version(
        name=name,
        n=len(mine),
        robust=sum(mine),
        alone=sum(not m and all(o) for m, o in zip(mine, _rows(others, len(mine)), strict=True)),
        missed=sum(m and not all(o) for m, o in zip(mine, _rows(others, len(mine)), strict=True)),
        p_value=1.0 if name == strongest else mcnemar(*discordant(mine, stands[strongest])),
        passes=sum(passes) / len(mine),
        most=max(passes),
        seconds=record.provenance.seconds,
        median=sizes[len(sizes) // 2] if sizes else None,
        index=tuple(columns.index),
        stands=tuple(mine),
        silent=tuple(
            miss and status == Status.BROKEN
            for miss, status in zip(memory.silent[record.provenance.crafted], columns.status, strict=True)
        ),
    )


def _rows(columns: Sequence[Sequence[bool]], n: int) -> list[list[bool]]:
    return [[column[i] for column in columns] for i in range(n)]
