"""Checkpoints loaded into a network, all of them or nothing, without ever running code from them."""

from __future__ import annotations

import copy
import hashlib
import logging
import os
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from model_zoo.checkpoints import beside_tensors, untrusted_weights
from model_zoo.checkpoints.cards import remarks_of
from model_zoo.checkpoints.chosen_part import select
from model_zoo.checkpoints.fits import Network, Selection
from model_zoo.checkpoints.fitting import best_fit
from model_zoo.checkpoints.saving import sidecar_path
from model_zoo.checkpoints.weight_sets import weight_sets
from model_zoo.network import Normalize, Normalized
from robench.errors import CheckpointError
from robench.intake.limits import CHECKPOINT, SMALL_FILE
from robench.intake.regular_file import read_regular
from robench.plan.weights_path import parse_key
from robench.record.exchange.model_card import WeightRemarks

_LOG = logging.getLogger(__name__)


def load(
    network: nn.Module,
    path: Path,
    *,
    sha256: str | None = None,
    key: str | None = None,
    layouts: bool = True,
    remarks: Callable[[WeightRemarks], None] | None = None,
) -> str:
    """Load weights in place, all of them or none.

    Args:
        network: takes the weights; those of a `Normalized` go into the module inside.
        path: a safetensors file, or with any other ending a file of `torch.save`: a state_dict, also wrapped
            or prefixed (`model_zoo.checkpoints.weight_sets`, `model_zoo.checkpoints.key_layouts`).
        sha256: the hash that the file must have; a `<path>.sha256` beside it is checked as well.
        key: the part of the file to look in, such as `state_dict[0]`; None for all
            (`robench.plan.weights_path`).
        layouts: accept the names of published checkpoints too; dropped or filled-in entries, and the choice
            among several sets of weights, are logged as a warning. Otherwise only the network's own names.
        remarks: gets the same as plain data: `checkpoint_key`, `checkpoint_notes`, and the facts of the card
            beside the file (`model_zoo.checkpoints.cards.remarks_of`).

    Returns:
        The SHA-256 of the file.

    Raises:
        CheckpointError: missing, corrupt, other hash, code inside (it is not run, whatever the settings),
            several sets in a list, or keys, shapes or a normalisation that do not match (they are listed).
        ConfigError: the key is not of its form.
    """
    where = str(path)
    steps = parse_key(key, where=f"{where}, key") if key is not None else ()
    data = read_regular(path, CHECKPOINT, error=CheckpointError, expected="a readable checkpoint")
    digest = hashlib.sha256(data).hexdigest()
    _check_hash(path, digest, sha256)
    data_read = untrusted_weights.read(data, safetensors_only=path.suffix == ".safetensors", where=where)
    part, way = select(data_read, steps, where=where)
    target = network.module if isinstance(network, Normalized) else network
    own = _own(target, where=where)
    extra = beside_tensors.wanted(target)
    others = [name for name in target.state_dict() if name not in own and name not in extra]
    if not own and not extra and not part:  # a network without weights, and a file that says so
        return digest
    needs = Network(own=own, extra=extra, others=others, normalize=_statistics(network), layouts=layouts)
    try:
        contents = weight_sets(part, steps=way, where=where)
        selection = best_fit(contents, needs, path=path, key=key is not None)
    except (RuntimeError, NotImplementedError) as error:  # torch cannot compute with every tensor it can read
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        got, do = f"tensors of another kind ({reason})", "Save the weights as plain tensors of numbers"
        raise CheckpointError(where=where, expected="weights for this network", got=got, do=do) from error
    notes = [*selection.notes, *_numbers(target, own, selection.state)]
    is_safetensors = path.suffix == ".safetensors" or untrusted_weights.is_safetensors(data)
    notes += _fill(target, own, selection, is_current=is_safetensors, where=where)
    for note in notes:
        _LOG.warning("%s: %s", where, note)
    if remarks is not None:
        facts: WeightRemarks = {}
        if selection.key:
            facts["checkpoint_key"] = selection.key
        if notes:
            facts["checkpoint_notes"] = notes
        remarks({**facts, **remarks_of(path)})
    return digest


