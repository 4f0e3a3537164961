"""Model cards: a few lines of YAML beside a checkpoint that say what it is."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from robench.plan import to_json


def card_path(checkpoint: Path) -> Path:
    """Return where the card of a checkpoint lies: `model.safetensors` has `model.card.yaml`."""
    return checkpoint.with_suffix(".card.yaml")


def described(checkpoint: Path) -> str:
    """Return what the card beside a checkpoint says its network is, empty where there is no such card."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        card = YAML(typ="safe", pure=True).load(card_path(checkpoint).read_text("utf-8"))
        facts = {name: card.get(name) for name in ("buffer", "shape", "classes")}
        architecture = card["architecture"]["name"]
    except (OSError, ValueError, YAMLError, AttributeError, KeyError, TypeError):
        return ""
    return ", ".join([str(architecture), *(f"{name} {value}" for name, value in facts.items())])


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
