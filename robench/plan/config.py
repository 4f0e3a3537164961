"""A configuration becomes a plan: find the file, apply overrides, read every section, check the whole."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robench.errors import ConfigError, nearest
from robench.plan.file_names import check_name
from robench.plan.grammar import read_data, read_model, read_threats
from robench.plan.section_reader import Section
from robench.plan.spec import DRAWS, SCHEMA, ModelSpec, Plan, ThreatSpec
from robench.plan.yaml_reader import Document, Key, read_file, read_text, read_value

SUITES = Path(__file__).parents[1] / "suites"
PLAN_KEYS = (
    "schema", "name", "seed", "dataset", "transfer", "shard", "batch_size", "draws", "models", "threats",
)  # fmt: skip


def suites() -> list[str]:
    """Return the names of the configurations that ship with robench."""
    return sorted(path.stem for path in SUITES.glob("*.yaml"))


def locate(name: str) -> Path:
    """Return the file of a configuration: a path, or the name of a suite that ships with robench.

    Raises:
        ConfigError: neither; names the nearest suites.
    """
    path = Path(name)
    if path.suffix or path.name != name:
        return path
    if name not in suites():
        if path.is_file():
            return path
        do = f"{nearest(name, suites())} A file's name ends in .yaml"
        raise ConfigError(expected="a configuration file or the name of a suite", got=repr(name), do=do)
    return SUITES / f"{name}.yaml"


def load(name: str, overrides: list[str] | None = None) -> Plan:
    """Return the plan of a configuration file or a suite.

    Args:
        name: path of a YAML file, or a suite's bare name.
        overrides: `path.to.key=value` each, the value in YAML.

    Raises:
        ConfigError: what is wrong, in which file and line, and the nearest valid name.
        PluginError: a plugin it names is unknown or cannot be used.
    """
    path = locate(name)
    return parse(read_file(path), file=path, overrides=overrides)


def parse(text: str, *, file: Path, overrides: list[str] | None = None) -> Plan:
    """Return the plan of a configuration's text.

    Args:
        text: YAML.
        file: where it was read, for messages, the default name, and the start of relative paths.
        overrides: `path.to.key=value` each.

    Raises:
        ConfigError: what is wrong, in which file and line, and the nearest valid name.
        PluginError: a plugin it names is unknown or cannot be used.
    """
    document = read_text(text, source=str(file))
    for override in overrides or []:
        document = _override(document, override)
    return _plan(document, file)


def from_dict(data: dict[str, Any], *, folder: Path | None = None) -> Plan:
    """Return the plan of a configuration given as plain data, with the same checks as for a file.

    Args:
        data: what the YAML would hold.
        folder: where relative paths start, by default the current folder.

    Raises:
        ConfigError: what is wrong, and the nearest valid name.
        PluginError: a plugin it names is unknown or cannot be used.
    """
    file = (folder or Path.cwd()) / "plan"
    return _plan(Document(copy.deepcopy(data), "configuration"), file)


def _plan(document: Document, file: Path) -> Plan:
    if not isinstance(document.data, dict):
        got = type(document.data).__name__
        raise ConfigError(where=document.where(()), expected="a mapping of keys to values", got=got)
    root = Section(document.data, (), document)
    root.only(PLAN_KEYS, "the configuration")
    schema = root.whole("schema", SCHEMA, least=1)
    if schema != SCHEMA:
        do = "Use the version of robench it was written for"
        raise root.fail("schema", expected=f"schema {SCHEMA}", got=str(schema), do=do)
    data = read_data(root, "dataset")
    folder = file.parent
    models = tuple(
        read_model(root.section("models", i, what="a model"), data, folder)
        for i in range(len(root.items("models")))
    )
    groups = [
        read_threats(root.section("threats", i, what="a threat"))
        for i in range(len(root.items("threats", default=())))
    ]
    _check_models(root, models)
    _check_threats(root, groups)
    return Plan(
        name=check_name(root.text("name", file.stem), what="name", where=root.where("name")),
        seed=root.whole("seed", 0, least=0),
        data=data,
        models=models,
        threats=tuple(threat for group in groups for threat in group),
        transfer=root.flag("transfer", True),
        shard=root.whole("shard", 500, least=1),
        batch_size=root.whole("batch_size", 250, least=1),
        draws=root.whole("draws", DRAWS, least=2),
    )


def _check_models(root: Section, models: tuple[ModelSpec, ...]) -> None:
    known: dict[str, ModelSpec] = {}
    for position, model in enumerate(models):
        if model.name in known:
            got = f"{model.name!r} a second time"
            raise root.fail("models", position, "name", expected="a name of its own for every model", got=got)
        known[model.name] = model
    for position, model in enumerate(models):
        if model.features_of is None:
            continue
        place = ("models", position, "features_of")
        others = {name for name, other in known.items() if other.features_of is None}
        if model.features_of == model.name or model.features_of not in known:
            got, do = repr(model.features_of), nearest(model.features_of, others - {model.name})
            raise root.fail(*place, expected="features_of: the name of another model", got=got, do=do)
        if model.features_of not in others:
            origin = known[model.features_of].features_of
            got = f"{model.features_of!r}, which has the features of {origin!r}"
            expected = "features_of: a model with features of its own"
            raise root.fail(*place, expected=expected, got=got, do=f"Write {origin}")


def _check_threats(root: Section, groups: Sequence[tuple[ThreatSpec, ...]]) -> None:
    seen: set[tuple[Any, ...]] = set()
    for position, threat in [(at, threat) for at, group in enumerate(groups) for threat in group]:
        board = (threat.norm, threat.eps, threat.goal, threat.knowledge, threat.budget)
        if board in seen:
            got = f"{threat.norm} {threat.eps_text} {threat.goal} a second time"
            do = "Put all attacks of a threat into one list"
            raise root.fail("threats", position, expected="each threat once", got=got, do=do)
        seen.add(board)


def _override(document: Document, text: str) -> Document:
    """Return the document with one `path.to.key=value` applied."""
    source = f"--set {text}"
    path, equals, value = text.partition("=")
    parts = [part.strip() for part in path.split(".")]
    if not equals or not all(parts):
        raise ConfigError(where=source, expected="path.to.key=value", got=repr(text))
    data = copy.deepcopy(document.data)
    made = read_value(value, source=source)
    holder: Any = data
    key: Key = ()
    for depth, part in enumerate(parts):
        step: str | int = part
        if isinstance(holder, list):
            if not part.isdecimal() or int(part) >= len(holder):
                expected = f"a position from 0 to {len(holder) - 1} in {'.'.join(parts[:depth])}"
                raise ConfigError(where=source, expected=expected, got=repr(part))
            step = int(part)
        elif not isinstance(holder, dict):
            got = f"{holder!r} at {'.'.join(parts[:depth])!r}"
            raise ConfigError(where=source, expected="a mapping or a list to set a key in", got=got)
        key = (*key, step)
        if depth == len(parts) - 1:
            holder[step] = made
        else:
            inner = holder.get(step) if isinstance(holder, dict) else holder[step]
            if inner is None:
                inner = {}
            elif inner == parts[depth + 1]:
                inner = {inner: {}}  # `defense: natural` is short for `defense: {natural: {}}`
            holder[step] = holder = inner
    return Document(data, document.source, {**document.places, key: source})
