"""`robench check`: is a configuration valid, can its models be built, and does a plugin keep its promises?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robench.cli.console import printable
from robench.cli.option_types import DataRoot, Device, Download, Set, TrustCode
from robench.cli.options import Options, check_device
from robench.errors import ConfigError, nearest
from robench.plan.data_root import check_checkpoints
from robench.plan.data_title import images_title
from robench.plurals import counted

if TYPE_CHECKING:
    from robench.conformance import Checked
    from robench.conformance.result import Result
    from robench.plan.spec import Plan

LAW_BROKEN = 1
FROM_FILES = ("attacks", "defenses")
"""Kinds of plugin that may come from a user's file."""

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A YAML file, a suite, or a plugin: attacks:pgd, defenses:natural, models:small_cnn, "
        "heads:wnll, datasets:digits, or its bare name; attacks:mine.py:MyAttack for one of a file.",
    ),
]


def check(
    target: Target = "robench.yaml",
    overrides: Set = None,
    preflight: Annotated[
        bool,
        typer.Option("--preflight", help="Also do what a run does before its first unit; train nothing."),
    ] = False,
    device: Device = "auto",
    data_root: DataRoot = None,
    download: Download = False,
    trust_code: TrustCode = False,
) -> None:
    """Validate a configuration, or check a plugin against the laws of its kind; nothing is evaluated.

    The options of a plugin are set with --set, such as --set eps=0.1. Exit code 0: valid, all laws hold; 1: a
    law is broken; 2: there is no such configuration or plugin, or its options are refused.
    """
    check_device(device)
    if plugin := _plugin(target):
        if preflight or device not in {"auto", "cpu"}:
            got = "--preflight" if preflight else f"--device {device}"
            raise ConfigError(where=got, expected="a configuration or suite", got=f"the plugin {target!r}")
        _conformance(*plugin, overrides or [], data_root, download=download, trust_code=trust_code)
        return
    options = Options(
        overrides=overrides, device=device, data_root=data_root, download=download, trust_code=trust_code
    )
    plan, _ = options.parsed(target)
    attacks = sum(len(threat.attacks) for threat in plan.threats)
    nouns = {"model": len(plan.models), "threat": len(plan.threats), "attack": attacks}
    if bounds := sum(len(threat.bounds) for threat in plan.threats):
        nouns["bound"] = bounds
    counts = ", ".join(counted(count, noun) for noun, count in nouns.items())
    code = _references(plan)
    if code and trust_code:
        _check_code(plan)
    note = "; code of files was not looked into: --trust-code" if code and not trust_code else ""
    if preflight:
        check_checkpoints(plan, data_root)
        _preflight(plan, options)
    typer.echo(printable(f"{target}: valid: {counts}{note}"))
    if not preflight:
        typer.echo("Data and networks were not looked at; --preflight does what a run does before it begins.")


def _references(plan: Plan) -> bool:
    """Tell whether attacks or defenses of a plan come from files; --preflight checks the networks."""
    from robench.plan.named_code import named_code

    networks = {model.architecture.name for model in plan.models if model.architecture}
    return any(choice.name not in networks for choice in named_code(plan))


def _check_code(plan: Plan) -> None:
    """Run the files that attacks and defenses come from, and check their options.

    Raises:
        ConfigError: a file holds no such thing, or an option is refused.
    """
    from robench.model.user_defenses import defense_of
    from robench.run.layout import boards_of

    boards_of(plan.threats, trust_code=True)
    for model in plan.models:
        for choice in model.inference:
            defense_of(choice, trust_code=True, stage="inference")
        if model.train:
            defense_of(model.train.defense, trust_code=True)


def _plugin(target: str) -> tuple[Checked, str] | None:
    """Return kind and name of the plugin a target means; None for a configuration.

    Raises:
        ConfigError: the target is neither, or several plugins have that bare name.
    """
    from robench import plugins
    from robench.conformance import CHECKED
    from robench.intake.user_code import is_reference
    from robench.plan.config import suites

    path = Path(target)
    if is_reference(target):
        kind, colon, name = target.partition(":")
        if colon and is_reference(name):
            for choice in CHECKED:
                if kind in {choice, choice.removesuffix("s")}:
                    return _checked_file(choice, name)
        do = f"Write attacks:{target} or defenses:{target}"
        raise ConfigError(where="robench check", expected="KIND:FILE.py:NAME", got=repr(target), do=do)
    if path.suffix or path.is_file() or target in suites():
        return None
    before, colon, name = target.partition(":")
    if colon:
        for kind in CHECKED:
            if before in {kind, kind.removesuffix("s")}:
                return kind, name
        expected = "KIND:NAME with a kind of plugin that has laws"
        do = nearest(before, CHECKED)
        raise ConfigError(where="robench check", expected=expected, got=repr(target), do=do)
    kinds = [kind for kind in CHECKED if plugins.proper(kind, target)]
    if len(kinds) == 1:
        return kinds[0], target
    if kinds:
        do = "Write " + " or ".join(f"{kind}:{target}" for kind in kinds)
        got = f"{target!r}, which is {len(kinds)}"
        raise ConfigError(where="robench check", expected="the name of one plugin", got=got, do=do)
    choices = {*suites(), *(name for kind in CHECKED for name in plugins.names(kind))}
    expected = "a configuration file, a suite or a plugin"
    near = plugins.elsewhere("attacks", target) or nearest(target, choices)
    do = f"{near.rstrip('.')}{'' if near.endswith('?') else '.'} A file's name ends in .yaml"
    raise ConfigError(where="robench check", expected=expected, got=repr(target), do=do)


