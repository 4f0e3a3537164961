"""Why a job or a model failed, as a file of the folder `errors` holds it."""

from __future__ import annotations

from typing import TypedDict, cast


class ErrorAccount(TypedDict, total=False):
    """Why a job or a model failed. What is read may hold anything under these names.

    Attributes:
        job: its title.
        model: its name, of a model that could not be made.
        error: what was said.
        traceback: where it was raised, if the error does not say it.
        kills: how often the job has ended its worker.
        plan: hash of the plan it failed for.
    """

    job: object
    model: object
    error: object
    traceback: object
    kills: object
    plan: object


def error_account(content: object) -> ErrorAccount | None:
    """Return the account that a file holds, None if it is none."""
    return cast("ErrorAccount", content) if isinstance(content, dict) else None
