"""The folder of a training: what is trained there, and whether it was interrupted.

An interrupted training is resumed, and never silently restarted under a changed configuration.
No torch here.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robench.errors import ConfigError, StorageError
from robench.plan.spec import ModelSpec
from robench.record.files import read_json, sweep, write_atomic
from robench.run.models.training_identity import TrainingIdentity

STATE = "state.pt"
"""Running state of a training, written by the defense; deleted when the weights are written."""

WEIGHTS = "weights.safetensors"
"""The chosen weights of a finished training."""

IDENTITY = "identity.json"
"""The identity of the training in a folder, as plain JSON."""

_SHOWN = 6


def begin(folder: Path, identity: TrainingIdentity) -> None:
    """Make the folder of a training and note what is trained there.

    Raises:
        StorageError: writing to disk failed.
    """
    write_atomic(folder / IDENTITY, json.dumps(identity.to_json(), indent=1, sort_keys=True) + "\n")
    sweep(folder)


def kept_training(models: Path, name: str, identity: TrainingIdentity, *, apart: str) -> Path | None:
    """Return the folder of the one finished training of a model that differs in one fact at most, else None.

    Args:
        models: the folder of all trainings.
        name: of the model.
        identity: of the training that is looked for.
        apart: name of the fact, which is not known here.
    """
    places = [
        path.parent
        for path in sorted(models.glob(f"{glob.escape(name)}-*/{IDENTITY}"))
        if (path.parent / WEIGHTS).is_file()
        and (facts := _read(path)) is not None
        and {key: value for key, value in facts.items() if key != apart} == identity.to_json()
    ]
    return places[0] if len(places) == 1 else None


def abandon(folder: Path, name: str) -> None:
    """Delete the unfinished trainings of a model, so that a new one can start.

    Args:
        folder: of the training to start; its siblings belong to the run's other trainings.
        name: of the model.
    """
    for other in {folder, *_interrupted(folder.parent, name)}:
        (other / STATE).unlink(missing_ok=True)


def refuse_changed(spec: ModelSpec, folder: Path, identity: TrainingIdentity) -> None:
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
        difference = "; ".join(differences(identity.to_json(), theirs)) if theirs else "something unknown"
        raise ConfigError(
            where=f"{spec.where or spec.name}, training of {spec.name!r}",
            expected=f"the configuration of the unfinished training in {other}",
            got=f"another, which differs in {difference}",
            do="Restore the value to resume, choose another folder with --out, or give that training up and "
            "start anew with --force",
        )


def differences(identity: Mapping[str, object], stored: Mapping[str, object]) -> list[str]:
    """Name the entries in which two identities differ, such as `options.eps (0.3 here, 0.2 in the file)`."""
    here, there = _flat(identity), _flat(stored)
    names = [name for name in sorted(here | there) if here.get(name) != there.get(name)]
    entries = [
        f"{name} ({here.get(name, 'absent')} here, {there.get(name, 'absent')} in the file)"
        for name in names[:_SHOWN]
    ]
    return [*entries, f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else entries


def _interrupted(models: Path, name: str) -> list[Path]:
    key = re.compile(re.escape(name) + r"-[0-9a-f]{12}")
    return [
        folder
        for folder in sorted(models.glob("*"))
        if key.fullmatch(folder.name) and (folder / STATE).is_file() and not (folder / WEIGHTS).is_file()
    ]


def _read(path: Path) -> Mapping[str, object] | None:
    try:
        identity = read_json(path)
    except StorageError:
        return None
    return identity if isinstance(identity, dict) else None


def _flat(tree: Any, name: str = "") -> dict[str, str]:
    if isinstance(tree, dict) and tree:
        return {k: v for key in tree for k, v in _flat(tree[key], f"{name}.{key}" if name else key).items()}
    return {name: json.dumps(tree)}
