"""Pickles are checked before they are read: how many steps they have, and how much work these would cost.

A pickle of a few hundred bytes can build tuples of tuples whose hash, as a key, takes years; one of a few
megabytes can copy a list a million times. The steps are read here without executing any of them.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import IO, Any

from robench.errors import InputError, RobenchError
from robench.intake.limits import PARTS, STEPS

_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE", "FROZENSET"}
_CALLS = {"REDUCE", "NEWOBJ", "NEWOBJ_EX", "BUILD", "OBJ", "INST", "BINPERSID"}
_FILLS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"}
_LOOKED_INTO = 3
"""Levels of tuples that are counted again when a call gets them: lists in them may have grown."""
_ENOUGH = 1 << 62
_TEXT_PART = 64
"""Characters that count as one part."""


class _Value:
    """The result of a step: how many parts it has, and the parts of a tuple."""

    __slots__ = ("cost", "parts")

    def __init__(self, cost: int = 1, parts: tuple[_Value, ...] = ()) -> None:
        self.cost, self.parts = min(cost, _ENOUGH), parts


def check_steps(
    stream: IO[bytes], *, where: str, error: type[RobenchError] = InputError
) -> Iterator[tuple[Any, Any]]:
    """Yield the steps of one pickle as (opcode, argument) and refuse a pickle that costs too much.

    Args:
        stream: positioned at the beginning of the pickle.
        where: the file, for the message.
        error: what to raise.

    Raises:
        RobenchError: of the kind `error`: too many steps, or too many parts to process.
        Exception: the error of `pickletools` for data that is not a pickle.
    """
    most, most_parts, work = STEPS.value(), PARTS.value(), _Work()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        work.add(opcode, argument)
        if count >= most:
            raise STEPS.refusal("more", where=where, error=error)
        if work.done > most_parts:
            raise PARTS.refusal("more", where=where, error=error)
        yield opcode, argument


class _Work:
    """The stack of a pickle reader, with costs instead of values."""

    def __init__(self) -> None:
        self.stack: list[_Value] = []
        self.marks: list[int] = []
        self.memo: dict[int, _Value] = {}
        self.done = 0

    def add(self, opcode: Any, argument: Any) -> None:
        """Count the work of a step: hashing keys, copying the arguments of a call."""
        name = opcode.name
        if name == "MARK":
            self.marks.append(len(self.stack))
            return
        if name in {"BINPUT", "PUT", "LONG_BINPUT", "MEMOIZE"}:
            place = len(self.memo) if name == "MEMOIZE" else int(argument)
            self.memo[place] = self.stack[-1] if self.stack else _Value()
            return
        if name in {"BINGET", "GET", "LONG_BINGET"}:
            self.stack.append(self.memo.get(int(argument)) or _Value())
            return
        operands = self._take(opcode)
        if name in _FILLS or name == "DICT":
            target = operands[:1] if name in _FILLS else []
            items = operands[len(target) :]
            keys = items if name == "ADDITEMS" else [] if name.startswith("APPEND") else items[::2]
            self.done += sum(key.cost for key in keys)
            whole = target[0] if target else _Value()
            whole.cost = min(whole.cost + sum(item.cost for item in items), _ENOUGH)
            self.stack.append(whole)
            return
        if name == "DUP":
            self.stack += operands * 2
            return
        if name == "BUILD" and operands:  # the object that is built keeps its cost
            weight = sum(_weight(value, _LOOKED_INTO, {}) for value in operands[1:])
            self.done += weight
            operands[0].cost = min(operands[0].cost + weight, _ENOUGH)
            self.stack.append(operands[0])
            return
        if name in _CALLS:
            self.done += sum(_weight(value, _LOOKED_INTO, {}) for value in operands)
        self.stack += [_made(name, operands, argument) for _ in opcode.stack_after]

    def _take(self, opcode: Any) -> list[_Value]:
        """Take the operands of a step off the stack."""
        before = opcode.stack_before
        if pickletools.markobject in before:
            start = self.marks.pop() if self.marks else 0
            start -= before.index(pickletools.markobject)
        elif opcode.name == "POP" and self.marks and self.marks[-1] == len(self.stack):
            start = self.marks.pop()
        else:
            start = len(self.stack) - len(before)
        start = max(start, 0)
        operands = self.stack[start:]
        del self.stack[start:]
        return operands


def _made(name: str, operands: list[_Value], argument: Any) -> _Value:
    if name in _TUPLES:
        return _Value(1 + sum(part.cost for part in operands), tuple(operands))
    if name == "LIST":
        return _Value(1 + sum(part.cost for part in operands))
    if name in _CALLS:  # it may make a set or a mapping of its arguments
        return _Value(1 + sum(_weight(value, _LOOKED_INTO, {}) for value in operands))
    return _Value(1 + len(argument) // _TEXT_PART if isinstance(argument, str | bytes) else 1)


def _weight(value: _Value, levels: int, weights: dict[tuple[int, int], int]) -> int:
    """Return the parts of a value, with the present parts of lists in it."""
    if not levels or not value.parts:
        return value.cost
    key = (id(value), levels)
    if key not in weights:
        weights[key] = 1 + sum(max(part.cost, _weight(part, levels - 1, weights)) for part in value.parts)
    return min(weights[key], _ENOUGH)
