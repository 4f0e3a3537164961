"""The verdict on one law, and the checking of a list of laws. No torch here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Law: TypeAlias = Callable[[T], str]
"""A function with the law's name; its docstring is the promise. It returns the evidence, or raises."""


class Verdict(StrEnum):
    """The verdict."""

    HOLDS = "ok"
    FAILED = "FAILED"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of checking one law.

    Attributes:
        law: its short name, such as `seed`.
        promise: the law in one sentence.
        verdict: whether it holds.
        evidence: what was checked, what contradicts the law, or why it does not apply.
    """

    law: str
    promise: str
    verdict: Verdict
    evidence: str

    @property
    def failed(self) -> bool:
        """Whether the law is broken."""
        return self.verdict is Verdict.FAILED

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.verdict:<14}  {self.law:<11}  {self.promise} {self.evidence}".rstrip()


class BrokenLawError(Exception):
    """A law does not hold; the text is the evidence."""


class InapplicableError(Exception):
    """A law does not apply to this plugin; the text is the reason."""


def failures(results: Iterable[Result]) -> list[Result]:
    """Return the results whose law is broken."""
    return [result for result in results if result.failed]


def require(holds: bool, evidence: str) -> None:
    """Break the law with this evidence unless it holds.

    Raises:
        BrokenLawError: it does not hold.
    """
    if not holds:
        raise BrokenLawError(evidence)


def judged(trial: T, *, first: Sequence[Law[T]], gate: Law[T], rest: Sequence[Law[T]]) -> Iterator[Result]:
    """Check laws one by one.

    Args:
        trial: what is checked.
        first: laws that can always be checked.
        gate: the law that the plugin works at all; without it the other laws have no meaning.
        rest: laws that are checked only if the gate holds.
    """
    for law in first:
        yield _result(law, trial)
    entry = _result(gate, trial)
    yield entry
    for law in rest:
        if entry.verdict is Verdict.HOLDS:
            yield _result(law, trial)
            continue
        reason = f"Not looked at: {entry.law!r} fails." if entry.failed else entry.evidence
        yield _stated(law, Verdict.NOT_APPLICABLE, reason)


def _result(law: Law[T], trial: T) -> Result:
    try:
        return _stated(law, Verdict.HOLDS, law(trial))
    except InapplicableError as reason:
        return _stated(law, Verdict.NOT_APPLICABLE, str(reason))
    except BrokenLawError as evidence:
        return _stated(law, Verdict.FAILED, str(evidence))
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything: that is the evidence
        return _stated(law, Verdict.FAILED, f"{type(error).__name__}: {error}")


def _stated(law: Law[T], verdict: Verdict, evidence: str) -> Result:
    promise = " ".join((inspect.getdoc(law) or "").split("\n\n", maxsplit=1)[0].split())
    text = " ".join(evidence.split())
    return Result(
        law=law.__name__.replace("_", "-"),
        promise=promise,
        verdict=verdict,
        evidence=f"[{text}]" if text else "",
    )
