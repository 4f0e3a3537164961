"""The workload of a run, in parts whose jobs take equally long, to estimate the time left. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robench.recipe import options_of

if TYPE_CHECKING:
    from robench.run.work import Work

COUNTS = frozenset(
    {
        "steps", "restarts", "queries", "samples", "sweeps", "binary_search_steps", "rounds", "max_iter",
        "iter", "nb_random_init", "n_restarts", "n_queries", "max_iterations", "num_steps", "nb_restarts",
        "sample_size", "eot_iter", "max_steps", "iterations",
    }
)  # fmt: skip
"""Options that are numbers of passes; their product counts."""

ENSEMBLES: Mapping[str, int] = {"AutoAttack": 3000, "EconomicalAutoAttack": 1500}
"""Approximate passes on an image of attacks whose options do not show them, by class."""

SLOW = 1000
"""Number of passes on an image from which an attack counts as slow."""

MOST = 20_000
"""Most passes of an estimate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Jobs that take equally long: one attack on one model through one gradient source, on every shard.

    Attributes:
        title: title of the jobs in progress messages.
        attack: its column and threat.
        library: the distribution that implements the attack.
        model: name of the attacked model.
        jobs: number of jobs.
        units: number of units per job.
        passes: approximate number of passes on one image.
    """

    title: str
    attack: str
    library: str
    model: str
    jobs: int
    units: int
    passes: float


def parts_of(work: Work) -> Iterator[Part]:
    """Yield the parts of a work: every model on clean images, every crafting, every way to bound."""
    shards = list(work.shards())
    for entry in work.models:
        name = entry.model.name
        yield Part(
            title=f"clean on {name}", attack="clean", library="robench", model=name,
            jobs=len(shards), units=1, passes=1.0,
        )  # fmt: skip
    for crafting in work.craftings:
        yield Part(
            title=crafting.title,
            attack=f"{crafting.label}, {crafting.threat.norm.name} {crafting.board.eps_text}",
            library=crafting.attack.info.library,
            model=crafting.source.model.name,
            jobs=len(shards),
            units=len(crafting.targets),
            passes=expected_passes(crafting.attack),
        )
    for bounding in work.boundings:
        yield Part(
            title=bounding.title, attack=f"{bounding.label} bounds", library="bounds",
            model=bounding.target.model.name, jobs=work.count_bounding_jobs(bounding), units=1, passes=1.0,
        )  # fmt: skip


def multiplied(work: Work) -> Iterator[str]:
    """Yield a warning for each model that slow attacks attack through several gradient sources."""
    slow: dict[str, dict[str, list[str]]] = {}
    for crafting in work.craftings:
        if expected_passes(crafting.attack) >= SLOW and not crafting.attack.info.own_source:
            columns = slow.setdefault(crafting.source.model.name, {})
            sources = columns.setdefault(crafting.label, [])
            if crafting.gradient_source not in sources:
                sources.append(crafting.gradient_source)
    for model, columns in slow.items():
        sources = max(columns.values(), key=len)
        if len(sources) > 1:
            count = len(sources)
            yield (
                f"{model}: slow attacks ({', '.join(columns)}) go through each of its {count} gradient "
                f"sources ({', '.join(sources)}), {count} times the work of one; `sources: [{sources[0]}]` "
                "of the model would take one, and be a weaker test"
            )


def expected_passes(attack: Any) -> float:
    """Estimate, from its options, how many forward and backward passes an attack makes on one image."""
    if (guess := ENSEMBLES.get(type(attack).__name__)) is not None:
        return float(guess)
    counts = [
        value
        for name, value in options_of(attack).items()
        if name in COUNTS and isinstance(value, int) and not isinstance(value, bool) and value > 1
    ]
    each = 2 if attack.info.knowledge == "gradient" else 1
    return float(min(MOST, each * math.prod(counts)))
