"""Requests to stop a run: after the running units, or at once. No torch here."""

from __future__ import annotations

from dataclasses import dataclass


class StoppedError(KeyboardInterrupt):
    """A run stopped on request; finished results are kept.

    Args:
        exit_code: of the command.
    """

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__()


@dataclass(slots=True)
class Stop:
    """The request to stop, which the working code checks.

    Attributes:
        soon: stop after the running units.
        now: stop at once.
        exit_code: of the command: 128 plus the number of the signal.
    """

    soon: bool = False
    now: bool = False
    exit_code: int = 130

    def ask(self, number: int, *, now: bool) -> None:
        """Request a stop; a second request means at once."""
        self.now = self.now or now or self.soon
        self.soon = True
        self.exit_code = 128 + number

    def check(self, *, working: bool) -> None:
        """Stop if that was requested.

        Args:
            working: whether something is running that should be finished first.

        Raises:
            StoppedError: it is time to stop.
        """
        if self.now or (self.soon and not working):
            raise StoppedError(self.exit_code)
