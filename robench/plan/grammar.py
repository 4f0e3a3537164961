"""The parts of a configuration: each function reads one section and returns its part of the plan.

Every key that exists is named here; docs/configuration.md explains them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

from robench import plugins
from robench.errors import ConfigError, nearest
from robench.plan.data_root import in_data_root
from robench.plan.file_names import check_label, check_name
from robench.plan.key_path import parse_key, written
from robench.plan.knowledge import denied, in_order
from robench.plan.section_reader import REQUIRED, Section
from robench.plan.spec import (
    KNOWLEDGE,
    KNOWN,
    PRECISIONS,
    AttackSpec,
    Choice,
    DataSpec,
    ModelSpec,
    ThreatSpec,
    TrainSpec,
    canonical,
)
from robench.plugins import Kind
from robench.recipe import build, describe

DATA_KEYS = ("name", "split", "indices", "limit", "subset", "labelled", "options")
TRAIN_KEYS = ("defense", "data")
MODEL_KEYS = (
    "name", "architecture", "buffer", "normalize", "checkpoint", "sha256", "key", "features_of", "head",
    "train", "output", "sources", "inference", "outputs", "class_map", "precision",
)  # fmt: skip
THREAT_KEYS = ("norm", "eps", "goal", "knowledge", "budget", "attacks")
SPLITS = ("test", "train")
SUBSETS = ("first", "balanced")
NORMS = ("Linf", "L2", "L1")
GOALS = ("untargeted", "targeted")
OUTPUTS = ("logits", "log_probabilities", "simplex")


def read_data(parent: Section, name: str, *, default: DataSpec | None = None) -> DataSpec:
    """Read which images: a data set's name, or a mapping of it.

    Args:
        parent: the section that holds it.
        name: its key.
        default: the evaluation data, from which the training data inherits data set and options.
    """
    if isinstance(parent.values.get(name), str):
        values: dict[str, Any] = {"name": parent.values[name]}
        section = Section(values, (*parent.key, name), parent.document)
    elif not parent.has(name) and default is not None:
        section = Section({}, (*parent.key, name), parent.document)
    else:
        if not parent.has(name):
            raise parent.fail(expected=f"the key {name!r}", got="none")
        section = parent.section(name, what=name)
    section.only(DATA_KEYS, name)
    chosen = section.text("name", default.dataset.name if default else REQUIRED)
    inherited = default.dataset.options if default and default.dataset.name == chosen else {}
    options = dict(section.section("options", what="options").values) if section.has("options") else inherited
    choice = Choice(name=chosen, options=dict(options), where=section.where("name"))
    check_plugin("datasets", choice, section, ("options",))
    return DataSpec(
        dataset=choice,
        split=section.one_of("split", SPLITS, "train" if default else "test"),
        indices=_indices(section) if section.has("indices") else None,
        limit=section.whole("limit", None, least=1),
        subset=section.one_of("subset", SUBSETS, "first"),
        labelled=_labelled_images(section, training=default is not None),
    )


def read_model(section: Section, data: DataSpec, folder: Path) -> ModelSpec:
    """Read one model.

    Args:
        section: its mapping.
        data: the evaluation data.
        folder: where relative paths start.
    """
    section.only(MODEL_KEYS, "a model")
    name = check_name(section.text("name"), what="name of the model", where=section.where("name"))
    origins = [key for key in ("train", "checkpoint", "features_of") if section.has(key)]
    if len(origins) > 1:
        got = " and ".join(map(repr, origins))
        raise section.fail(origins[1], expected="one of train, checkpoint and features_of", got=got)
    for key in ("architecture", "buffer", "normalize", "output", "outputs", "class_map"):
        if section.has("features_of") and section.has(key):
            do = "Remove it: the features come with their own"
            raise section.fail(key, expected="no such key beside features_of", got=repr(key), do=do)
    if not section.has("features_of") and not section.has("architecture"):
        raise section.fail(expected="the key 'architecture' or 'features_of'", got="neither")
    head = read_choice(section, "heads", "head") if section.has("head") else Choice(name="linear")
    inference = _inference(section)
    return ModelSpec(
        name=name,
        architecture=_architecture(section, folder) if section.has("architecture") else None,
        buffer=section.whole("buffer", None, least=1),
        normalize=_normalize(section) if section.has("normalize") else None,
        checkpoint=_checkpoint(section, folder) if section.has("checkpoint") else None,
        sha256=_sha256(section),
        key=_key(section),
        features_of=section.text("features_of", None),
        head=head,
        train=_train(section.section("train", what="train"), data) if section.has("train") else None,
        output=section.one_of("output", OUTPUTS, "logits"),
        sources=_sources(section, head, inference) if section.has("sources") else None,
        inference=tuple(choice for choice, _ in inference),
        outputs=section.whole("outputs", None, least=1),
        class_map=_class_map(section, head) if section.has("class_map") else None,
        precision=section.one_of("precision", PRECISIONS, PRECISIONS[0]),
        where=section.where(),
    )


def read_threats(section: Section) -> tuple[ThreatSpec, ...]:
    """Read one threat model and its attacks; a list of radii makes one threat of each, in rising order."""
    section.only(THREAT_KEYS, "a threat")
    norm = section.one_of("norm", NORMS)
    radii = _radii(section, norm)
    section.items("attacks")
    goal = section.one_of("goal", GOALS, "untargeted")
    known = _knowledge(section)
    budget: int | None = section.whole("budget", None, least=1)
    return tuple(
        ThreatSpec(
            norm=norm,
            eps=eps,
            eps_text=text,
            goal=goal,
            attacks=_attacks(section, norm, eps, known, budget),
            knowledge=known,
            budget=budget,
        )
        for eps, text in sorted(radii.items())
    )


def _class_map(section: Section, head: Choice) -> tuple[int, ...]:
    """Read which output of the network stands for each class of the data."""
    value = section.values["class_map"]
    if not isinstance(value, list) or not value or not all(type(v) is int and v >= 0 for v in value):
        raise section.fail(
            "class_map", expected="a list of outputs, one number from 0 for each class", got=repr(value)[:60]
        )
    for key, wrong in (("train", section.has("train")), ("head", head.name != "linear")):
        if wrong:
            raise section.fail(
                "class_map",
                expected=f"no `{key}` beside class_map",
                got=key,
                do="Train on the classes themselves",
            )
    return tuple(value)


def _knowledge(section: Section) -> tuple[str, ...]:
    value = section.values.get("knowledge")
    if value is None:
        return KNOWN
    if not isinstance(value, list):
        do = "Write [] for an attacker who may only ask the model"
        expected = f"knowledge: a list of some of {', '.join(KNOWLEDGE)}"
        raise section.fail("knowledge", expected=expected, got=repr(value), do=do)
    try:
        return in_order(value)
    except ConfigError as error:
        raise ConfigError(
            where=section.where("knowledge"), expected=error.expected, got=error.got, do=error.do
        ) from None


def read_choice(section: Section, kind: Kind, *keys: str | int, beside: tuple[str, ...] = ()) -> Choice:
    """Read a plugin's name and options and check both."""
    choice = section.choice(*keys, what=kind.removesuffix("s"), beside=beside)
    check_plugin(kind, choice, section, (*keys, choice.name))
    return choice


