"""Model cards: a few lines of YAML beside a checkpoint that describe it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

from robench.errors import ConfigError
from robench.plan.spec import to_json
from robench.record.exchange.model_card import (
    DataPart,
    HeldOutPart,
    StatedAccuracy,
    StatedCard,
    WeightRemarks,
    stated_card,
)
from robench.record.training_history import UNCHANGED

_MOST = 10**9
"""More parameters than any network has; a larger number is not accepted as a count."""


def card_path(checkpoint: Path) -> Path:
    """Return the path of a checkpoint's card: `model.safetensors` has `model.card.yaml`."""
    return checkpoint.with_suffix(".card.yaml")


def described(checkpoint: Path) -> str:
    """Return the network of a checkpoint according to its card, empty without such a card."""
    card = _card(checkpoint)
    try:
        facts = {name: card.get(name) for name in ("buffer", "shape", "classes")}
        architecture = card["architecture"]["name"]
    except (KeyError, TypeError):
        return ""
    return ", ".join([str(architecture), *(f"{name} {value}" for name, value in facts.items())])


def remarks_of(checkpoint: Path) -> WeightRemarks:
    """Return the facts from the card beside a checkpoint that a reader of results must know.

    `checkpoint_card`: the stated accuracy and its images; `unchanged_parameters`: the number of weights, if
    the training changed none of them. Facts that are not in the card are left out.
    """
    card = _card(checkpoint)
    unchanged_count = card.get(UNCHANGED)
    remarks: WeightRemarks = {}
    if accuracy := _stated(card):
        remarks["checkpoint_card"] = accuracy
    if type(unchanged_count) is int and 0 < unchanged_count < _MOST:
        remarks[UNCHANGED] = unchanged_count
    return remarks


def _stated(card: StatedCard) -> StatedAccuracy:
    """Return the accuracy that a card states, with its images; empty if it states neither."""
    test: HeldOutPart = card.get("held_out", {})
    accuracy, images = test.get("accuracy"), test.get("images")
    if not isinstance(accuracy, int | float) or not isinstance(images, int | float):
        return {}
    if not 0 <= accuracy <= 1 or not 1 <= images < float("inf"):
        return {}
    statement: StatedAccuracy = {"accuracy": float(accuracy), "images": int(images)}
    if title := card.get("data", DataPart()).get("title"):
        statement["data"] = str(title)
    return statement


def _card(checkpoint: Path) -> StatedCard:
    """Return the card beside a checkpoint, empty if there is no readable card."""
    from robench.plan.yaml_reader import read_file, read_text

    try:
        path = card_path(checkpoint)
        return stated_card(read_text(read_file(path), source=str(path)).data)
    except ConfigError:
        return {}


def card_text(card: Mapping[str, object]) -> bytes:
    """Return a card as block-style YAML in UTF-8.

    Args:
        card: names to values; a value that is not a number, text, list or mapping is written as text.
    """
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel annotates it as None
    stream = io.BytesIO()
    yaml.dump(json.loads(json.dumps(to_json(card), default=str)), stream)
    return stream.getvalue()
