"""The part of a checkpoint that a `key` chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_zoo.checkpoints.beside_tensors import below
from model_zoo.checkpoints.untrusted_weights import enumeration
from robench.errors import CheckpointError, nearest
from robench.plan.weights_path import Step, key_text


def select(loaded: Any, steps: tuple[Step, ...], *, where: str) -> tuple[Any, tuple[Step, ...]]:
    """Return the part of a file that a key chooses, and the steps that were taken.

    A name, also one with dots, selects from a mapping; a position from a list or tuple. If the mapping does
    not have the name, it selects the tensors whose names begin with it and a dot. `checkpoint` and `ckpt` at
    the beginning may mean the file itself, as in code that reads a checkpoint.

    Args:
        loaded: the contents of the file.
        steps: the key.
        where: the file, for the message.

    Raises:
        CheckpointError: the key does not exist; names the entries that do.
    """
    node, way, rest = loaded, tuple[Step, ...](), steps
    while rest:
        step = _step(node, rest)
        if step is None and not way and rest[0] in {"checkpoint", "ckpt"} and len(rest) > 1:
            rest = rest[1:]
            continue
        if step is None:
            raise _leads_nowhere(node, way, rest[0], where)
        node, count, own = step
        way, rest = (*way, *own), rest[count:]
    return node, way


def _step(node: Any, rest: tuple[Step, ...]) -> tuple[Any, int, tuple[Step, ...]] | None:
    """Return the node after the next steps, how many steps were used, and how they are written."""
    if isinstance(node, list | tuple):
        digits = str(rest[0])
        if digits.isascii() and digits.isdigit() and int(digits) < len(node):
            return node[int(digits)], 1, (int(digits),)
        return None
    if not isinstance(node, Mapping):
        return None
    names = {str(name): name for name in node}
    for count in range(1, len(rest) + 1):
        name = ".".join(map(str, rest[:count]))
        if name in names:
            own = names[name]
            return node[own], count, (own if type(own) is int else name,)
    for count in range(len(rest), 0, -1) if isinstance(rest[0], str) else ():
        prefix = ".".join(map(str, rest[:count])) + "."
        part = {n.removeprefix(prefix): node[own] for n, own in names.items() if n.startswith(prefix)}
        if part:
            return below(node, prefix, part), count, rest[:count]
    return None


def _leads_nowhere(node: Any, way: tuple[Step, ...], step: Step, where: str) -> CheckpointError:
    place = f"in `{key_text(way)}`" if way else "in the file"
    if isinstance(node, Mapping):
        names = list(dict.fromkeys(str(name).partition(".")[0] for name in node))
        got = (
            f"{str(step)!r}, where there are {enumeration(names, most=12)}"
            if names
            else f"{str(step)!r}, and none"
        )
        expected, do = f"key: one of the names {place}", nearest(str(step), names) if names else ""
    elif isinstance(node, list | tuple):
        expected, do = f"key: a position {place}, a list of {len(node)}", ""
        got = f"[{step}]" if isinstance(step, int) else repr(step)
        do = f"Count from [0] to [{len(node) - 1}]" if node else ""
    else:
        expected, do = "key: a way to weights", "Leave out the steps after it"
        got = f"{key_text((step,))!r} behind `{key_text(way)}`, which is of type {type(node).__name__}"
    return CheckpointError(where=where, expected=expected, got=got, do=do)
