"""Trainings that were interrupted: found again, and not silently begun anew under a changed configuration."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from robench.errors import ConfigError
from robench.plan.spec import ModelSpec
from robench.record.files import sweep, write_atomic

STATE = "state.pt"
"""Running state of a training; its owner is the defense. Gone when the weights are there."""

WEIGHTS = "weights.safetensors"
"""The chosen weights of a finished training."""

IDENTITY = "identity.json"
"""What is trained in a folder, as plain JSON."""

_SHOWN = 6


def begin(folder: Path, identity: dict[str, Any]) -> None:
    """Make the folder of a training and note what is trained there.

    Raises:
        StorageError: the disk refused.
    """
    write_atomic(folder / IDENTITY, json.dumps(identity, indent=1, sort_keys=True) + "\n")
    sweep(folder)


def abandon(folder: Path, name: str) -> None:
    """Forget the unfinished trainings of a model, so that one can be started anew.

    Args:
        folder: of the training to start; its siblings are those of the run's other trainings.
        name: of the model.
    """
    for other in {folder, *_unfinished(folder.parent, name)}:
        (other / STATE).unlink(missing_ok=True)


def refuse_changed(spec: ModelSpec, folder: Path, identity: dict[str, Any]) -> None:
    """Refuse to start a training of a model while another of the same model is unfinished.

    Finished trainings are kept beside each other; an unfinished one under another configuration means that
    something was changed half-way.

    Args:
        spec: the model.
        folder: where it would be trained.
        identity: what would be trained.

    Raises:
        ConfigError: there is another; says in what they differ.
    """
    if (folder / STATE).is_file():
        return
    for other in _unfinished(folder.parent, spec.name):
        found = _read(other / IDENTITY)
        listed = "; ".join(differences(identity, found)) if found else "something unknown"
        raise ConfigError(
            where=f"{spec.where or spec.name}, training of {spec.name!r}",
            expected=f"the configuration of the unfinished training in {other}",
            got=f"another, which differs in {listed}",
            do="Restore the value to resume, choose another folder with --out, or give that training up and "
            "start anew with --force",
        )


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Name the entries in which two identities differ, such as `options.eps (0.3 here, 0.2 in the file)`."""
    here, there = _flat(wanted), _flat(found)
    names = [name for name in sorted(here | there) if here.get(name) != there.get(name)]
    shown = [
        f"{name} ({here.get(name, 'absent')} here, {there.get(name, 'absent')} in the file)"
        for name in names[:_SHOWN]
    ]
    return [*shown, f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else shown


def _unfinished(models: Path, name: str) -> list[Path]:
    key = re.compile(re.escape(name) + r"-[0-9a-f]{12}")
    return [
        folder
        for folder in sorted(models.glob("*"))
        if key.fullmatch(folder.name) and (folder / STATE).is_file() and not (folder / WEIGHTS).is_file()
    ]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) else None


def _flat(tree: Any, name: str = "") -> dict[str, str]:
    if isinstance(tree, dict) and tree:
        return {k: v for key in tree for k, v in _flat(tree[key], f"{name}.{key}" if name else key).items()}
    return {name: json.dumps(tree)}
