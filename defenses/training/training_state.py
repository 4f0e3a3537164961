"""The running state of a training: one file, replaced atomically after every epoch.

All random numbers of a training are functions of (seed, epoch, step), so the epoch is their complete state,
and a run that was killed at any moment resumes from its last finished epoch and gets the same weights, bit
for bit on the same machine.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robench.errors import CheckpointError, ConfigError, StorageError
from robench.intake.limits import CHECKPOINT
from robench.intake.regular_file import read_regular
from robench.intake.torch_files import BROKEN, names_asked_for
from robench.record.files import sync_folder
from robench.run.models.training_folder import differences

FORMAT = 1

Weights = dict[str, Tensor]


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """The state after some epochs.

    Attributes:
        identity: plain JSON that names what is trained, on what, and how.
        epoch: finished epochs.
        network: its weights after them.
        optimizer: the optimiser's `state_dict`.
        history: one row per finished epoch.
        best: the chosen weights so far, None if none were.
        score: their accuracy on the held-out part.
        average: the mean weights, empty without averaging.
        averaged: number of entries in that mean.
        objective: the state of the objective between steps.
    """

    identity: Mapping[str, object]
    epoch: int
    network: Weights
    optimizer: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    best: Weights | None = None
    score: float = -1.0
    average: Weights = field(default_factory=dict)
    averaged: int = 0
    objective: dict[str, Tensor] = field(default_factory=dict)


def save_state(path: Path, state: TrainingState) -> None:
    """Write a state atomically: a reader sees the complete old or new one, even after a power cut.

    Raises:
        StorageError: writing to disk failed; the older state is intact.
    """
    content = {
        "format": FORMAT,
        "identity": json.dumps(state.identity, sort_keys=True),
        "epoch": state.epoch,
        "network": state.network,
        "optimizer": state.optimizer,
        "history": state.history,
        "best": state.best,
        "score": state.score,
        "average": state.average,
        "averaged": state.averaged,
        "objective": state.objective,
    }
    # The ending is that of robench.record.files, whose `sweep` deletes files of killed processes.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.robench-tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not directly into the file: for a full disk PyTorch's error would only name a wrong position.
        data = io.BytesIO()
        torch.save(content, data)
        with temporary.open("wb") as file:
            file.write(data.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        with contextlib.suppress(OSError):  # not supported by every file system; the state is written anyway
            sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(
            where=str(path),
            expected="the training state to be written",
            got=error.strerror or str(error),
            do="Free space or choose another folder; the same command resumes",
        ) from error


def load_state(path: Path, identity: Mapping[str, object]) -> TrainingState | None:
    """Read the state of this very training, or None where there is no file. Runs no code from the file.

    Raises:
        ConfigError: the state belongs to another training; names the differences.
        CheckpointError: the file is not a training state, or is damaged.
    """
    if not os.path.lexists(path):
        return None
    data = read_regular(path, CHECKPOINT, error=CheckpointError, expected="a training state")
    try:
        names_asked_for(data, where=str(path), error=CheckpointError)
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, not {FORMAT}")
        state = TrainingState(
            identity=json.loads(content["identity"]),
            epoch=content["epoch"],
            network=content["network"],
            optimizer=content["optimizer"],
            history=content["history"],
            best=content["best"],
            score=content["score"],
            average=content.get("average", {}),
            averaged=content.get("averaged", 0),
            objective=content.get("objective", {}),
        )
        _check_kinds(state)
    except BROKEN as error:
        reason = (str(error).splitlines() or [""])[0]
        raise CheckpointError(
            where=str(path),
            expected="a training state",
            got=f"a file that does not load ({type(error).__name__}: {reason[:120]})",
            do="Delete it to train from the start",
        ) from error
    differing = differences(identity, state.identity)
    if differing:
        raise ConfigError(
            where=str(path),
            expected="the state of this training",
            got="that of another, which differs in " + "; ".join(differing),
            do="Undo the change, or delete the file to train from the start",
        )
    return state


def _check_kinds(state: TrainingState) -> None:
    """Refuse a state with parts of wrong types.

    Raises:
        TypeError: names the part.
    """
    mappings = (state.identity, state.optimizer, state.objective)
    weights = (state.network, state.average, {} if state.best is None else state.best)
    kinds = {
        "identity, optimizer or objective": all(isinstance(part, dict) for part in mappings),
        "network, average or best": all(
            isinstance(part, dict) and all(isinstance(value, Tensor) for value in part.values())
            for part in weights
        ),
        "epoch or averaged": type(state.epoch) is int and type(state.averaged) is int and state.epoch >= 0,
        "history": isinstance(state.history, list) and all(isinstance(row, dict) for row in state.history),
        "score": isinstance(state.score, float | int),
    }
    if wrong := [name for name, right in kinds.items() if not right]:
        raise TypeError(f"{wrong[0]} of another kind")
