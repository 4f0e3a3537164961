"""docs/attack-list.md: every attack with its paper, norms, cost and when to use it.

Names, papers, norms and what an attack sees come from the plugins, passes from `docs_site.measure_passes`,
and the sentence that says when to use it from attack_uses.toml.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from attacks.libraries.table import read_table
from robench import plugins

HERE = Path(__file__).parent

INTRODUCTION = """# Every attack

What each attack is for. `robench show NAME` prints options, goals and what installs its library;
[attacks.md](attacks.md) explains ours, [libraries.md](libraries.md) says how attacks of libraries are run
and what is left out of each, [options.md](options.md) lists the options of ours.

**Which one?** Inside a ball `pgd` for everyday work and `autoattack` for a number to publish; `fmn` for the
smallest perturbation; `square` beside them, to see whether gradients mislead; `graph_adaptive` for graph
heads; `mifgsm`, `difgsm` or an attack of torchattack for images that transfer. Under every attack `noise`
is the control.

*Finds* is any image in the ball, the *smallest* perturbation (also under `eps: inf`), or any image at all,
which is projected on the ball (*free*). *Sees* is what it needs of the model. *Passes* are those of the
defaults on an image that nothing breaks, with ten classes: *f* forwards, *b* backwards. An image that is
broken costs less, and other settings cost in proportion. Measured by
`python -m docs_site.measure_passes`, by us and not by the library; `-` where it was not: the library was
not there, or the attack needs other images, or more time, or an image of another class to start from, or
its passes go with the size of the images.

This page is made from the source by `make docs-tables`.
"""

LIBRARIES = {
    "torchattacks": "pip install --no-deps torchattacks==3.5.1",
    "foolbox": "pip install foolbox",
    "art": "it comes with robench",
    "adv_lib": "pip install adv-lib",
    "torchattack": "pip install torchattack",
}
"""Libraries in the order of the page, each with how to install it."""

HEAD = [
    "| attack | when to use it | norms | finds | sees | passes | paper |",
    "|---|---|---|---|---|---|---|",
]
SEES = {"gradient": "gradients", "score": "scores", "decision": "labels"}


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / name).read_text("utf-8"))


def use_of(name: str) -> str:
    """Return when to use an attack, in one sentence.

    Raises:
        LookupError: nothing is written about it yet.
    """
    uses = _read("attack_uses.toml")
    library, _, inner = name.partition("/")
    entry = read_table(library).attacks.get(inner) if inner else None
    sentence = uses["names"].get(name) or (uses["papers"].get(entry.paper) if entry else None)
    if not sentence:
        raise LookupError(f"say in docs_site/attack_uses.toml when to use {name}")
    return str(sentence)


def _row(name: str, passes: dict[str, list[int]]) -> str:
    info = plugins.find("attacks", name).info
    library, _, inner = name.partition("/")
    entry = read_table(library).attacks.get(inner) if inner else None
    norms = entry.norms if entry else info.norms
    kind = entry.kind if entry else "smallest" if info.minimises else "fixed"
    forwards, backwards = passes.get(name, (0, 0))
    costs = [f"{count:,} {unit}" for count, unit in ((forwards, "f"), (backwards, "b")) if count]
    cells = (
        f"`{name}`",
        f"{use_of(name)}.",
        ", ".join(norms),
        {"fixed": "in the ball", "smallest": "smallest", "free": "free"}[kind],
        SEES[str(info.knowledge)],
        " + ".join(costs) or "-",
        info.paper,
    )
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """Return the page.

    Raises:
        LookupError: an attack has no sentence.
    """
    passes = _read("attack_passes.toml")
    names = [name for name in plugins.names("attacks") if plugins.distribution("attacks", name) == "robench"]
    lines = [INTRODUCTION, "## Of robench", "", *HEAD]
    lines += [_row(name, passes) for name in names if "/" not in name]
    for library, install in LIBRARIES.items():
        command = f"To install it: `{install}`." if install.startswith("pip") else f"{install.capitalize()}."
        lines += ["", f"## Of {library}", "", command, ""]
        ours = [name for name in names if name.startswith(f"{library}/")]
        lines += [*HEAD, *(_row(name, passes) for name in ours)]
    return "\n".join(lines).rstrip() + "\n"
