"""From a configuration to a plan: plugins and files are looked up, defaults filled in, radii spread out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench import plugins
from robench.errors import ConfigError, nearest
from robench.intake.user_code import check_defined, is_reference
from robench.plan.bounds import method_of
from robench.plan.data_root import in_data_root
from robench.plan.file_names import check_name
from robench.plan.knowledge import denied
from robench.plan.lookup import Place, file_of, located, plugin_of, proper, stage_of, user_code
from robench.plan.spec import (
    LIBRARIES,
    AttackSpec,
    BoundSpec,
    Choice,
    DataSpec,
    ModelSpec,
    Plan,
    ThreatSpec,
    TrainSpec,
)
from robench.plan.yaml_reader import Document

if TYPE_CHECKING:
    from robench.plan.grammar import Configuration, DataEntry, ModelEntry, TrainEntry
    from robench.plan.threat_entry import ThreatEntry


def resolve(configuration: Configuration, document: Document, file: Path) -> Plan:
    """Return the plan of a configuration.

    Args:
        configuration: as `robench.plan.grammar.read` returned it.
        document: what it was read from, for messages.
        file: gives the default name, and the start of relative paths.

    Raises:
        ConfigError: an option, a file or a gradient source does not exist, or an attack cannot play.
        PluginError: a plugin is unknown or cannot be used.
    """
    root = Place(document)
    data = _data(configuration.dataset, root.at("dataset"))
    models = [
        _model(entry, root.at("models", position), data, file.parent)
        for position, entry in enumerate(configuration.models)
    ]
    threats = [
        threat
        for position, entry in enumerate(configuration.threats)
        for threat in _threats(entry, root.at("threats", position), file.parent, models)
    ]
    return Plan(
        name=configuration.name or check_name(file.stem, what="name", where=root.at("name").where),
        seed=configuration.seed,
        data=data,
        models=tuple(models),
        threats=tuple(threats),
        transfer=configuration.transfer,
        shard=configuration.shard,
        batch_size=configuration.batch_size,
        draws=configuration.draws,
    )


def _data(entry: DataEntry, place: Place, evaluation: DataSpec | None = None) -> DataSpec:
    """Return which images; training data inherit data set and options from those of the evaluation."""
    name, options = entry.name, entry.options
    if evaluation is not None:
        name = name or evaluation.dataset.name
        if options is None and name == evaluation.dataset.name:
            options = evaluation.dataset.options
    choice = Choice(name=name, options=dict(options or {}), where=place.at("name").where)
    plugin_of("datasets", choice, place.at("options"))
    return DataSpec(
        dataset=choice,
        split=entry.split,
        limit=entry.limit,
        at_most=entry.at_most,
        subset=entry.subset,
        labelled=entry.labelled,
        indices=None if entry.indices is None else tuple(entry.indices),
    )


def _model(entry: ModelEntry, place: Place, data: DataSpec, folder: Path) -> ModelSpec:
    head = entry.head
    if entry.has("head"):
        head = located(head, place.at("head"))
        plugin_of("heads", head, place.at("head", head.name))
    inference = _inference(entry, place, folder)
    architecture, checkpoint = entry.architecture, entry.checkpoint
    return ModelSpec(
        name=entry.name,
        architecture=architecture and _architecture(architecture, place.at("architecture"), folder),
        buffer=entry.buffer,
        normalize=(tuple(entry.normalize.mean), tuple(entry.normalize.std)) if entry.normalize else None,
        checkpoint=None if checkpoint is None else _checkpoint(checkpoint, place.at("checkpoint"), folder),
        sha256=entry.sha256,
        key=entry.key,
        features_of=entry.features_of,
        head=head,
        train=_training(entry.train, place.at("train"), data, folder) if entry.train else None,
        output=entry.output,
        sources=_sources(entry, place, head, inference),
        inference=tuple(choice for choice, _ in inference),
        outputs=entry.outputs,
        class_map=entry.class_map,
        precision=entry.precision,
        where=place.where,
    )


def _architecture(choice: Choice, place: Place, folder: Path) -> Choice:
    choice = located(choice, place)
    source, _, factory = choice.name.rpartition(":")
    if not source:
        plugin_of("models", choice, place.at(choice.name))
        return choice
    library, _, network = choice.name.partition(":")
    if library in LIBRARIES and network:
        return choice
    if not source.endswith(".py") or not factory.isidentifier():
        libraries = ", ".join(f"{name}:NAME" for name in LIBRARIES)
        expected = f"a model's name, {libraries}, or path/to/file.py:factory"
        raise place.refusal(expected=expected, got=repr(choice.name))
    absolute = replace(choice, name=f"{file_of('architecture', source, place, folder)}:{factory}")
    check_defined(absolute.name, where=absolute.where)
    return absolute


def _checkpoint(text: str, place: Place, folder: Path) -> Path:
    """Return the absolute path of a file that exists, or one of the data root, which is looked up later."""
    return Path(text) if in_data_root(text) else file_of("checkpoint", text, place, folder)


def _training(entry: TrainEntry, place: Place, data: DataSpec, folder: Path) -> TrainSpec:
    at = place.at("defense")
    if is_reference(entry.defense.name):
        code = user_code(entry.defense, at, folder)
        return TrainSpec(defense=code, data=_data(entry.data, place.at("data"), data))
    defense = located(entry.defense, at)
    if stage_of(defense) != "training":
        do = f"Put it under the model's key `inference`, beside `train`: inference: {defense.name}"
        got = f"{defense.name!r}, which is put in front of a trained model"
        raise at.refusal(expected="a defense that trains a network", got=got, do=do)
    plugin_of("defenses", defense, at.at(defense.name))
    return TrainSpec(defense=defense, data=_data(entry.data, place.at("data"), data))


def _inference(entry: ModelEntry, place: Place, folder: Path) -> list[tuple[Choice, Any]]:
    """Return the defenses in front of a model, each with the recipe it makes; None for one of a file."""
    pairs: list[tuple[Choice, Any]] = []
    for position, choice in enumerate(entry.inference):
        at = place.at("inference", position)
        if is_reference(choice.name):
            pairs.append((user_code(choice, at, folder), None))
            continue
        defense = located(choice, at)
        if stage_of(defense) != "inference":
            do = f"Put it under `train`: train: {{defense: {defense.name}}}"
            expected = "a defense that is put in front of a trained model"
            raise at.refusal(expected=expected, got=f"{defense.name!r}, which trains a network", do=do)
        pairs.append((defense, plugin_of("defenses", defense, at.at(defense.name))))
    return pairs


def _sources(
    entry: ModelEntry, place: Place, head: Choice, inference: Sequence[tuple[Choice, Any]]
) -> tuple[str, ...] | None:
    """Return the gradient sources asked for, all of which head and defenses must offer."""
    if entry.sources is None:
        return None
    # A third-party head need not say what it offers; then the built model is asked, later.
    choices = getattr(plugins.find("heads", head.name, where=head.where), "offers", None)
    expected = f"a gradient source that the head {head.name!r} offers"
    for choice, recipe in reversed(inference):
        offers = getattr(recipe, "offers", None)
        choices = None if choices is None or offers is None else offers(choices)
        expected = f"a gradient source that {head.name!r} offers behind {choice.name!r}"
    for position, name in enumerate(entry.sources):
        if choices is not None and name not in choices:
            do = nearest(name, choices)
            raise place.at("sources", position).refusal(expected=expected, got=repr(name), do=do)
    return tuple(entry.sources)


def _threats(entry: ThreatEntry, place: Place, folder: Path, models: Sequence[ModelSpec]) -> list[ThreatSpec]:
    """Return a threat of each radius, in rising order."""
    return [
        ThreatSpec(
            norm=entry.norm,
            eps=eps,
            eps_text=text,
            goal=entry.goal,
            attacks=_attacks(entry, place, eps, folder),
            knowledge=entry.knowledge,
            budget=entry.budget,
            bounds=_bounds(entry, place, models),
        )
        for eps, text in sorted(entry.eps.items())
    ]


def _attacks(entry: ThreatEntry, place: Place, eps: float, folder: Path) -> tuple[AttackSpec, ...]:
    """Return the attacks of a threat, each with a label: its name, and the steps where that comes twice."""
    choices = [proper("attacks", attack.choice) for attack in entry.attacks]
    counts = Counter(
        choice.name for choice, attack in zip(choices, entry.attacks, strict=True) if attack.label is None
    )
    specs: dict[str, AttackSpec] = {}
    for position, attack in enumerate(entry.attacks):
        at = place.at("attacks", position)
        name = choices[position].name
        if is_reference(name):
            choice = user_code(attack.choice, at, folder)
            steps, short = choice.options.get("steps"), name.rpartition(":")[2]
        else:
            choice, short = located(attack.choice, at), name
            recipe = plugin_of("attacks", choice, at.at(choice.name))
            choice = replace(choice, name=name)
            _check_attack(choice, recipe.info, entry, eps, at)
            steps = getattr(recipe, "steps", None)
        several = counts[name] > 1 and steps is not None
        label = attack.label or (f"{short}-{steps}" if several else short)
        if label in specs:
            do = "Give one of them a label: {" + name + ": {...}, label: ...}"
            expected = "a label of its own for every attack of a threat"
            raise at.refusal(expected=expected, got=f"{label!r} twice", do=do)
        specs[label] = AttackSpec(label=label, attack=choice)
    return tuple(specs.values())


def _check_attack(choice: Choice, info: Any, entry: ThreatEntry, eps: float, place: Place) -> None:
    """Refuse an attack that cannot play under a threat."""
    if entry.norm not in info.norms:
        got = f"{choice.name!r}, which supports {', '.join(info.norms)}"
        raise place.refusal(expected=f"an attack under {entry.norm}", got=got)
    if entry.goal not in info.goals:
        got = f"{choice.name!r}, which plays {', '.join(info.goals)} only"
        raise place.refusal(expected=f"an attack with a goal that is {entry.goal}", got=got)
    if eps == math.inf and not info.minimises:
        do = "Give the threat a finite eps, or use an attack that minimises, such as cw"
        got = f"{choice.name!r}, which needs a radius"
        raise place.refusal(expected="an attack that minimises under eps inf", got=got, do=do)
    if denial := denied(info, entry.knowledge, entry.budget):
        raise place.refusal(expected=denial.expected, got=denial.got, do=denial.do)


def _bounds(entry: ThreatEntry, place: Place, models: Sequence[ModelSpec]) -> tuple[BoundSpec, ...]:
    """Return the ways to bound of a threat, each with a label that no attack has either."""
    specs: dict[str, BoundSpec] = {}
    attacks = {attack.label or attack.choice.name for attack in entry.attacks}
    by_name = {model.name: model for model in models}
    for position, bound in enumerate(entry.bounds):
        at = place.at("bounds", position)
        choice, label = located(bound.choice, at), bound.label or bound.choice.name
        try:
            method_of(choice.name, choice.options, where=at.at(choice.name).where)
        except ConfigError as error:
            # A recipe's own refusal names the option in place of the line.
            where = at.at(choice.name, *([error.where] if error.where in choice.options else [])).where
            raise ConfigError(where=where, expected=error.expected, got=error.got, do=error.do) from None
        if label in specs or label in attacks:
            do = "Give one of them a label: {" + choice.name + ": {...}, label: ...}"
            expected = "a label of its own for every attack and bound of a threat"
            raise at.refusal(expected=expected, got=f"{label!r} twice", do=do)
        for number, name in enumerate(bound.models):
            if name not in by_name:
                expected, do = "the name of a model", nearest(name, by_name)
                raise at.at("models", number).refusal(expected=expected, got=repr(name), do=do)
        for name in bound.models or by_name:
            if by_name[name].inference:
                do = f"Name the models to bound: {{{choice.name}: {{}}, models: [...]}}"
                got = f"{name!r}, which has a defense in front of it"
                raise at.refusal(expected="models that are bounded as they are", got=got, do=do)
        specs[label] = BoundSpec(label=label, bound=choice, models=bound.models)
    return tuple(specs.values())