def check_plugin(kind: Kind, choice: Choice, section: Section, options: tuple[str | int, ...]) -> Any:
    """Return the recipe a choice makes.

    Args:
        kind: the group of plugins.
        choice: name and options.
        section: where the choice stands, for messages.
        options: path of the options below the section.

    Raises:
        PluginError: no such plugin.
        ConfigError: an option is unknown or wrong; points at the option's own line.
    """
    recipe = plugins.find(kind, choice.name, where=choice.where)
    known = describe(recipe)
    wrong = [name for name in choice.options if name not in known]
    missing = [name for name, option in known.items() if option["default"] == "required"]
    if (absent := [name for name in missing if name not in choice.options]) and not wrong:
        expected = f"the option {absent[0]!r} of {choice.name!r}, which has no default"
        raise ConfigError(where=choice.where, expected=expected, got="none")
    where = section.where(*options, wrong[0]) if wrong else choice.where
    try:
        canonical(choice.options)
        return build(recipe, choice.options, where=where)
    except ValueError:
        raise ConfigError(where=where, expected="finite numbers or inf as options", got="NaN") from None
    except ConfigError as error:
        # `build` names the option before the colon, a recipe's own refusal in `where`; neither knows a line.
        expected = f"{error.where}: {error.expected}" if error.where in choice.options else error.expected
        name = expected.split(":")[0]
        where = section.where(*options, name) if name in choice.options else where
        raise ConfigError(where=where, expected=expected, got=error.got, do=error.do) from None


