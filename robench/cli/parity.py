"""`robench parity CONFIG MODEL`: the same attack by robench, ART, torchattacks and foolbox, side by side."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from robench.cli.console import one_line
from robench.cli.option_types import Config
from robench.cli.options import Options, check_order, taking
from robench.cli.parity_table import plain, remarks, show
from robench.cli.session import use_machine
from robench.errors import ConfigError, JobError, nearest
from robench.plurals import counted

if TYPE_CHECKING:
    from robench.data.images import ImageSet
    from robench.model.interface import Model
    from robench.plan.spec import Plan, ThreatSpec


@taking("out", "limit", "seed", "device", "data_root", "download", "batch_size", "threads", "trust_code")
def parity(
    config: Config,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model of the configuration.")],
    attack: Annotated[str, typer.Option("--attack", help="fgsm, ifgsm, pgd or cw.")] = "pgd",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="Option of every version, as steps=20."),
    ] = None,
    norm: Annotated[str | None, typer.Option("--norm", help="Take the threat of this norm.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Gradient source, by default the first.")
    ] = None,
    *,
    options: Options,
    format: Annotated[
        Literal["text", "json"], typer.Option("--format", help="text, or json with every image.")
    ] = "text",
) -> None:
    """Attack the same images with every library's version of an attack; say who was weaker."""
    check_order("parity", config, model)
    plan, _ = options.plan(config)
    names = [spec.name for spec in plan.models]
    if model not in names:
        expected = f"a model of {config}"
        raise ConfigError(where="parity", expected=expected, got=repr(model), do=nearest(model, names))
    from robench.audit.parity import family
    from robench.audit.parity import parity as compared

    attacks, absent = family(attack, _options(option))
    minimises = next(iter(attacks.values())).info.minimises
    threat = _threat(plan, norm, minimises=minimises)
    attacks = {name: recipe for name, recipe in attacks.items() if threat.norm in recipe.info.norms}
    use_machine(options.threads)
    network, data = _prepared(plan, model, options)
    versions = compared(
        network,
        data,
        attacks,
        norm=threat.norm,
        eps=math.inf if minimises else threat.eps,
        source=source,
        seed=plan.seed,
        batch_size=plan.batch_size,
    )
    as_json = format == "json"
    if as_json:
        typer.echo(json.dumps([plain(version) for version in versions], indent=1))
    else:
        radius = "smallest perturbation" if minimises else f"eps {threat.eps_text}"
        show(
            f"{attack} on {model}: {data.name}, {counted(len(data), 'image')}, {threat.norm}, {radius}",
            versions,
        )
        for line in remarks(versions, attack):
            typer.echo(one_line(line))
    for name, why in absent.items():
        typer.echo(one_line(f"{name}: left out: {why}"), err=as_json)


def _options(texts: list[str] | None) -> dict[str, Any]:
    from robench.plan.yaml_reader import read_value

    options: dict[str, Any] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ConfigError(where="--option", expected="NAME=VALUE", got=repr(text))
        options[name] = read_value(value, source="--option")
    return options


def _threat(plan: Plan, norm: str | None, *, minimises: bool) -> ThreatSpec:
    """Return the first threat of the plan that the attack can play under."""
    fitting = [t for t in plan.threats if norm in {None, t.norm} and (minimises or t.eps < math.inf)]
    if minimises:
        fitting = [t for t in fitting if t.norm == "L2"]
    if not fitting:
        raise ConfigError(
            where="parity",
            expected="a threat of the configuration that this attack can play under",
            got=", ".join(f"{t.norm} {t.eps_text}" for t in plan.threats) or "none",
            do="Add one, or choose another attack",
        )
    return fitting[0]


def _prepared(plan: Plan, name: str, options: Options) -> tuple[Model, ImageSet]:
    """Return the model, trained or loaded as `robench run` would, and the images."""
    from robench.cli.reporters import reporter_for
    from robench.run.models.preparation import Workshop

    spec = next(s for s in plan.models if s.name == name)
    names = {name, spec.features_of}
    smaller = dataclasses.replace(plan, models=tuple(s for s in plan.models if s.name in names))
    folder = options.folder(plan) / "models"
    workshop = Workshop(smaller, folder, options.environment, reporter_for(quiet=False))
    data = workshop.load(plan.data)
    models = {m.model.name: m.model for m in workshop.models(data.shape, len(data.classes))}
    if name not in models:
        raise JobError(where=f"model {name!r}", expected="a model", got=workshop.failures.get(name, "none"))
    return models[name], data
