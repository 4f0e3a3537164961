"""Methods that make copies of a network faster, and which of them change something in a given network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import CodeType, FunctionType

from torch import nn

from robench.model.tested_network import networks_under_test
from robench.model.winograd import applies, suits


@dataclass(frozen=True, slots=True)
class CopyMethod:
    """How a copy of a network is made faster: the changes to a plain copy.

    Attributes:
        name: its name in records.
        fold: fold batch-norm into convolutions.
        channels_last: lay convolutions out channels-last.
        winograd: compute 3x3 convolutions of many channels by Winograd's filtering.
        copies_views: copy a tensor where the network asks for a view that the layout does not allow.
        compiled: let torch compile it.
        rough: take gradients from passes in bfloat16.
        graphs: replay passes with a gradient as CUDA graphs.
    """

    name: str
    fold: bool = False
    channels_last: bool = False
    winograd: bool = False
    copies_views: bool = False
    compiled: bool = False
    rough: bool = False
    graphs: bool = False


def _with_copied_views(method: CopyMethod) -> tuple[CopyMethod, CopyMethod]:
    return method, replace(method, name=f"{method.name}, views copied", copies_views=True)


COPY_METHODS = (
    *_with_copied_views(CopyMethod("folded, channels-last, Winograd", True, True, True)),
    *_with_copied_views(CopyMethod("folded, channels-last", True, True)),
    CopyMethod("folded", True),
    *_with_copied_views(CopyMethod("channels-last, Winograd", False, True, True)),
    *_with_copied_views(CopyMethod("channels-last", False, True)),
    CopyMethod("frozen copy"),
)
"""The copies that are tried, fastest first; after them comes the network as it is.

A method that copies views is tried if the previous one failed because the network uses `view`.
"""


COMPILED_METHODS = (
    CopyMethod("compiled, channels-last", channels_last=True, compiled=True),
    CopyMethod("compiled", compiled=True),
)
"""Tried first if the user asks for them. Never chosen automatically: that would depend on the machine.

The second is for networks that use views which the layout does not allow. Neither folds batch-norm:
compiled code computes it together with the next layers, so folding would not make it faster.
"""

ROUGH_METHODS = tuple(
    replace(method, name=f"{method.name}, bfloat16 gradients", rough=True)
    for method in COPY_METHODS
    if not method.winograd
)
"""Tried first if the user asks for them; see `robench.model.rough_gradient`.

Without Winograd's filtering: its rounding errors are too large in bfloat16.
"""

GRAPH_METHODS = tuple(
    replace(method, name=f"{method.name}, CUDA graphs", graphs=True)
    for method in COPY_METHODS
    if not method.winograd
)
"""Tried first if the user asks for them; see `robench.model.graphed_copy`.

Without Winograd's filtering, which is for processors.
"""

NEW_BITS = 2
"""Version of the copies that round differently from version 1: Winograd's, and those that copy views.

It is part of the keys of images crafted on networks with such a copy, and of no other keys: the rounding of
all other networks is unchanged.
"""


def version_of_copies(net: nn.Module) -> int:
    """Return `NEW_BITS` where a newer copy of a network may be attacked, else 1."""
    return NEW_BITS if round_otherwise([door.module for door in networks_under_test(net)]) else 1


def methods_for(
    networks: Sequence[nn.Module], methods: Sequence[CopyMethod] = COPY_METHODS
) -> list[CopyMethod]:
    """Return the methods that change something in these networks, in their order."""
    parts = [part for network in networks for part in network.modules()]
    fold = any(type(part) is nn.BatchNorm2d for part in parts)
    last = any(isinstance(part, nn.Conv2d | nn.ConvTranspose2d) for part in parts)
    views, winograd = last and _asks_for_views(parts), any(map(applies, parts))
    return [
        one
        for one in methods
        if (fold or not one.fold)
        and (last or not one.channels_last)
        and (winograd or not one.winograd)
        and (views or not one.copies_views)
    ]


def round_otherwise(networks: Sequence[nn.Module]) -> bool:
    """Tell whether these networks have a copy whose results differ in bits from copies of version 1."""
    parts = [part for network in networks for part in network.modules()]
    # The device does not matter: it is not part of the key.
    return any(method.copies_views for method in methods_for(networks)) or any(map(suits, parts))


def _asks_for_views(parts: Iterable[nn.Module]) -> bool:
    """Tell whether the code of a module, of its own class or one that it inherits from, names `view`."""
    classes = {
        kind for part in parts for kind in type(part).__mro__ if not kind.__module__.startswith("torch.")
    }
    functions = [
        value for kind in classes for value in vars(kind).values() if isinstance(value, FunctionType)
    ]
    return any(_names_views(function.__code__) for function in functions)


def _names_views(code: CodeType) -> bool:
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return "view" in code.co_names or any(map(_names_views, inner))
