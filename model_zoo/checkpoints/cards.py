"""Model cards: a few lines of YAML beside a checkpoint that say what it is."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from robench.errors import ConfigError
from robench.plan.spec import to_json
from robench.record.training_history import UNCHANGED

_MOST = 10**9
"""More parameters than any network has; a larger number is no count."""


def card_path(checkpoint: Path) -> Path:
    """Return where the card of a checkpoint lies: `model.safetensors` has `model.card.yaml`."""
    return checkpoint.with_suffix(".card.yaml")


def described(checkpoint: Path) -> str:
    """Return what the card beside a checkpoint says its network is, empty where there is no such card."""
    card = _card(checkpoint)
    try:
        facts = {name: card.get(name) for name in ("buffer", "shape", "classes")}
        architecture = card["architecture"]["name"]
    except (KeyError, TypeError):
        return ""
    return ", ".join([str(architecture), *(f"{name} {value}" for name, value in facts.items())])


def remarks_of(checkpoint: Path) -> dict[str, Any]:
    """Return what the card beside a checkpoint says that a reader of results must know.

    `checkpoint_card`: the accuracy it states, with the images it was measured on; `unchanged_parameters`: of
    weights whose training changed none, how many there are. What it does not state is left out.
    """
    card = _card(checkpoint)
    unchanged_count = card.get(UNCHANGED)
    facts = {
        "checkpoint_card": _stated(card),
        UNCHANGED: unchanged_count if type(unchanged_count) is int and 0 < unchanged_count < _MOST else 0,
    }
    return {name: value for name, value in facts.items() if value}


def _stated(card: dict[str, Any]) -> dict[str, Any]:
    """Return the accuracy that a card states, with its images; empty where it states none of both."""
    test, data = card.get("held_out"), card.get("data")
    if not isinstance(test, dict):
        return {}
    accuracy, images = test.get("accuracy"), test.get("images")
    if not isinstance(accuracy, int | float) or not isinstance(images, int | float):
        return {}
    if not 0 <= accuracy <= 1 or not 1 <= images < float("inf"):
        return {}
    title = data.get("title") if isinstance(data, dict) else None
    return {"accuracy": float(accuracy), "images": int(images)} | ({"data": str(title)} if title else {})


def _card(checkpoint: Path) -> dict[str, Any]:
    """Return the card beside a checkpoint, empty where there is none that can be read."""
    from robench.plan.yaml_reader import read_file, read_text

    try:
        path = card_path(checkpoint)
        card = read_text(read_file(path), source=str(path)).data
    except ConfigError:
        return {}
    return card if isinstance(card, dict) else {}


def card_text(card: dict[str, Any]) -> bytes:
    """Return a card as block-style YAML in UTF-8.

    Args:
        card: names to values; what is neither a number, a text, a list nor a mapping is written as text.
    """
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel annotates it as None
    stream = io.BytesIO()
    yaml.dump(json.loads(json.dumps(to_json(card), default=str)), stream)
    return stream.getvalue()
