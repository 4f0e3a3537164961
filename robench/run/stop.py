"""How a run is asked to stop: after the units in work, or at once. No torch here."""

from __future__ import annotations

from dataclasses import dataclass


class StoppedError(KeyboardInterrupt):
    """A run stopped because it was asked to; what is finished is kept.

    Args:
        exit_code: of the command.
    """

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__()


@dataclass(slots=True)
class Stop:
    """What was asked for so far; whoever does the work looks at it.

    Attributes:
        soon: stop after the units in work.
        now: stop at once.
        exit_code: of the command: 128 plus the number of the signal.
    """

    soon: bool = False
    now: bool = False
    exit_code: int = 130

    def ask(self, number: int, *, now: bool) -> None:
        """Ask to stop; to ask a second time means at once."""
        self.now = self.now or now or self.soon
        self.soon = True
        self.exit_code = 128 + number

    def check(self, *, working: bool) -> None:
        """Stop where that was asked for.

        Args:
            working: whether something is being done that should be finished first.

        Raises:
            StoppedError: it is time to stop.
        """
        if self.now or (self.soon and not working):
            raise StoppedError(self.exit_code)