def _checked_file(kind: Checked, reference: str) -> tuple[Checked, str]:
    """Return kind and reference of code in a user's file, which must be there."""
    from robench.intake.user_code import check_defined

    if kind not in FROM_FILES:
        expected, do = "attacks or defenses, which may come from a file", "Install it as a plugin"
        raise ConfigError(where="robench check", expected=expected, got=kind, do=do)
    check_defined(reference, where=f"{kind}:{reference}")
    return kind, reference


def _recipe_class(kind: Checked, name: str, *, trust_code: bool) -> tuple[type[Any], str]:
    """Return a plugin's class and where it comes from: a distribution, or a user's file."""
    from robench import plugins
    from robench.intake.user_code import is_reference, parts_of

    where = "robench check"
    if not is_reference(name):
        plugin = plugins.find(kind, name, where=where)
        return plugin, plugins.distribution(kind, plugins.proper(kind, name) or name)
    source = str(parts_of(name)[0])
    if kind == "attacks":
        from robench.attack.user_attacks import attack_class

        return attack_class(name, trust_code=trust_code, where=where), source
    from robench.model.user_defenses import defense_class

    return defense_class(name, trust_code=trust_code, where=where), source


def _conformance(
    kind: Checked,
    name: str,
    overrides: list[str],
    data_root: Path | None,
    *,
    download: bool,
    trust_code: bool,
) -> None:
    """Check one plugin against every law of its kind, print a line for each, and a count."""
    from robench import plugins, recipe
    from robench.conformance import Verdict, checks
    from robench.machine import keep_freed_memory

    plugin, owner = _recipe_class(kind, name, trust_code=trust_code)
    name = plugins.proper(kind, name) or name
    where = f"{kind}:{name}"
    options = _options(overrides)
    for option, description in recipe.describe(plugin).items():
        if description["default"] == "required" and option not in options:
            do = f"Add --set {option}=VALUE"
            raise ConfigError(
                where=where, expected=f"the option {option!r}, which has no default", got="none", do=do
            )
    instance = recipe.build(plugin, options, where=where)
    keep_freed_memory()
    typer.echo(printable(f"{where}: {instance.info.title}, from {owner}"))
    counts = dict.fromkeys(Verdict, 0)
    for results in _folded(checks(kind, instance, root=data_root, download=download)):
        counts[results[0].verdict] += len(results)
        typer.echo(printable(f"  {_line(results)}"))
    typer.echo(", ".join(f"{count} {verdict.lower()}" for verdict, count in counts.items()))
    if counts[Verdict.FAILED]:
        raise typer.Exit(LAW_BROKEN)


def _folded(results: Iterable[Result]) -> Iterator[list[Result]]:
    """Yield results one by one; those of laws that do not apply for the same reason are yielded together."""
    waiting: list[Result] = []
    for result in results:
        if waiting and result.evidence != waiting[0].evidence:
            yield waiting
            waiting = []
        if "Not looked at" in result.evidence:
            waiting.append(result)
        else:
            yield [result]
    if waiting:
        yield waiting


def _line(results: list[Result]) -> str:
    """Return the line of a result, or of several with one reason."""
    if len(results) == 1:
        return str(results[0])
    laws = ", ".join(result.law for result in results)
    return f"{results[0].verdict:<14}  {len(results)} laws: {laws} {results[0].evidence}"


def _options(overrides: list[str]) -> dict[str, Any]:
    """Return a plugin's options from `option=value` and `option.key=value`, the values in YAML."""
    from robench.plan.yaml_reader import read_value

    options: dict[str, Any] = {}
    for text in overrides:
        path, equals, value = text.partition("=")
        *parents, last = [part.strip() for part in path.split(".")]
        if not equals or not all((*parents, last)):
            raise ConfigError(where=f"--set {text}", expected="option=value", got=repr(text))
        holder = options
        for part in parents:
            holder = holder.setdefault(part, {})
            if not isinstance(holder, dict):
                raise ConfigError(
                    where=f"--set {text}", expected="a mapping to set a key in", got=repr(holder)
                )
        holder[last] = read_value(value, source=f"--set {text}")
    return options


def _preflight(plan: Plan, options: Options) -> None:
    """Do what `robench run` does before its first unit, without the trainings, and say what there is.

    Raises:
        RobenchError: what a run would refuse.
    """
    from robench.run.preflight import try_out

    trial = try_out(plan, options.folder(plan), options.environment)
    data = trial.data
    typer.echo(
        printable(f"data: {images_title(data.name, data.split)}, {counted(len(data), 'image')} {data.shape}")
    )
    for entry in trial.models:
        model = entry.model
        sources = ", ".join(entry.sources or model.sources)
        typer.echo(printable(f"model {model.name}: ok on {model.device}, gradient sources: {sources}"))
    for warning in trial.warnings:
        typer.echo(printable(warning))
    typer.echo(f"a run would leave {counted(trial.units, 'unit')}")
