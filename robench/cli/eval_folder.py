"""Where `robench eval` keeps what it measures: the same line on the same files finds its own folder again."""

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
"""What a line calls a file, by the name under which records keep its hash."""

ANOTHER = "another evaluation"


def free_folder(plan: Plan, text: str, options: Options) -> Path:
    """Return the run folder: by default that of the plan's name, or one beside it where that is taken.

    It is taken by another configuration, and by the same one on other weights or other code: what was
    measured of those stays as it is. A folder that the user names is the user's to replace.

    Args:
        plan: what is asked.
        text: the same as a configuration file.
        options: of the command.

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
    """Say of what else the records of a folder are; empty where they are of this, or there are none."""
    try:
        if (folder / "config.yaml").read_text("utf-8") != text:
            return ANOTHER
    except (OSError, ValueError):
        return ""
    return _other_files(folder, plan.models[0].name, hashes)


def _beside(folder: Path, digest: str) -> Path:
    return folder.with_name(f"{folder.name}-{digest[:6]}")


def _hashes(spec: ModelSpec, options: Options) -> dict[str, str]:
    """Return the hashes of what a model is made of, by the names under which records keep them."""
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
    """Say of what other files the model of a folder's records was made; empty where of these."""
    from robench.record.store import Store, is_run

    if not is_run(folder):
        return ""
    store = Store(folder)
    for key in store.planned():
        with contextlib.suppress(StorageError):  # damaged: another one tells as well
            facts = store.read(key).target.details
            break
    else:
        return ""
    names = [_NAMES.get(name, name) for name, value in hashes.items() if facts.get(name, value) != value]
    return f"an evaluation of other {' and '.join(sorted(names))} of {model}" if names else ""
