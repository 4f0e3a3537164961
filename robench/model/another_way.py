"""Passes of a copy that go another way than the one it was made for, and how they are refused.

A copy that computes several layers at once is the network only where these layers follow each other as in the
trace that was read. What watches a pass raises where it goes another way; the copy is then used no more.
"""

from __future__ import annotations

from typing import NoReturn

from torch import nn


class AnotherWayError(RuntimeError):
    """A copy was asked in a way in which it is not the network it was made from."""


class Watcher:
    """Watches the passes of a copy.

    Attributes:
        stray: how a pass went another way; empty if none did. It stays, for an attack may catch the error.
    """

    stray = ""

    def begin(self) -> None:
        """Forget a pass that was broken off."""

    def end(self) -> None:
        """Look back at a pass.

        Raises:
            AnotherWayError: it went another way.
        """

    def refuse(self, reason: str) -> NoReturn:
        """Keep a reason and raise.

        Raises:
            AnotherWayError: always.
        """
        self.stray = reason
        raise AnotherWayError(reason)


def stray_of(network: nn.Module) -> str:
    """Return how a pass of a copy went another way, though nobody heard of it; empty if none did."""
    forwards = (part.__dict__.get("forward") for part in network.modules())
    owners = (getattr(forward, "__self__", None) for forward in forwards)
    return next((one.stray for one in owners if isinstance(one, Watcher) and one.stray), "")


def went_another_way(error: BaseException) -> bool:
    """Tell whether an error, or one it was raised from, says that a pass went another way than the trace."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, AnotherWayError):
            return True
        link = link.__cause__ or link.__context__
    return False
