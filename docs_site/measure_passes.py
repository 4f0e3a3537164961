"""How many passes each attack spends with its defaults on an image that it cannot break.

`python -m docs_site.measure_passes [NAME ...]` measures anew what is installed, and writes
docs_site/attack_passes.toml, of which docs/attack-list.md is made. The network is linear, of ten classes
and images of 3 x 8 x 8 pixels, and so sure of its class that no change of pixels moves it; passes do not
depend on how large a network is.
"""

from __future__ import annotations

import signal
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import robench
from robench import plugins

FILE = Path(__file__).with_name("attack_passes.toml")
LONGEST = 60
"""Seconds of processor time after which an attack is left without a figure."""

LEFT_OUT = {
    "adv_lib/fga": "a step changes one pixel: passes go with the size of the images",
    "adv_lib/vfga": "a step changes a few pixels: passes go with the size of the images",
    "torchattacks/JSMA": "a step changes two pixels: passes go with the size of the images",
    **dict.fromkeys(
        ("art/BoundaryAttack", "art/HopSkipJump", "art/SignOPTAttack", "art/GeoDA"),
        "starts from an image of another class, which it does not find here",
    ),
    "torchattack/FDA": "takes gradients at features, which the ledger does not count as passes backwards",
}
"""Attacks without a figure, and why."""

RADII = {"Linf": 8 / 255, "L2": 0.5, "L1": 8.0, "L0": 5.0}


def steady_network() -> nn.Module:
    """Return a network that answers class 0 whatever the image, by a margin that no image overcomes."""
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(192, 10)
    with torch.no_grad():
        layer.weight.copy_(1e-3 * torch.randn(10, 192, generator=generator))
        layer.bias.copy_(torch.tensor([5.0] + [0.0] * 9))
    return nn.Sequential(nn.Flatten(), layer)


def passes_of(name: str) -> tuple[int, int]:
    """Return the forward and backward passes of an attack on an image, the most of four images.

    Args:
        name: the attack's name.

    Raises:
        Exception: the attack cannot be run on such a network, or its library is not installed.
    """
    info: Any = plugins.find("attacks", name).info
    norm = next((norm for norm in info.norms if norm in RADII), "L2")
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    result = robench.attack(
        steady_network(),
        x,
        torch.zeros(4, dtype=torch.long),
        name,
        norm=norm,
        eps="inf" if info.minimises else RADII[norm],
        targeted="untargeted" not in info.goals,
    )
    (record,) = (record for record in result.records if record.attack.label != "clean")
    return round(max(record.columns.forwards)), round(max(record.columns.backwards))


def _too_long(*_: object) -> None:
    raise TimeoutError(f"more than {LONGEST} seconds")


def write(known: Mapping[str, Sequence[int]]) -> None:
    """Write the figures, by name."""
    head = "# Forward and backward passes on an image: made by `python -m docs_site.measure_passes`.\n"
    lines = (
        f'"{name}" = [{forwards}, {backwards}]\n' for name, (forwards, backwards) in sorted(known.items())
    )
    FILE.write_text(head + "".join(lines), "utf-8")


def main(names: Sequence[str]) -> None:
    """Measure these attacks, or all, and keep each figure as soon as it is there."""
    figures = tomllib.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    signal.signal(signal.SIGPROF, _too_long)
    for name in names or plugins.names("attacks"):
        if name in LEFT_OUT:
            continue
        signal.setitimer(signal.ITIMER_PROF, LONGEST, 1)  # again: a library may swallow it
        try:
            figures[name] = list(passes_of(name))
        except Exception as error:  # noqa: BLE001 - libraries raise what they like; the figure is left out
            print(f"{name}: {type(error).__name__}: {str(error)[:150]}", file=sys.stderr)
        signal.setitimer(signal.ITIMER_PROF, 0)
        write(figures)


if __name__ == "__main__":
    main(sys.argv[1:])