def _indices(section: Section) -> tuple[int, ...]:
    """Return positions in the split, each once, in the order given."""
    found: dict[int, None] = {}
    for position, index in enumerate(section.items("indices")):
        if type(index) is not int or index < 0 or index in found:
            expected = "indices: different whole numbers from 0"
            raise section.fail("indices", position, expected=expected, got=repr(index))
        found[index] = None
    return tuple(found)


def _labelled_images(section: Section, *, training: bool) -> int | None:
    labelled: int | None = section.whole("labelled", None, least=1)
    if labelled is None:
        return None
    if not training:
        expected, do = "labels of all images to evaluate on", "Write it below `train: data:`"
        raise section.fail("labelled", expected=expected, got=str(labelled), do=do)
    limit: int | None = section.whole("limit", None, least=1)
    if limit is not None and labelled > limit:
        expected = f"labelled: at most the limit, {limit}"
        raise section.fail("labelled", expected=expected, got=str(labelled))
    return labelled


def _architecture(section: Section, folder: Path) -> Choice:
    choice = section.choice("architecture", what="architecture")
    source, _, factory = choice.name.rpartition(":")
    if not source:
        check_plugin("models", choice, section, ("architecture", choice.name))
        return choice
    if source == "torchvision" and factory:
        return choice
    if not source.endswith(".py") or not factory.isidentifier():
        expected = "a model's name, torchvision:NAME, or path/to/file.py:factory"
        raise section.fail("architecture", expected=expected, got=repr(choice.name))
    path = _file(section, "architecture", source, folder)
    return Choice(name=f"{path}:{factory}", options=choice.options, where=choice.where)


def _checkpoint(section: Section, folder: Path) -> Path:
    """Return the absolute path of a file that exists, or one of the data root, which is looked up later."""
    text = section.text("checkpoint")
    return Path(text) if in_data_root(text) else _file(section, "checkpoint", text, folder)


def _file(section: Section, key: str, text: str, folder: Path) -> Path:
    """Return the absolute path of a file that exists; relative paths start at the configuration's folder."""
    try:
        path = (folder / Path(text).expanduser()).resolve()
        exists = path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long, an unknown ~user, a NUL
        exists, path = False, Path(text)
    if not exists:
        do = "A relative path starts at the configuration file's folder"
        raise section.fail(key, expected=f"{key}: a file", got=f"no file {str(path)!r}", do=do)
    return path


def _normalize(section: Section) -> tuple[tuple[float, ...], tuple[float, ...]]:
    inner = section.section("normalize", what="normalize")
    inner.only(("mean", "std"), "normalize")
    mean, std = inner.numbers("mean"), inner.numbers("std")
    if len(mean) != len(std):
        expected = "as many numbers in mean as in std, one per channel"
        raise inner.fail(expected=expected, got=f"{len(mean)} and {len(std)}")
    if min(std) <= 0:
        raise inner.fail("std", expected="positive standard deviations", got=repr(min(std)))
    if max(*map(abs, mean), *std) > 10:
        do = "Images live in [0, 1]: divide mean and std by 255"
        got = f"values up to {max(*mean, *std):g}"
        raise inner.fail("mean", expected="mean and std of images in [0, 1]", got=got, do=do)
    return mean, std


