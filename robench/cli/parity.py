"""`robench parity CONFIG MODEL`: the same attack by robench, ART, torchattacks and foolbox, side by side."""

from __future__ import annotations

import dataclasses
import json
import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from robench.cli.guard import printable
from robench.cli.run import (
    BatchSize,
    Config,
    DataRoot,
    Device,
    Download,
    Limit,
    Out,
    Seed,
    Threads,
    TrustCode,
    check_device,
    planned,
)
from robench.errors import ConfigError, JobError, nearest
from robench.plan.data_root import check_checkpoints

SHOWN = 20
"""Most images listed for one group on the screen."""
UNEQUAL = 1.1
"""By what factor passes may differ and still be called equal compute."""

if TYPE_CHECKING:
    from robench.audit.parity import Version
    from robench.plan.spec import Plan, ThreatSpec


def parity(
    model: Annotated[str, typer.Argument(help="Name of a model of the configuration.")],
    config: Config = "robench.yaml",
    attack: Annotated[str, typer.Option("--attack", help="fgsm, ifgsm, pgd or cw.")] = "pgd",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="Option of every version, as steps=20."),
    ] = None,
    norm: Annotated[str | None, typer.Option("--norm", help="Take the threat of this norm.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Gradient source, by default the first.")
    ] = None,
    out: Out = None,
    limit: Limit = None,
    seed: Seed = None,
    device: Device = "auto",
    data_root: DataRoot = None,
    download: Download = False,
    batch_size: BatchSize = None,
    threads: Threads = None,
    trust_code: TrustCode = False,
    format: Annotated[
        Literal["text", "json"], typer.Option("--format", help="text, or json with every image.")
    ] = "text",
) -> None:
    """Attack the same images with every library's version of an attack; say who was weaker."""
    plan, _ = planned(config, None, limit=limit, seed=seed, batch_size=batch_size)
    check_checkpoints(plan, data_root)
    names = [spec.name for spec in plan.models]
    if model not in names:
        expected = f"a model of {config}"
        raise ConfigError(where="parity", expected=expected, got=repr(model), do=nearest(model, names))
    check_device(device)
    from robench.audit.parity import family

    attacks, absent = family(attack, _options(option))
    minimises = next(iter(attacks.values())).info.minimises
    threat = _threat(plan, norm, minimises=minimises)
    attacks = {name: recipe for name, recipe in attacks.items() if threat.norm in recipe.info.norms}
    from robench.machine import keep_freed_memory

    keep_freed_memory()
    if threads:
        import torch

        torch.set_num_threads(threads)
    subject, data = _built(plan, model, out, device, data_root, download=download, trust_code=trust_code)
    from robench.audit.parity import parity as compared

    found = compared(
        subject,
        data,
        attacks,
        norm=threat.norm,
        eps=math.inf if minimises else threat.eps,
        source=source,
        seed=plan.seed,
        batch_size=plan.batch_size,
    )
    radius = "smallest perturbation" if minimises else f"eps {threat.eps_text}"
    if format == "json":
        typer.echo(json.dumps([_plain(v) for v in found], indent=1))
        for name, why in absent.items():
            typer.echo(printable(f"{name}: left out: {why}"), err=True)
        return
    _show(f"{attack} on {model}: {data.name}, {len(data)} images, {threat.norm}, {radius}", found)
    for line in _remarks(found, attack):
        typer.echo(printable(line))
    for name, why in absent.items():
        typer.echo(printable(f"{name}: left out: {why}"))


def _options(given: list[str] | None) -> dict[str, Any]:
    from robench.plan.yaml_reader import read_value

    options: dict[str, Any] = {}
    for text in given or []:
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


