"""What a configuration may say: an entry for each of its mappings, a field for each key.

Here is what can be told from the text alone: keys, types, ranges, and what may stand beside what. Names of
plugins and files are looked up in `robench.plan.resolution`; docs/configuration.md explains every key.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)

from robench.errors import ConfigError, nearest
from robench.plan.entry import (
    Entry,
    Items,
    Positive,
    checked,
    choice_of,
    different,
    one_of,
    refusal,
    with_place,
)
from robench.plan.file_names import check_name
from robench.plan.spec import DRAWS, PRECISIONS, SCHEMA, Choice
from robench.plan.threat_entry import ThreatEntry
from robench.plan.weights_path import key_text, parse_key
from robench.plan.yaml_reader import Document

SPLITS = ("test", "train")
SUBSETS = ("first", "balanced", "random")
OUTPUTS = ("logits", "log_probabilities", "simplex")


def _whole(value: Any) -> bool:
    return type(value) is int and value >= 0


class DataEntry(Entry):
    """The images to evaluate on; a data set's name alone is short for a mapping of it."""

    title = "dataset"
    name: str
    split: Annotated[str, one_of(SPLITS)] = "test"
    indices: Annotated[list[Any], Items, different("whole numbers from 0", _whole)] | None = None
    limit: Positive | None = None
    at_most: Positive | None = None
    subset: Annotated[str, one_of(SUBSETS)] = "first"
    labelled: Positive | None = None
    options: dict[Any, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_number(self) -> Self:
        if self.limit is not None and self.at_most is not None:
            raise refusal("at_most", expected="one of limit and at_most", got="both")
        return self

    @model_validator(mode="after")
    def _labels(self) -> Self:
        if self.labelled is not None:
            expected, do = "labels of all images to evaluate on", "Write it below `train: data:`"
            raise refusal("labelled", expected=expected, got=str(self.labelled), do=do)
        return self


class TrainingDataEntry(DataEntry):
    """The images to train on: by default of the evaluation's data set, another split."""

    title = "data"
    name: str | None = None  # type: ignore[assignment]
    split: Annotated[str, one_of(SPLITS)] = "train"

    @model_validator(mode="after")
    def _labels(self) -> Self:
        if self.labelled is not None and self.limit is not None and self.labelled > self.limit:
            expected = f"labelled: at most the limit, {self.limit}"
            raise refusal("labelled", expected=expected, got=str(self.labelled))
        return self


class TrainEntry(Entry):
    """How a network is trained."""

    title = "train"
    defense: Annotated[Choice, choice_of("defense")]
    data: TrainingDataEntry = TrainingDataEntry()


class NormalizeEntry(Entry):
    """A mean and a standard deviation for each channel."""

    title = "normalize"
    mean: Annotated[list[float], Items]
    std: Annotated[list[float], Items]

    @model_validator(mode="after")
    def _for_unit_pixels(self) -> Self:
        mean, std = self.mean, self.std
        if len(mean) != len(std):
            got = f"{len(mean)} and {len(std)}"
            raise refusal(expected="as many numbers in mean as in std, one per channel", got=got)
        if min(std) <= 0:
            raise refusal("std", expected="positive standard deviations", got=repr(min(std)))
        if max(*map(abs, mean), *std) > 10:
            got = f"values up to {max(*mean, *std):g}"
            do = "Images live in [0, 1]: divide mean and std by 255"
            raise refusal("mean", expected="mean and std of images in [0, 1]", got=got, do=do)
        return self


def _lower_hexadecimal(text: str) -> str:
    value = text.lower()
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise refusal(expected="sha256: 64 hexadecimal digits", got=repr(value))
    return value


def _unquoted_key(value: Any) -> str:
    """Return the text of a key; `[2]` without quotes, a list in YAML, means the same."""
    if isinstance(value, list) and len(value) == 1 and type(value[0]) in {int, str}:
        value = f"[{value[0]}]"
    if not isinstance(value, str):
        do = f"Write key: '[{value}]'" if type(value) is int else ""
        raise refusal(expected="key: text such as state_dict[0] or ema.module", got=repr(value), do=do)
    return value


def _output_numbers(value: Any) -> tuple[int, ...]:
    """Return which output of the network stands for each class of the data."""
    if not isinstance(value, list) or not value or not all(map(_whole, value)):
        expected = "a list of outputs, one number from 0 for each class"
        raise refusal(expected=expected, got=repr(value)[:60])
    return tuple(value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


class ModelEntry(Entry):
    """One model."""

    title = "a model"
    name: Annotated[str, checked(partial(check_name, what="name of the model"))]
    architecture: Annotated[Choice, choice_of("architecture")] | None = None
    buffer: Positive | None = None
    normalize: NormalizeEntry | None = None
    checkpoint: str | None = None
    sha256: Annotated[str, AfterValidator(_lower_hexadecimal)] | None = None
    key: Annotated[
        str, BeforeValidator(_unquoted_key), checked(lambda text: key_text(parse_key(text)))
    ] | None = None  # fmt: skip
    features_of: str | None = None
    head: Annotated[Choice, choice_of("head")] = Choice(name="linear")
    train: TrainEntry | None = None
    output: Annotated[str, one_of(OUTPUTS)] = "logits"
    sources: Annotated[list[Any], Items, different("names of gradient sources", _text)] | None = None
    inference: Annotated[
        list[Annotated[Choice, choice_of("defense")]],
        Items,
        BeforeValidator(lambda value: value if isinstance(value, list) else [value]),
    ] = Field(default_factory=list)
    outputs: Positive | None = None
    class_map: Annotated[tuple[int, ...], PlainValidator(_output_numbers)] | None = None
    precision: Annotated[str, one_of(PRECISIONS)] = PRECISIONS[0]

    @model_validator(mode="after")
    def _what_stands_beside_what(self) -> Self:
        weights = [key for key in ("train", "checkpoint", "features_of") if self.has(key)]
        if len(weights) > 1:
            got = " and ".join(map(repr, weights))
            raise refusal(weights[1], expected="one of train, checkpoint and features_of", got=got)
        for key in ("architecture", "buffer", "normalize", "output", "outputs", "class_map"):
            if self.has("features_of") and self.has(key):
                do = "Remove it: the features come with their own"
                raise refusal(key, expected="no such key beside features_of", got=repr(key), do=do)
        if not self.has("features_of") and not self.has("architecture"):
            raise refusal(expected="the key 'architecture' or 'features_of'", got="neither")
        for key in ("sha256", "key"):
            if self.has(key) and not self.has("checkpoint"):
                raise refusal(key, expected=f"a checkpoint beside {key}", got="none")
        for key, wrong in (("train", self.has("train")), ("head", self.head.name != "linear")):
            if self.has("class_map") and wrong:
                do = "Train on the classes themselves"
                raise refusal("class_map", expected=f"no `{key}` beside class_map", got=key, do=do)
        return self


def _this_schema(version: int) -> int:
    if version != SCHEMA:
        do = "Use the version of robench it was written for"
        raise refusal(expected=f"schema {SCHEMA}", got=str(version), do=do)
    return version


class Configuration(Entry):
    """The whole configuration."""

    title = "the configuration"
    # `schema` is a method of every pydantic model.
    version: Annotated[Positive, AfterValidator(_this_schema)] = Field(SCHEMA, alias="schema")
    dataset: DataEntry
    models: Annotated[list[ModelEntry], Items]
    threats: Annotated[list[ThreatEntry], Items] = Field(default_factory=list)
    name: Annotated[str, checked(partial(check_name, what="name"))] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    transfer: bool = True
    shard: Positive = 500
    batch_size: Positive = 250
    draws: Annotated[int, Field(ge=2)] = DRAWS

    @model_validator(mode="after")
    def _names_of_models(self) -> Self:
        models: dict[str, ModelEntry] = {}
        for position, model in enumerate(self.models):
            if model.name in models:
                expected, got = "a name of its own for every model", f"{model.name!r} a second time"
                raise refusal("models", position, "name", expected=expected, got=got)
            models[model.name] = model
        others = {name for name, model in models.items() if model.features_of is None}
        for position, model in enumerate(self.models):
            owner, at = model.features_of, ("models", position, "features_of")
            if owner is None or owner in others:
                continue
            if owner == model.name or owner not in models:
                expected = "features_of: the name of another model"
                do = nearest(owner, others - {model.name})
                raise refusal(*at, expected=expected, got=repr(owner), do=do)
            expected, source = "features_of: a model with features of its own", models[owner].features_of
            got = f"{owner!r}, which has the features of {source!r}"
            raise refusal(*at, expected=expected, got=got, do=f"Write {source}")
        return self

    @model_validator(mode="after")
    def _each_threat_once(self) -> Self:
        boards = set()
        for position, threat in enumerate(self.threats):
            for eps, text in sorted(threat.eps.items()):
                board = (threat.norm, eps, threat.goal, threat.knowledge, threat.budget)
                if board in boards:
                    got = f"{threat.norm} {text} {threat.goal} a second time"
                    do = "Put all attacks of a threat into one list"
                    raise refusal("threats", position, expected="each threat once", got=got, do=do)
                boards.add(board)
        return self


def read(document: Document) -> Configuration:
    """Return a document's data as a configuration.

    Raises:
        ConfigError: the first mistake, its file and line, what was expected, and the nearest valid name.
    """
    if not isinstance(document.data, dict):
        got = type(document.data).__name__
        raise ConfigError(where=document.where(()), expected="a mapping of keys to values", got=got)
    try:
        return Configuration.model_validate(document.data)
    except ValidationError as error:
        raise with_place(error.errors(include_url=False)[0], document) from None
