"""`robench show`: the options, defaults and paper of a plugin, a suite's text, or what is in a run folder."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from robench.cli.console import one_line, printable
from robench.cli.leaderboard import tell_faults
from robench.cli.list import KINDS, Listed
from robench.cli.tracebacks import is_asked_for
from robench.errors import ConfigError, nearest
from robench.plurals import counted

WIDTH = 110
"""Cells of a line that explains an option."""


BEGUN = "begun and not ended: at work, or stopped while networks were made; the same command goes on"
"""The state of a run without a summary."""


def show(
    name: Annotated[str, typer.Argument(metavar="NAME_OR_RUN", help="A plugin, a suite, or a run folder.")],
) -> None:
    """Show a plugin's options and paper, a suite, or what is in a run folder."""
    from robench import plugins
    from robench.plan.config import locate, suites
    from robench.record.store import is_run

    if is_run(Path(name)):
        lines = _run(Path(name))
    else:
        proper = {kind: plugins.proper(kind, name) for kind in KINDS}
        lines = [line for kind, target in proper.items() if target for line in (*_plugin(kind, target), "")]
        if name in suites():
            lines += [f"suite {name}", "", locate(name).read_text("utf-8")]
        if not lines:
            names = {*suites(), *(n for kind in KINDS for n in plugins.names(kind))}
            do = plugins.elsewhere("attacks", name) or nearest(name, names)
            raise ConfigError(expected="a plugin, a suite or a run folder", got=repr(name), do=do)
    typer.echo(printable("\n".join(lines).rstrip()))


def _plugin(kind: Listed, name: str) -> list[str]:
    from robench import plugins
    from robench.option_docs import without_options
    from robench.recipe import describe

    recipe = plugins.find(kind, name)
    info = recipe.info
    lines = [
        f"{kind.removesuffix('s')} {name}: {info.title}",
        "",
        without_options(recipe.__doc__ or ""),
        "",
        f"Paper: {info.paper}",
        f"From: {plugins.distribution(kind, name)}",
        *_library(info),
        *_attack_facts(info),
        *_defense_facts(info),
        "",
    ]
    options = describe(recipe)
    if not options:
        return [*lines, "Options: none"]
    texts = plugins.explained(kind, name)
    lines += ["Options:"]
    for key, value in options.items():
        default = "required" if value["default"] == "required" else repr(value["default"])
        lines += [f"  {key}: {value['type']} = {default}", *_folded(texts.get(key, ""))]
    if info.bibtex:
        lines += ["", info.bibtex]
    return lines


def _folded(text: str) -> list[str]:
    """Return the meaning of an option as lines below it."""
    return textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _library(info: Any) -> list[str]:
    """Say which version of an attack's library is installed, or how to install it."""
    from importlib.metadata import PackageNotFoundError, version

    library = getattr(info, "library", "robench")
    if library == "robench":
        return []
    try:
        return [f"Library: {library} {version(library)}"]
    except PackageNotFoundError:
        install = f": {info.install}" if info.install else ""
        return [f"Library: {library}, which is not installed{install}"]


def _attack_facts(info: Any) -> list[str]:
    if not hasattr(info, "norms"):
        return []
    wants = "the smallest perturbation" if info.minimises else "any perturbation inside the ball"
    chance_note = ", randomised" if info.randomised else ""
    return [
        f"Norms: {', '.join(info.norms)}",
        f"Goals: {', '.join(info.goals)}",
        f"Needs: {info.knowledge}; looks for {wants}{chance_note}",
    ]


def _defense_facts(info: Any) -> list[str]:
    if getattr(info, "stage", "") != "inference":
        return []
    return ["Stage: inference; put it under `inference`", f"Attacked through: {info.attacked_through}"]


def _run(folder: Path) -> list[str]:
    from robench.record.completeness import missing_rows
    from robench.record.store import Store
    from robench.record.threat_summary import threat_summary_of

    store = Store(folder)
    facts, _ = store.facts()
    records, faults = store.readable(index=True)
    tell_faults(folder, faults)
    status = str(facts.get("status", "unfinished"))
    lines = [f"run {facts.get('name', folder.name)}: {BEGUN if status == 'running' else status}"]
    expected = facts.get("expected")
    lines += [
        f"{counted(len(records), 'unit')} finished"
        if expected is None
        else f"{len(records)} of {expected} units"
    ]
    lines += [f"unreadable: {fault.about}: {fault.text}" for fault in faults]
    images: dict[tuple[str, ...], int] = {}
    for record in records:
        threat = threat_summary_of(record.threat).power(record.threat.eps_text) if record.threat.norm else ""
        place = (record.target.name, record.attack.label, threat)
        images[place] = images.get(place, 0) + len(record.columns)
    lines += [
        f"  {target}: {attack} {threat} ({counted(n, 'image')})"
        for (target, attack, threat), n in images.items()
    ]
    lines += [
        f"missing: {setting}: {model}: {'; '.join(texts)}" for setting, model, texts in missing_rows(records)
    ]
    lines = [one_line(line) for line in lines]
    for key, account in store.read_errors().items():
        job, error = one_line(str(account.get("job", key))), str(account.get("error", ""))
        if is_asked_for() and (trace := str(account.get("traceback") or "")):
            error = f"{error.rstrip()}\n{trace}"
        lines.append(f"failed: {job}: " + error.rstrip().replace("\n", "\n  "))  # a traceback has many lines
    return lines