def _built(
    plan: Plan,
    name: str,
    out: Path | None,
    device: str,
    data_root: Path | None,
    *,
    download: bool,
    trust_code: bool,
) -> tuple[Any, Any]:
    """Return the model, trained or loaded as `robench run` would, and the images."""
    from robench.cli.reporters import reporter
    from robench.machine import resolve_device
    from robench.run.execute import Count
    from robench.run.preparation import Workshop

    spec = next(s for s in plan.models if s.name == name)
    needed = {name, spec.features_of}
    smaller = dataclasses.replace(plan, models=tuple(s for s in plan.models if s.name in needed))
    workshop = Workshop(
        plan=smaller,
        folder=(out or Path("runs") / plan.name) / "models",
        device=resolve_device(device),
        data_root=data_root,
        download=download,
        trust_code=trust_code,
        force=False,
        watcher=Count(reporter(quiet=False)),
    )
    data = workshop.load(plan.data)
    subjects = workshop.subjects(data.shape, len(data.classes))
    if name not in {s.model.name for s in subjects}:
        raise JobError(where=f"model {name!r}", expected="a model", got=workshop.failures.get(name, "none"))
    return next(s.model for s in subjects if s.model.name == name), data


def _plain(v: Version) -> dict[str, Any]:
    """Return a version as plain data, its images by their indices in the split."""
    rows = list(zip(v.index, v.stands, v.silent, strict=True))
    return {
        "version": v.name,
        "n": v.n,
        "robust": v.robust,
        "returned_robust": v.returned,
        "alone": v.alone,
        "missed": v.missed,
        "mcnemar_p": v.p_value,
        "weaker": v.weaker,
        "passes_per_image": v.passes,
        "most_passes": v.most,
        "seconds": v.seconds,
        "median_size": v.median,
        "robust_images": [index for index, stands, _ in rows if stands],
        "silent_images": [index for index, _, silent in rows if silent],
        "images": [index for index, _, _ in rows],
    }


def _remarks(found: list[Version], ours: str) -> list[str]:
    """Return who broke which images where versions differ, and where compute was not equal."""
    from robench.audit.parity import disputed

    said = []
    for names, images in disputed(found).items():
        others = [v.name for v in found if v.name not in names]
        shown = ", ".join(map(str, images[:SHOWN]))
        more = f" and {len(images) - SHOWN} more (--format json)" if len(images) > SHOWN else ""
        text = f"Broken by {', '.join(names)}, not by {', '.join(others)}: {len(images)}: {shown}{more}"
        said += textwrap.wrap(text, 100, subsequent_indent="  ")
    for v in found:
        if silent := sum(v.silent):
            said.append(
                f"{v.name} met {silent} adversarial points that it did not return; they count as broken."
            )
    base = next((v.most for v in found if v.name == ours), 0.0)
    for v in found:
        if base and not 1 / UNEQUAL <= v.most / base <= UNEQUAL:
            said.append(
                f"{v.name} spent up to {v.most:.0f} passes on an image, {ours} up to {base:.0f}: "
                "not at equal compute."
            )
    return said


def _show(title: str, found: list[Version]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from robench.cli.console import output
    from robench.record.statistics import wilson

    table = Table(title=Text(printable(title), style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("Version", no_wrap=True)
    for name in (
        "Robust, % [95 %]",
        "Returned, %",
        "Only it broke",
        "Missed",
        "Median size",
        "Passes/image",
        "s",
        "p",
        "",
    ):
        table.add_column(name, justify="right")
    for v in found:
        low, high = wilson(v.robust, v.n)
        table.add_row(
            v.name,
            Text(f"{100 * v.robust / v.n:.1f} [{100 * low:.1f}, {100 * high:.1f}]"),
            f"{100 * v.returned / v.n:.1f}",
            str(v.alone),
            str(v.missed),
            "-" if v.median is None else f"{v.median:.4g}",
            f"{v.passes:.0f}",
            f"{v.seconds:.1f}",
            f"{v.p_value:.3g}",
            Text("weaker" if v.weaker else "", style="yellow"),
        )
    output().print(table)
