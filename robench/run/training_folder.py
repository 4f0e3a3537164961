"""The folder of a training: its identity, whether it was interrupted, and the card of its weights.

An interrupted training is resumed, and never silently restarted under a changed configuration.
No torch here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robench.errors import ConfigError, StorageError
from robench.intake.user_code import is_reference, short_name
from robench.machine import versions
from robench.model.defense import Defense
from robench.plan.spec import ModelSpec, Plan, content_hash, to_json
from robench.recipe import options_of
from robench.record.files import read_json, sweep, write_atomic
from robench.record.training_history import UNCHANGED, Row, chosen_row, robust_overfitting, unchanged_text

if TYPE_CHECKING:
    from robench.data.images import ImageSet

STATE = "state.pt"
"""Running state of a training, written by the defense; deleted when the weights are written."""

WEIGHTS = "weights.safetensors"
"""The chosen weights of a finished training."""

IDENTITY = "identity.json"
"""The identity of the training in a folder, as plain JSON."""

_SHOWN = 6


def begin(folder: Path, identity: dict[str, Any]) -> None:
    """Make the folder of a training and write its identity.

    Raises:
        StorageError: writing to disk failed.
    """
    write_atomic(folder / IDENTITY, json.dumps(identity, indent=1, sort_keys=True) + "\n")
    sweep(folder)


def abandon(folder: Path, name: str) -> None:
    """Delete the unfinished trainings of a model, so that a new one can start.

    Args:
        folder: of the training to start; its siblings belong to the run's other trainings.
        name: of the model.
    """
    for other in {folder, *_interrupted(folder.parent, name)}:
        (other / STATE).unlink(missing_ok=True)


def refuse_changed(spec: ModelSpec, folder: Path, identity: dict[str, Any]) -> None:
    """Refuse to start a training of a model while another of the same model is unfinished.

    Finished trainings are kept beside each other; an unfinished one under another configuration means that
    something was changed half-way.

    Args:
        spec: the model.
        folder: folder of the training to start.
        identity: identity of the training to start.

    Raises:
        ConfigError: there is another unfinished training; names the differences.
    """
    if (folder / STATE).is_file():
        return
    for other in _interrupted(folder.parent, spec.name):
        theirs = _read(other / IDENTITY)
        difference = "; ".join(differences(identity, theirs)) if theirs else "something unknown"
        raise ConfigError(
            where=f"{spec.where or spec.name}, training of {spec.name!r}",
            expected=f"the configuration of the unfinished training in {other}",
            got=f"another, which differs in {difference}",
            do="Restore the value to resume, choose another folder with --out, or give that training up and "
            "start anew with --force",
        )


def differences(identity: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    """Name the entries in which two identities differ, such as `options.eps (0.3 here, 0.2 in the file)`."""
    here, there = _flat(identity), _flat(stored)
    names = [name for name in sorted(here | there) if here.get(name) != there.get(name)]
    entries = [
        f"{name} ({here.get(name, 'absent')} here, {there.get(name, 'absent')} in the file)"
        for name in names[:_SHOWN]
    ]
    return [*entries, f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else entries


def model_card(
    *,
    plan: Plan,
    spec: ModelSpec,
    identity: dict[str, Any],
    defense: Defense,
    data: ImageSet,
    parameters: int,
    rows: Sequence[Row],
    kind: Literal["chosen", "last"],
    seconds: float | None = None,
    unchanged: int = 0,
) -> dict[str, Any]:
    """Return a card; the code that writes the weights adds the file's name and SHA-256.

    Args:
        plan: the plan of the training.
        spec: the model.
        identity: everything that can change the weights.
        defense: the recipe.
        data: its images, including the held-out part.
        parameters: number of trainable values in the network.
        rows: its history.
        kind: which of the two checkpoints.
        seconds: duration of the training; None if unknown.
        unchanged: number of its parameters if the training changed none; otherwise 0, and the card does not
            mention it.
    """
    assert spec.train is not None  # it was trained
    row = (chosen_row(rows) if kind == "chosen" else rows[-1]) if rows else None
    findings = [robust_overfitting(rows), unchanged_text(unchanged) if unchanged else ""]
    return {
        "name": spec.name,
        "plan": plan.name,
        "identity": content_hash(identity),
        "checkpoint": kind,
        "epoch": None if row is None else row.get("epoch"),
        "epochs": len(rows),
        "held_out": _held_out(row, options_of(defense)),
        "findings": [finding for finding in findings if finding],
        **({UNCHANGED: unchanged} if unchanged else {}),
        "architecture": _without_folders(to_json(spec.architecture)),
        "buffer": spec.buffer,
        "normalize": to_json(spec.normalize),
        "parameters": parameters,
        "shape": identity["shape"],
        "classes": identity["classes"],
        "defense": _without_folders({"name": spec.train.defense.name, "options": options_of(defense)}),
        "data": {
            "title": data.name,
            **to_json(spec.train.data),
            "images": len(data),
            "digest": data.digest(),
        },
        "seed": plan.seed,
        "seconds": None if seconds is None else round(seconds, 3),
        "history": "history.csv",
        "versions": versions(),
    }


def _without_folders(choice: Any) -> Any:
    """Return a choice for a card: a user's file without its folders, because a card may be published."""
    if isinstance(choice, dict) and is_reference(name := str(choice.get("name") or "")):
        return choice | {"name": short_name(name)}
    return choice


def _interrupted(models: Path, name: str) -> list[Path]:
    key = re.compile(re.escape(name) + r"-[0-9a-f]{12}")
    return [
        folder
        for folder in sorted(models.glob("*"))
        if key.fullmatch(folder.name) and (folder / STATE).is_file() and not (folder / WEIGHTS).is_file()
    ]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        identity = read_json(path)
    except StorageError:
        return None
    return identity if isinstance(identity, dict) else None


def _flat(tree: Any, name: str = "") -> dict[str, str]:
    if isinstance(tree, dict) and tree:
        return {k: v for key in tree for k, v in _flat(tree[key], f"{name}.{key}" if name else key).items()}
    return {name: json.dumps(tree)}


def _held_out(row: Row | None, options: dict[str, Any]) -> dict[str, Any] | None:
    """Return the accuracies of an epoch on the held-out part with n; None if nothing was held out."""
    if row is None or "validation_accuracy" not in row:
        return None
    clean = {"images": row.get("validation_images"), "accuracy": row["validation_accuracy"]}
    if "validation_robust_accuracy" not in row:
        return clean
    has_monitor = options.get("monitor_eps") is not None
    names = {name: f"monitor_{name}" if has_monitor else name for name in ("eps", "norm", "steps")}
    attack = {name: options[option] for name, option in names.items() if option in options}
    return {**clean, "robust_accuracy": row["validation_robust_accuracy"], "attack": attack}
