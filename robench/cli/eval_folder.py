"""The run folder of `robench eval`: the same command on the same files uses the same folder again."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from robench.cli.console import one_line
from robench.errors import StorageError

if TYPE_CHECKING:
    from robench.cli.options import Options
    from robench.plan.spec import ModelSpec, Plan

_NAMES = {"checkpoint": "weights", "code_sha256": "code"}
"""The name of a file in messages, by the name of its hash in records."""

ANOTHER = "another evaluation"


def free_folder(plan: Plan, text: str, options: Options) -> Path:
    """Return the run folder: by default that of the plan's name, or one beside it if that is taken.

    A folder is taken if it belongs to another configuration, or to other weights or other code: its records
    are not changed. If the user names a folder, it may be replaced.

    Args:
        plan: the plan.
        text: the same as a configuration file.
        options: options of the command.

    Raises:
        ConfigError: a file of code cannot be read.
    """
    from robench.plan.spec import content_hash

    first = options.folder(plan)
    if options.out is not None or not first.exists():
        return first
    hashes = _hashes(plan.models[0], options)
    other = _difference(first, plan, text, hashes)
    if not other:
        return first
    folder = _beside(first, content_hash(text))
    if other != ANOTHER or _difference(folder, plan, text, hashes):
        folder = _beside(first, content_hash([text, hashes]))
    typer.echo(one_line(f"{first} holds {other}, which stays. This one: {folder}"), err=True)
    return folder


def _difference(folder: Path, plan: Plan, text: str, hashes: dict[str, str]) -> str:
    """Say what other plan the records of a folder belong to; empty if to this one, or without records."""
    try:
        if (folder / "config.yaml").read_text("utf-8") != text:
            return ANOTHER
    except (OSError, ValueError):
        return ""
    return _other_files(folder, plan.models[0].name, hashes)


def _beside(folder: Path, digest: str) -> Path:
    return folder.with_name(f"{folder.name}-{digest[:6]}")


def _hashes(spec: ModelSpec, options: Options) -> dict[str, str]:
    """Return the hashes of a model's files, by their names in records."""
    from robench import plugins
    from robench.model.builder import Builder
    from robench.plan.data_root import located

    builder: Builder = plugins.find("builders", "zoo")()
    hashes = dict(builder.code(spec))
    if spec.checkpoint is not None:
        path = located(spec.checkpoint, options.data_root, where="--checkpoint")
        try:
            with path.open("rb") as file:
                hashes["checkpoint"] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:  # the run says why it cannot be read
            return hashes
    return hashes


def _other_files(folder: Path, model: str, hashes: dict[str, str]) -> str:
    """Say from which other files the model of a folder's records was made; empty if from these."""
    from robench.record.store import Store, is_run

    if not is_run(folder):
        return ""
    store = Store(folder)
    for key in store.planned():
        with contextlib.suppress(StorageError):  # damaged: another record has the same hashes
            facts = store.read(key).target.details
            break
    else:
        return ""
    names = [_NAMES.get(name, name) for name, value in hashes.items() if facts.get(name, value) != value]
    return f"an evaluation of other {' and '.join(sorted(names))} of {model}" if names else ""