def _sha256(section: Section) -> str | None:
    if not section.has("sha256"):
        return None
    if not section.has("checkpoint"):
        raise section.fail("sha256", expected="a checkpoint beside sha256", got="none")
    value = str(section.text("sha256")).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise section.fail("sha256", expected="sha256: 64 hexadecimal digits", got=repr(value))
    return value


def _key(section: Section) -> str | None:
    """Read which part of a checkpoint file is meant; `[2]` without quotes, a list in YAML, means the same."""
    if not section.has("key"):
        return None
    if not section.has("checkpoint"):
        raise section.fail("key", expected="a checkpoint beside key", got="none")
    value = section.values["key"]
    if isinstance(value, list) and len(value) == 1 and type(value[0]) in {int, str}:
        value = f"[{value[0]}]"
    if not isinstance(value, str):
        do = f"Write key: '[{value}]'" if type(value) is int else ""
        expected = "key: text such as state_dict[0] or ema.module"
        raise section.fail("key", expected=expected, got=repr(value), do=do)
    return written(parse_key(value, where=section.where("key")))


def _train(section: Section, data: DataSpec) -> TrainSpec:
    section.only(TRAIN_KEYS, "train")
    if not section.has("defense"):
        raise section.fail(expected="the key 'defense'", got="none")
    defense = section.choice("defense", what="defense")
    if _stage(defense) != "training":
        do = f"Put it under the model's key `inference`, beside `train`: inference: {defense.name}"
        got = f"{defense.name!r}, which is put in front of a trained model"
        raise section.fail("defense", expected="a defense that trains a network", got=got, do=do)
    check_plugin("defenses", defense, section, ("defense", defense.name))
    return TrainSpec(defense=defense, data=read_data(section, "data", default=data))


def _inference(section: Section) -> list[tuple[Choice, Any]]:
    """Read the defenses in front of a model, one or a list, each with the recipe it makes."""
    if not section.has("inference"):
        return []
    several = isinstance(section.values["inference"], list)
    count = len(section.items("inference")) if several else 1
    read = []
    for keys in [("inference", i) for i in range(count)] if several else [("inference",)]:
        choice = section.choice(*keys, what="defense")
        if _stage(choice) != "inference":
            do = f"Put it under `train`: train: {{defense: {choice.name}}}"
            got = f"{choice.name!r}, which trains a network"
            expected = "a defense that is put in front of a trained model"
            raise section.fail(*keys, expected=expected, got=got, do=do)
        read.append((choice, check_plugin("defenses", choice, section, (*keys, choice.name))))
    return read


def _stage(defense: Choice) -> str:
    return str(plugins.find("defenses", defense.name, where=defense.where).info.stage)


def _sources(section: Section, head: Choice, inference: list[tuple[Choice, Any]]) -> tuple[str, ...]:
    names = section.items("sources")
    # A third-party head need not say what it offers; then the built model is asked, later.
    offered = getattr(plugins.find("heads", head.name, where=head.where), "offers", None)
    expected = f"a gradient source that the head {head.name!r} offers"
    for choice, recipe in reversed(inference):
        say = getattr(recipe, "offers", None)
        offered = None if offered is None or say is None else say(offered)
        expected = f"a gradient source that {head.name!r} offers behind {choice.name!r}"
    for position, name in enumerate(names):
        if not isinstance(name, str) or not name or names.index(name) < position:
            different = "sources: different names of gradient sources"
            raise section.fail("sources", position, expected=different, got=repr(name))
        if offered is not None and name not in offered:
            do = nearest(name, offered)
            raise section.fail("sources", position, expected=expected, got=repr(name), do=do)
    return tuple(names)


