"""Turns an error of a user's attack or training into one sentence that names the line of their code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from robench.errors import JobError, RobenchError
from robench.intake.code_places import place_of
from robench.model.user_objects import UserObject


@contextmanager
def told_by_line(
    user: UserObject,
    *,
    expected: str,
    owner: str = "",
    passes: Callable[[BaseException], bool] = lambda _: False,
    after: Callable[[], str] = lambda: "",
) -> Iterator[None]:
    """Say where in a user's file their code failed; our own errors, and out-of-memory errors, pass unchanged.

    Args:
        user: the function or class.
        expected: the expected result of the code.
        owner: source of the error, such as `the attack's own`, if known.
        passes: tells whether an error is not the code's own, and so passes unchanged too.
        after: called on failure; returns a text on earlier events, such as `, after it had asked for this`.

    Raises:
        JobError: the code raised an error of its own, which is the cause, or called `sys.exit`.
    """
    from robench.model.out_of_memory import is_out_of_memory

    try:
        yield
    except RobenchError:
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error) or passes(error):
            raise
        place = place_of(error, user.path)
        words = _words(error, owner) + (f" (at {place})" if place else "")
        raise JobError(where=user.name, expected=expected, got=words + after()) from error


def _words(error: BaseException, owner: str) -> str:
    if isinstance(error, SystemExit):
        return f"{owner or 'a'} call of sys.exit({error.code!r})"
    lines = str(error).strip().splitlines() or ["without a message"]
    return f"{owner} {type(error).__name__}: {lines[0].rstrip('.')}".strip()
