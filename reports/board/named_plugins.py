"""The plugins of a run: attacks, defenses, heads, architectures and data sets named in records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robench import plugins
from robench.errors import PluginError
from robench.plan.data_title import data_title
from robench.plugins import Kind
from robench.recipe import Info
from robench.record.parts import RecordedTarget
from robench.record.schema import Record


@dataclass(frozen=True, slots=True)
class NamedPlugin:
    """A plugin that a run used.

    Attributes:
        kind: group of the plugin.
        name: its name, or its name in the record if no such plugin is installed.
        info: its facts, None if no such plugin is installed here.
    """

    kind: Kind
    name: str
    info: Info | None


def named_plugins(records: Iterable[Record], plans: Sequence[dict[str, Any]] = ()) -> list[NamedPlugin]:
    """Return the plugins that some records used, each once, in the order of first use within each kind.

    Args:
        records: of one or several runs.
        plans: their plans as JSON, which name the data sets that networks were trained on; may be empty.
    """
    by_name: dict[tuple[Kind, str], NamedPlugin] = {}
    data = [one for plan in plans for one in _data_of_plan(plan)]
    own = {title: name for name, title in data if title != name}
    of_plans: list[tuple[Kind, str]] = [("datasets", name) for name, _ in data]
    for kind, name in (*_of_records(records, own), *of_plans):
        by_name.setdefault((kind, name), NamedPlugin(kind, name, info_of(kind, name)))
    order: tuple[Kind, ...] = ("attacks", "defenses", "heads", "models", "datasets")
    return sorted(by_name.values(), key=lambda use: order.index(use.kind))


def _of_records(records: Iterable[Record], own: Mapping[str, str]) -> Iterator[tuple[Kind, str]]:
    """Yield plugins named in records; `own` maps names of a user's own images to the plugin for them."""
    for record in records:
        attack = record.attack.name
        if attack not in {"", "clean"} and not record.certificates:
            yield "attacks", plugins.called("attacks", attack) or attack
        yield from _of_details(record.target)
        if title := record.dataset.name:
            yield "datasets", own.get(title) or _titled("datasets", title)


def _of_details(target: RecordedTarget) -> Iterator[tuple[Kind, str]]:
    plugins: tuple[tuple[Kind, str], ...] = (
        ("models", "architecture"),
        ("heads", "head"),
        ("defenses", "training"),
    )
    for kind, key in plugins:
        name = target.detail(key)
        if name and (kind, name) not in {("defenses", "none"), ("defenses", "checkpoint")}:
            yield kind, name
    stack = target.details.get("inference")
    for entry in stack if isinstance(stack, list | tuple) else ():
        name = str(entry.get("defense") or "") if isinstance(entry, dict) else ""
        if name:
            yield "defenses", _class_named("defenses", name)


def _data_of_plan(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield plugin and title of each data set of a plan."""
    parts = [plan.get("data")]
    models = plan.get("models")
    for model in models if isinstance(models, list) else ():
        train = model.get("train") if isinstance(model, dict) else None
        parts += [train.get("data")] if isinstance(train, dict) else []
    for part in parts:
        dataset = part.get("dataset") if isinstance(part, dict) else None
        if not isinstance(part, dict) or not isinstance(dataset, dict):
            continue
        name, options = dataset.get("name"), dataset.get("options")
        if isinstance(name, str):
            split = str(part.get("split") or "test")
            yield name, data_title(name, options if isinstance(options, dict) else {}, split)


def _titled(kind: Kind, title: str) -> str:
    """Return the name of the plugin of this title, the title itself if there is none."""
    return next((name for name, info in _infos(kind) if info.title == title), title)


def _class_named(kind: Kind, class_name: str) -> str:
    """Return the name of the plugin whose class is called so, the class's name if there is none."""
    for name in plugins.names(kind):
        try:
            if plugins.find(kind, name).__name__ == class_name:
                return name
        except (PluginError, AttributeError):
            continue
    return class_name


def _infos(kind: Kind) -> Iterator[tuple[str, Info]]:
    for name in plugins.names(kind):
        info = info_of(kind, name)
        if info is not None:
            yield name, info


def info_of(kind: Kind, name: str) -> Info | None:
    """Return the facts of a plugin, None if no such plugin is installed here."""
    if name not in plugins.names(kind):
        return None
    try:
        info = getattr(plugins.find(kind, name), "info", None)
    except PluginError:
        return None
    return info if isinstance(info, Info) else None
