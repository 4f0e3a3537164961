"""Bounds in a configuration: methods to certify images, with their options. No torch here.

How they are computed is in `robench.bounds`; docs/bounds.md explains them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from robench.errors import ConfigError, nearest
from robench.recipe import Info, build


@dataclass(frozen=True, slots=True, kw_only=True)
class IBP:
    """Intervals, layer by layer."""

    info: ClassVar[Info] = Info(title="interval bounds", paper="Gowal et al. 2018, arXiv:1810.12715")


@dataclass(frozen=True, slots=True, kw_only=True)
class CROWN:
    """Linear bounds carried back from each neuron whose sign is not sure, and from each margin."""

    info: ClassVar[Info] = Info(title="CROWN", paper="Zhang et al. 2018, arXiv:1811.00866")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlphaCROWN:
    """CROWN with slopes that make each bound largest."""

    info: ClassVar[Info] = Info(title="alpha-CROWN", paper="Xu et al. 2021, arXiv:2011.13824")


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchAndBound:
    """Splits signs of rectifiers until an image is certified or broken, or a limit is reached.

    Attributes:
        seconds: most seconds per image; None for no such limit. Results within a time limit depend on the
            machine.
        domains: most subdomains bounded for an image, the nodes of the search; None for no such limit.
        restarts: random starts of gradients beside each batch of subdomains.
        polish: after how many batches the best point is improved by integer programming; None for never.

    Raises:
        ConfigError: a limit is invalid, or there is none.
    """

    info: ClassVar[Info] = Info(title="branch and bound", paper="Wang et al. 2021, arXiv:2103.06624")
    seconds: float | None = 60.0
    domains: int | None = None
    restarts: int = 4
    polish: int | None = None

    def __post_init__(self) -> None:
        """Refuse invalid limits."""
        if self.seconds is None and self.domains is None:
            expected, do = "a limit for an image: seconds or domains", "Write {seconds: 60}"
            raise ConfigError(where="seconds", expected=expected, got="neither", do=do)
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            expected = "seconds: a finite time above 0, or null"
            raise ConfigError(where="seconds", expected=expected, got=f"{self.seconds:g}")
        for name, least in (("domains", 1), ("restarts", 0), ("polish", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                expected = f"{name}: a whole number of at least {least}"
                raise ConfigError(where=name, expected=expected, got=str(value))


Method = IBP | CROWN | AlphaCROWN | BranchAndBound

METHODS: dict[str, type[Method]] = {
    "ibp": IBP,
    "crown": CROWN,
    "alpha_crown": AlphaCROWN,
    "branch_and_bound": BranchAndBound,
}
"""Ways to bound, the cheapest first."""


def method_of(name: str, options: Mapping[str, Any], *, where: str = "") -> Method:
    """Return a way to bound.

    Raises:
        ConfigError: there is none of that name, or an option is refused.
    """
    if name not in METHODS:
        do = nearest(name, METHODS)
        raise ConfigError(where=where, expected=f"one of {', '.join(METHODS)}", got=repr(name), do=do)
    return build(METHODS[name], dict(options), where=where)
