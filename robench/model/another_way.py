"""Detects and refuses passes of a copy whose control flow differs from the trace that the copy was made for.

A copy that computes several layers at once equals the network only if these layers follow each other as in
the trace. A watcher raises if a pass goes another way; the copy is then not used any more.
"""

from __future__ import annotations

from typing import NoReturn

from torch import nn


class AnotherWayError(RuntimeError):
    """A pass of a copy for which the copy does not equal the network it was made from."""


class Watcher:
    """Watches the passes of a copy.

    Attributes:
        stray: how a pass went another way; empty if none did. It is kept, as an attack may catch the error.
    """

    stray = ""

    def begin(self) -> None:
        """Forget an aborted pass."""

    def end(self) -> None:
        """Check a finished pass.

        Raises:
            AnotherWayError: it went another way.
        """

    def refuse(self, reason: str) -> NoReturn:
        """Store a reason and raise.

        Raises:
            AnotherWayError: always.
        """
        self.stray = reason
        raise AnotherWayError(reason)


def stray_of(network: nn.Module) -> str:
    """Return how a pass of a copy went another way, even if the error was caught; empty if none did."""
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
