"""Files in the user's folder of data sets, as a configuration names them: `$DATA_ROOT/models/x.pt`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.plan.spec import Plan

DATA_ROOT = "$DATA_ROOT"
"""The first part of such a path; `--data-root DIR` says what it stands for."""

NEEDS_ROOT = "Say with --data-root DIR, or in ROBENCH_DATA_ROOT, which folder that is"


def in_data_root(path: str | Path) -> bool:
    """Tell whether a path begins with `$DATA_ROOT/`."""
    return Path(path).parts[:1] == (DATA_ROOT,)


def located(path: Path, root: Path | None, *, where: str) -> Path:
    """Return where a file lies: a path of the data root inside that folder, any other path as it is.

    Args:
        path: as the configuration names it.
        root: what `--data-root` says, or None.
        where: for the message.

    Raises:
        ConfigError: the path needs a root and none is given, it climbs with `..`, or there is no such file.
    """
    if not in_data_root(path):
        return path
    if root is None:
        got = f"no folder for {path}"
        raise ConfigError(where=where, expected="the folder of data sets", got=got, do=NEEDS_ROOT)
    if ".." in path.parts:
        raise ConfigError(where=where, expected=f"a path inside {DATA_ROOT}", got=str(path))
    place = root / path.relative_to(DATA_ROOT)
    try:
        exists = place.is_file()
    except (OSError, ValueError):  # too long, a NUL
        exists = False
    if not exists:
        do = f"Put it there, or correct --data-root, which says {root}"
        raise ConfigError(where=where, expected=f"the file {place}", got="none", do=do)
    return place


def check_checkpoints(plan: Plan, root: Path | None) -> None:
    """Refuse a plan whose checkpoints of the data root cannot be found, before anything is loaded.

    Raises:
        ConfigError: as `located`; says in which line.
    """
    for spec in plan.models:
        if spec.checkpoint is not None:
            located(spec.checkpoint, root, where=spec.where or f"model {spec.name!r}")
