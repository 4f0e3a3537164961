"""Checkpoints: written whole, hashed, and loaded without ever running code from them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from model_zoo.cards import card_path, card_text, described
from model_zoo.key_layouts import translated
from model_zoo.network import Normalize, Normalized
from model_zoo.staging import Staged
from model_zoo.state_files import listed, read_safetensors, read_state_dict
from robench.errors import CheckpointError, StorageError

_LOG = logging.getLogger(__name__)


def sidecar_path(path: Path) -> Path:
    """Return where the hash of a checkpoint lies, in the format of `sha256sum`."""
    return path.with_name(path.name + ".sha256")


def save(network: nn.Module, path: Path, *, card: dict[str, Any] | None = None) -> str:
    """Write weights as safetensors, with their hash and a card beside them.

    Args:
        network: its `state_dict` is written.
        path: the file; `<path>.sha256` and, for a card, `<stem>.card.yaml` go beside it.
        card: what to say about the weights; the file's name and hash are added. None for no card.

    Returns:
        The SHA-256 of the file.

    Raises:
        StorageError: the disk refused; an older file is intact.
    """
    # A copy of each: safetensors refuses tensors that share memory, as tied weights do.
    state = {key: value.detach().cpu().clone().contiguous() for key, value in network.state_dict().items()}
    data = safetensors.torch.save(state, metadata={"format": "pt"})
    digest = hashlib.sha256(data).hexdigest()
    files = {path: data, sidecar_path(path): f"{digest}  {path.name}\n".encode()}
    if card is not None:
        files[card_path(path)] = card_text({**card, "weights": path.name, "sha256": digest})
    staged = Staged(files)
    try:
        # Two files cannot be replaced at once: without the old hash, a crash in between leaves no lie.
        sidecar_path(path).unlink(missing_ok=True)
    except OSError as error:
        staged.discard()
        raise StorageError(where=str(path), expected="to replace the file", got=str(error)) from error
    staged.commit()
    return digest


def load(network: nn.Module, path: Path, *, sha256: str | None = None, layouts: bool = True) -> str:
    """Load weights in place, all of them or none.

    Args:
        network: takes the weights; those of a `Normalized` go into the module inside.
        path: a safetensors file, or anything else for a plain PyTorch state_dict; such a one may be wrapped
            in `{"state_dict": ...}` and the like.
        sha256: what the file must hash to; a `<path>.sha256` beside it is checked as well.
        layouts: accept the names of published checkpoints too (`model_zoo.key_layouts`); what that drops or
            fills in is logged as a warning. Otherwise only the network's own names.

    Returns:
        The SHA-256 of the file.

    Raises:
        CheckpointError: missing, corrupt, other hash, code inside (it is not run, whatever the settings), or
            keys, shapes or a normalisation that do not match (they are listed).
    """
    where = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        got = error.strerror or str(error)
        raise CheckpointError(where=where, expected="a readable checkpoint", got=got) from error
    digest = hashlib.sha256(data).hexdigest()
    _check_hash(path, digest, sha256)
    reader = read_safetensors if path.suffix == ".safetensors" else read_state_dict
    state = reader(data, where=where)
    target = network.module if isinstance(network, Normalized) else network
    own = target.state_dict()
    notes: Sequence[str] = ()
    if layouts:
        known = translated(state, own, normalize=_statistics(network), where=where)
        state, notes = known.state, known.notes
    _check_fit(own, state, path=path)
    for note in notes:
        _LOG.warning("%s: %s", where, note)
    try:
        target.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(where=where, expected="weights for this network", got=reason) from error
    return digest


def _statistics(network: nn.Module) -> tuple[Tensor, Tensor] | None:
    normalize = getattr(network, "normalize", None)
    return (normalize.mean, normalize.std) if isinstance(normalize, Normalize) else None


def _check_hash(path: Path, digest: str, expected: str | None) -> None:
    try:
        words = sidecar_path(path).read_text(encoding="utf-8").split()
    except FileNotFoundError:
        words = []
    except (OSError, UnicodeDecodeError) as error:
        got = str(error)
        raise CheckpointError(where=str(sidecar_path(path)), expected="a readable hash", got=got) from error
    claims = [(expected, "the configuration"), (words[0] if words else None, sidecar_path(path).name)]
    for claim, owner in claims:
        if claim is not None and claim.strip().lower() != digest:
            raise CheckpointError(
                where=str(path),
                expected=f"SHA-256 {claim} as {owner} says",
                got=digest,
                do="The file was changed or damaged: copy it again, or correct the hash if you changed it",
            )


def _check_fit(own: dict[str, Tensor], state: dict[str, Tensor], *, path: Path) -> None:
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    labels = ("missing keys", "unexpected keys", "wrong shapes")
    faults = [
        f"{label}: {listed(keys, most=12)}"
        for label, keys in zip(labels, (missing, unexpected, shapes), strict=True)
        if keys
    ]
    if faults:
        made = described(path)
        of = f", by its card {made}" if made else ""
        do = f"Check architecture, buffer, classes and image size against those it was trained with{of}"
        got = "; ".join(faults)
        raise CheckpointError(where=str(path), expected="weights for this network", got=got, do=do)
