"""Attacks of libraries: makes an attack with our interface from a row of their table.

A library gets the labels, a plain module around any head and gradient source, and the values of the threat.
Its own result on success is ignored. Restarts are run by us: libraries have none, or choose among them by
another rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field, make_dataclass
from typing import TYPE_CHECKING, Any

from attacks.gradient.pgd import madry_step
from attacks.libraries.rows import Arguments, Library, Row
from attacks.libraries.table import REQUIRED
from attacks.shared.options import finite_radius
from attacks.shared.tries import strongest
from robench.attack.protocol import Attack, AttackInfo
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images, Labels


def in_parts(
    oracle: Oracle, attack: Callable[[Images, Labels], Images], *, most: int | None = None
) -> Images:
    """Return an attack's images for the oracle's images and labels, at most one pass of them at a time.

    Args:
        oracle: gives images and labels.
        attack: makes images (b, C, H, W) from images and labels.
        most: most images at a time, if that is less than a pass; a joint batch is never split.
    """
    import torch

    from robench.model.interface import Coupling

    whole = oracle.model.coupling is Coupling.JOINT
    size = max(len(oracle.x) if whole else min(oracle.batch_size, most or oracle.batch_size), 1)
    parts = zip(torch.split(oracle.x, size), torch.split(oracle.y, size), strict=True)
    return torch.cat([attack(images, labels).detach() for images, labels in parts])


def accepted(kind: Callable[..., Any], arguments: Arguments) -> Arguments:
    """Return the arguments for which a class or function of a library has parameters."""
    import inspect

    parameters = inspect.signature(kind).parameters
    return {name: value for name, value in arguments.items() if name in parameters}


def refuse_other_boxes(oracle: Oracle, library: str) -> None:
    """Refuse a box other than [0, 1] for a library that supports only this.

    Raises:
        ConfigError: the box is another one.
    """
    if oracle.threat.bounds != (0.0, 1.0):
        got = repr(oracle.threat.bounds)
        raise ConfigError(where="bounds", expected=f"(0, 1) for {library}", got=got)


def step_of(attack: Any, eps: float) -> float:
    """Return the length of a step of PGD in input units."""
    return madry_step(eps, attack.steps) if attack.step_size is None else float(attack.step_size)


def attack_classes(library: Library, rows: Iterable[Row]) -> dict[str, type[Attack]]:
    """Return a frozen dataclass for each row, by name."""
    return {row.name: attack_class(library, row) for row in rows}


def attack_class(library: Library, row: Row) -> type[Attack]:
    """Return a frozen dataclass of a row's options that is an attack."""
    names = [option.name for option in row.options]

    def refuse_options(self: Any) -> None:
        """Refuse invalid options, and to exist without the library."""
        library.check_installed(row)
        if row.ours is not None:
            row.ours(**{name: getattr(self, name) for name in names})

    def call(self: Any, oracle: Oracle, rng: Randomness) -> Images:
        """Return the library's images, of the strongest try; see `robench.attack.Attack`.

        Raises:
            ConfigError: the library cannot attack under this threat, or there is a budget.
            JobError: the library raised an error of its own.
        """
        from robench.attack.losses import cross_entropy

        eps = None if row.minimises else finite_radius(oracle.threat.eps, row.label)
        row.refuse(oracle)
        if row.still_at_zero and eps == 0:
            return oracle.x.clone()
        arguments = {**row.arguments(self, eps or 0.0), **row.norm_arguments.get(oracle.threat.norm.name, {})}
        if row.ours is None or "restarts" not in names:  # then restarts, if any, are the library's
            return library.run(oracle, rng, row, arguments, eps)

        def attempt(restart: int) -> Images:
            return library.run(oracle, rng.split("restart", restart), row, arguments, eps)

        return strongest(oracle, self.restarts, attempt, cross_entropy)

    ours: Any = getattr(row.ours, "info", None)
    info = AttackInfo(
        title=row.title,
        paper=row.paper or ours.paper,
        bibtex="\n".join(dict.fromkeys((row.bibtex or ours.bibtex, library.bibtex))),
        norms=tuple(row.theirs),
        knowledge=row.knowledge,
        goals=row.goals,
        randomised=row.randomised,
        minimises=row.minimises,
        couples_images=row.couples_images,
        layers=row.layers,
        library=library.distribution,
        library_version=row.version,
        install=library.install,
    )
    meanings = "\n".join(f"    {option.name}: {option.meaning}" for option in row.options if option.meaning)
    attack: type[Attack] = make_dataclass(
        row.name,
        [
            (
                option.name,
                option.kind,
                field() if option.default is REQUIRED else field(default=option.default),
            )
            for option in row.options
        ],
        namespace={
            "__module__": library.module,
            "__doc__": row.text + (f"\n\nAttributes:\n{meanings}" if meanings else ""),
            "__post_init__": refuse_options,
            "__call__": call,
            "info": info,
        },
        frozen=True,
        slots=True,
        kw_only=True,
    )
    return attack