def _radii(section: Section, norm: str) -> dict[float, str]:
    """Return the radii of a threat, each as it was written: one, or several finite ones."""
    value = section.values.get("eps")
    several = isinstance(value, list)
    written = section.items("eps") if several else [value]
    found: dict[float, str] = {}
    for position, one in enumerate(written):
        place = ("eps", position) if several else ("eps",)
        eps, text = _radius(section, one, place)
        if norm == "Linf" and 1 < eps < math.inf:
            do = f"Pixels live in [0, 1]: write {eps:g}/255, or inf for no limit"
            raise section.fail(*place, expected="an Linf radius of at most 1", got=text, do=do)
        if several and eps == math.inf:
            do = "Give `eps: inf` a threat of its own, with attacks that minimise"
            raise section.fail(*place, expected="finite radii in a list", got=text, do=do)
        if eps in found:
            raise section.fail(*place, expected="each radius once", got=f"{text} a second time")
        found[eps] = text
    return found


def _radius(section: Section, value: Any, place: tuple[str | int, ...]) -> tuple[float, str]:
    text = "inf" if value == math.inf else str(value)
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        numerator, slash, denominator = text.partition("/")
        eps = float(numerator) / float(denominator) if slash else float(text)
        if not eps >= 0:
            raise ValueError
    except (ValueError, ZeroDivisionError, OverflowError):
        expected = "eps: a number of at least 0, a fraction such as 8/255, inf, or a list of finite ones"
        raise section.fail(*place, expected=expected, got=repr(value)) from None
    return eps, text.replace(" ", "")


def _attacks(
    section: Section, norm: str, eps: float, known: tuple[str, ...], budget: int | None
) -> tuple[AttackSpec, ...]:
    read: list[tuple[str | None, Choice, Any, str]] = []
    for position, item in enumerate(section.values["attacks"]):
        keys = ("attacks", position)
        choice = section.choice(*keys, what="attack", beside=("label",))
        recipe = check_plugin("attacks", choice, section, (*keys, choice.name))
        if norm not in recipe.info.norms:
            expected = f"an attack under {norm}"
            got = f"{choice.name!r}, which supports {', '.join(recipe.info.norms)}"
            raise section.fail(*keys, expected=expected, got=got)
        if eps == math.inf and not recipe.info.minimises:
            do = "Give the threat a finite eps, or use an attack that minimises, such as cw"
            got = f"{choice.name!r}, which needs a radius"
            raise section.fail(*keys, expected="an attack that minimises under eps inf", got=got, do=do)
        if denial := denied(recipe.info, known, budget):
            raise section.fail(*keys, expected=denial.expected, got=denial.got, do=denial.do)
        label = None
        if isinstance(item, dict) and item.get("label") is not None:
            label = section.section(*keys, what="attack").text("label")
            check_label(label, where=section.where(*keys, "label"))
        read.append((label, choice, recipe, section.where(*keys)))
    return _labelled(read)


def _labelled(read: list[tuple[str | None, Choice, Any, str]]) -> tuple[AttackSpec, ...]:
    """Give every attack a label of its own: its name, and its steps where the same plugin comes twice."""
    unnamed = Counter(choice.name for label, choice, _, _ in read if label is None)
    made: dict[str, AttackSpec] = {}
    for label, choice, recipe, where in read:
        steps = getattr(recipe, "steps", None)
        several = unnamed[choice.name] > 1 and steps is not None
        chosen = label or (f"{choice.name}-{steps}" if several else choice.name)
        if chosen in made:
            do = "Give one of them a label: {" + choice.name + ": {...}, label: ...}"
            raise ConfigError(where=where, expected="a label of its own for every attack of a threat",
                              got=f"{chosen!r} twice", do=do)  # fmt: skip
        made[chosen] = AttackSpec(label=chosen, attack=choice)
    return tuple(made.values())
