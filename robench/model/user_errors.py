"""What a user's attack or training raises becomes one sentence that names the line of their code."""

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
    """Say where in a user's file their code failed; errors of ours and of too little memory pass as they are.

    Args:
        user: the function or class.
        expected: what it was to return or leave.
        owner: who raised it, such as `the attack's own`, where that is known.
        passes: tells of an error whether it is not the code's own and passes too.
        after: says what went before, such as `, after it had asked for this`; called when it has failed.

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
