"""Who is told how a run goes: the contract between the runner and whatever shows it. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known after one more unit of a column: one attack from one source on one target.

    Attributes:
        attacked: false for the clean evaluation.
        right: images that stand against every gradient source so far.
        n: images judged so far.
        images: images of this unit.
    """

    attacked: bool
    right: int
    n: int
    images: int

    def words(self) -> str:
        """Return it in a few words, such as `robust 63.0 % (n 200)`."""
        share = f"{100 * self.right / self.n:.1f} %" if self.n else "-"
        return f"{'robust' if self.attacked else 'clean'} {share} (n {self.n})"


class Reporter(Protocol):
    """Told what happens while it happens; it must never fail and never slow the work down."""

    def start(self, total: int, cached: int) -> None:
        """Note how many units there are, and how many of them were finished before."""
        ...

    def stage(self, text: str) -> None:
        """Note what begins, such as the training of a model."""
        ...

    def begin(self, text: str) -> None:
        """Note which unit is worked on from now."""
        ...

    def advance(self, text: str, done: bool, standing: Standing | None = None) -> None:
        """Note one more unit, and how its column stands; `done` is false if it was finished before."""
        ...

    def training(self, row: dict[str, float]) -> None:
        """Note how a training goes: a row with `step` and `steps`, or an epoch's row of the history."""
        ...

    def finding(self, text: str) -> None:
        """Note a reason to doubt a number."""
        ...

    def failed(self, key: str, text: str) -> None:
        """Note a unit that failed; the others go on."""
        ...

    def close(self) -> None:
        """Note that nothing more comes. It may be called twice."""
        ...


class Quiet:
    """A reporter that says nothing."""

    def start(self, total: int, cached: int) -> None:
        """Say nothing."""

    def stage(self, text: str) -> None:
        """Say nothing."""

    def begin(self, text: str) -> None:
        """Say nothing."""

    def advance(self, text: str, done: bool, standing: Standing | None = None) -> None:
        """Say nothing."""

    def training(self, row: dict[str, float]) -> None:
        """Say nothing."""

    def finding(self, text: str) -> None:
        """Say nothing."""

    def failed(self, key: str, text: str) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Do nothing."""
