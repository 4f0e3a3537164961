"""The experiments behind the paper's tables as plain data that the configuration reader takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from robench.plan.paper import natural, robust
from robench.plan.paper.data_sets import PaperData
from robench.plan.paper.scales import NATURAL, PIXELS, ROBUST, Scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A run for some of the paper's tables and figures.

    Attributes:
        name: of the experiment.
        data_set: the paper's name of its images: `mnist`, `cifar10`, `cifar100` or `svhn`.
        folder: name of its run folder; experiments that share networks share it, so nothing is trained twice.
        configuration: scale, data and seed to the configuration as plain data.
        has_sizes: whether it compares several numbers of labelled training images.
    """

    name: str
    data_set: str
    folder: str
    configuration: Callable[[Scale, PaperData, int], dict[str, Any]]
    has_sizes: bool = False


Sizes = TypeVar("Sizes")


def _experiment(
    name: str,
    data_set: str,
    build: Callable[[Sizes, PaperData], dict[str, Any]],
    sizes: Mapping[Scale, Sizes],
    folder: str = "",
    *,
    has_sizes: bool = False,
) -> Experiment:
    def configuration(scale: Scale, data: PaperData, seed: int) -> dict[str, Any]:
        return {"schema": 1, "name": f"{name}-{scale}", "seed": seed, **build(sizes[scale], data)}

    return Experiment(
        name=name,
        data_set=data_set,
        folder=folder or name,
        configuration=configuration,
        has_sizes=has_sizes,
    )


def _experiments() -> list[Experiment]:
    cifar10 = NATURAL["cifar10"]
    return [
        *(
            _experiment(f"raw-pixels-{n}", n, natural.raw_pixels, PIXELS)
            for n in ("cifar10", "mnist", "svhn")
        ),
        *(
            _experiment(f"natural-{n}", n, natural.heads, sizes, has_sizes=True)
            for n, sizes in NATURAL.items()
        ),
        _experiment("semi-supervised-cifar10", "cifar10", natural.semi_supervised, cifar10, has_sizes=True),
        _experiment("depth-cifar10", "cifar10", natural.depths, cifar10),
        _experiment("features-cifar10", "cifar10", natural.features, cifar10),
        *(_experiment(f"robust-{n}", n, robust.heads, sizes) for n, sizes in ROBUST.items()),
        *(
            _experiment(f"neighbours-{n}", n, robust.neighbours, sizes, folder=f"robust-{n}")
            for n, sizes in ROBUST.items()
        ),
    ]


EXPERIMENTS: dict[str, Experiment] = {experiment.name: experiment for experiment in _experiments()}
"""Every experiment by name."""