def _own(target: nn.Module, *, where: str) -> dict[str, Tensor]:
    """Return the tensors that a network accepts."""
    state = target.state_dict()
    if lazy := [name for name, value in state.items() if is_lazy(value)]:
        do = "Let it see a batch of images before its weights are loaded"
        got = f"layers without a size: {untrusted_weights.enumeration(lazy)}"
        raise CheckpointError(where=where, expected="a network whose weights are made", got=got, do=do)
    extra = beside_tensors.wanted(target)
    return {name: value for name, value in state.items() if isinstance(value, Tensor) and name not in extra}


def _fill(
    target: nn.Module,
    own: dict[str, Tensor],
    selection: Selection,
    *,
    is_current: bool,
    where: str,
) -> list[str]:
    """Put weights into a network, and restore the old weights if the network refuses some of them.

    A module may convert weights of an older version. A file without versions is loaded as torch loads it;
    safetensors files, which cannot contain versions and which we write ourselves, and a file that is refused
    in this way, are loaded as of the network's own versions.

    Returns:
        Remarks about the versions.
    """
    state = target.state_dict()
    present = getattr(state, "_metadata", {})
    others = {name: value for name, value in state.items() if name not in own}
    before = {name: tensor.detach().clone() for name, tensor in own.items()}
    former = {name: _copy(value) for name, value in others.items()}
    versions = present if is_current else selection.versions
    attempts = [versions] if versions is not None else [None, present]
    for attempt in attempts:
        entries = OrderedDict({**selection.state, **others, **selection.others})
        if attempt is not None:
            entries._metadata = attempt  # type: ignore[attr-defined]
        try:
            target.load_state_dict(entries)
        except Exception as error:  # a module's own code may check or convert what it is given
            with torch.no_grad():
                for name, tensor in own.items():
                    tensor.copy_(before[name])
            beside_tensors.put_back(target, former)
            if attempt is not attempts[-1]:
                continue
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
            raise CheckpointError(where=where, expected="weights for this network", got=reason) from error
        untold = beside_tensors.converting(target) if attempt is present else []
        if untold:
            classes = untrusted_weights.enumeration(untold)
            return [f"the file has no versions of modules: assumed those of the network ({classes})"]
        break
    return []


def _copy(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - a user's object that cannot be copied is kept as it is
        return value


def _numbers(target: nn.Module, own: dict[str, Tensor], state: dict[str, Tensor]) -> list[str]:
    """Return remarks about the numbers themselves, and about buffers that files do not contain."""
    notes = []
    floats = {name: tensor for name, tensor in state.items() if own[name].is_floating_point()}
    kinds = Counter((t.dtype, own[n].dtype) for n, t in floats.items() if t.dtype != own[n].dtype)
    for (file_kind, own_kind), count in kinds.items():
        names = [str(kind).removeprefix("torch.") for kind in (file_kind, own_kind)]
        notes.append(f"{count} tensors are stored as {names[0]} and used as {names[1]}")
    faults = [
        f"{int(wrong.sum())} of {wrong.numel()} in {name}"
        for name, tensor in floats.items()
        if (wrong := ~torch.isfinite(tensor.to(own[name].dtype))).any()
    ]
    if faults:
        notes.append(f"numbers that are not finite: {untrusted_weights.enumeration(faults)}")
    apart = [name for name, _ in target.named_buffers() if name not in own]
    if apart:
        notes.append(f"kept buffers that no file holds: {untrusted_weights.enumeration(apart)}")
    return notes


def _statistics(network: nn.Module) -> tuple[Tensor, Tensor] | None:
    normalize = getattr(network, "normalize", None)
    return (normalize.mean, normalize.std) if isinstance(normalize, Normalize) else None


def _check_hash(path: Path, digest: str, expected: str | None) -> None:
    parts, beside = list[str](), sidecar_path(path)
    if os.path.lexists(beside):
        content = read_regular(beside, SMALL_FILE, error=CheckpointError, expected="a readable hash")
        try:
            parts = content.decode("utf-8").split()
        except UnicodeDecodeError as error:
            where, got = str(beside), str(error)
            raise CheckpointError(where=where, expected="a readable hash", got=got) from error
    claims = [(expected, "the configuration"), (parts[0] if parts else None, sidecar_path(path).name)]
    for claim, owner in claims:
        if claim is not None and claim.strip().lower() != digest:
            raise CheckpointError(
                where=str(path),
                expected=f"SHA-256 {claim} as {owner} says",
                got=digest,
                do="The file was changed or damaged: copy it again, or correct the hash if you changed it",
            )
