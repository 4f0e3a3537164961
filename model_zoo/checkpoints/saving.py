"""Checkpoints written completely or not at all, with their hash and a card beside them."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import nn

from model_zoo.checkpoints.cards import card_path, card_text
from robench.errors import StorageError
from robench.record.files import sync_folder


def sidecar_path(path: Path) -> Path:
    """Return the path of a checkpoint's hash, in the format of `sha256sum`."""
    return path.with_name(path.name + ".sha256")


def save(network: nn.Module, path: Path, *, card: Mapping[str, object] | None = None) -> str:
    """Write weights as safetensors, with their hash and a card beside them.

    Args:
        network: its `state_dict` is written.
        path: the file; `<path>.sha256` and, for a card, `<stem>.card.yaml` go beside it.
        card: what to say about the weights; the file's name and hash are added. None for no card.

    Returns:
        The SHA-256 of the file.

    Raises:
        StorageError: writing to disk failed; an older file is intact.
    """
    # A copy of each: safetensors refuses tensors that share memory, as tied weights do.
    state = {key: value.detach().cpu().clone().contiguous() for key, value in network.state_dict().items()}
    data = safetensors.torch.save(state, metadata={"format": "pt"})
    digest = hashlib.sha256(data).hexdigest()
    files = {path: data, sidecar_path(path): f"{digest}  {path.name}\n".encode()}
    if card is not None:
        files[card_path(path)] = card_text({**card, "weights": path.name, "sha256": digest})
    transaction = Staged(files)
    try:
        # Two files cannot be replaced at once: the old hash is removed, so a crash cannot leave a wrong one.
        sidecar_path(path).unlink(missing_ok=True)
    except OSError as error:
        transaction.discard()
        raise StorageError(where=str(path), expected="to replace the file", got=str(error)) from error
    transaction.commit()
    return digest


class Staged:
    """Files written and flushed beside their targets; nothing is visible before `commit`.

    All writes that a full disk can refuse happen while staging, so a refusal leaves the older files intact.

    Args:
        files: target path to contents.

    Raises:
        StorageError: writing to disk failed.
    """

    def __init__(self, files: dict[Path, bytes]) -> None:
        self._pending: list[tuple[Path, Path]] = []
        try:
            for target, data in files.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                # The ending is that of robench.record.files, whose sweep removes what a killed process left.
                temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.robench-tmp")
                self._pending.append((temporary, target))
                with open(temporary, "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            self.discard()
            raise _refused(next(iter(files)), error) from error

    def commit(self) -> None:
        """Move every file to its place, in this order, and flush the folder to disk.

        Raises:
            StorageError: writing to disk failed; files not yet replaced are intact.
        """
        try:
            for temporary, target in self._pending:
                os.replace(temporary, target)
            for folder in {target.parent for _, target in self._pending}:
                sync_folder(folder)
        except OSError as error:
            self.discard()
            raise _refused(self._pending[0][1], error) from error

    def discard(self) -> None:
        """Remove the temporary files."""
        for temporary, _ in self._pending:
            temporary.unlink(missing_ok=True)


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(
        where=str(path),
        expected="to write the file",
        got=error.strerror or str(error),
        do="Free space or choose another folder; an older file is intact",
    )
