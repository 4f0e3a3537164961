"""`robench check`: is a configuration valid, and with --preflight, can its models be built here?"""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robench.cli.guard import printable
from robench.cli.run import Config, DataRoot, Device, Download, Set, TrustCode, check_device, planned

if TYPE_CHECKING:
    from robench.plan import DataSpec, Plan


def check(
    config: Config = "robench.yaml",
    overrides: Set = None,
    preflight: Annotated[
        bool, typer.Option("--preflight", help="Also load the data and build every model.")
    ] = False,
    device: Device = "auto",
    data_root: DataRoot = None,
    download: Download = False,
    trust_code: TrustCode = False,
) -> None:
    """Validate a configuration; nothing is evaluated."""
    plan, _ = planned(config, overrides, limit=None, seed=None, batch_size=None)
    check_device(device)
    attacks = sum(len(threat.attacks) for threat in plan.threats)
    counts = f"{len(plan.models)} models, {len(plan.threats)} threats, {attacks} attacks"
    typer.echo(printable(f"{config}: valid: {counts}"))
    if preflight:
        _preflight(plan, device, data_root, download=download, trust_code=trust_code)


def _preflight(plan: Plan, device: str, data_root: Path | None, *, download: bool, trust_code: bool) -> None:
    """Load the data, build every network, load its checkpoint, put the head on, and ask for two images."""
    import torch

    from robench import plugins
    from robench.devices import resolve_device
    from robench.model import predictions
    from robench.selection import load_data

    chosen = resolve_device(device)
    load = partial(load_data, root=data_root, download=download, seed=plan.seed)
    data = load(plan.data)
    typer.echo(printable(f"data: {data.name} {data.split}, {len(data)} images {data.shape}"))
    builder = plugins.find("builders", "zoo")()
    classes = len(data.classes)
    networks: dict[str, Any] = {}
    specs = {spec.name: spec for spec in plan.models}
    for spec in plan.models:
        owner = specs[spec.features_of or spec.name]
        if owner.name not in networks:
            network = builder.network(
                owner, shape=data.shape, classes=classes, seed=plan.seed, trust_code=trust_code
            )
            if owner.checkpoint:
                builder.load(network, owner.checkpoint, sha256=owner.sha256)
            networks[owner.name] = network
        train = owner.train.data if owner.train else _training(plan.data)
        model = builder.model(
            spec,
            networks[owner.name],
            classes=classes,
            training_data=partial(load, train),
            seed=plan.seed,
            device=chosen,
        )
        images, _ = data.batch(slice(0, 2))
        with torch.no_grad():
            predictions(model.net(images.to(model.device)))
        for name in spec.sources or ():
            model.source(name)
        sources = ", ".join(model.sources)
        typer.echo(printable(f"model {spec.name}: ok on {model.device}, gradient sources: {sources}"))


def _training(spec: DataSpec) -> DataSpec:
    return dataclasses.replace(spec, split="train", limit=None)
