"""Text and numbers as every report shows them: hostile names made visible, never active."""

from __future__ import annotations

from reports.board.shares import Share
from robench.visible_text import visible

__all__ = ["NOTHING", "number", "over_batches", "percent", "visible", "with_interval"]

NOTHING = "-"


def percent(share: Share | None) -> str:
    """Return a share as a percentage with one decimal."""
    if share is None or share.value is None:
        return NOTHING
    return f"{100 * share.value:.1f}"


def with_interval(share: Share | None) -> str:
    """Return a share and its interval, such as `52.8 [49.7, 55.9]`."""
    if share is None or share.value is None:
        return NOTHING
    return f"{percent(share)} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def over_batches(share: Share) -> tuple[str, str]:
    """Return how many batches a joint model had, and the interval over them."""
    if (batches := share.batches) is None:
        return NOTHING, NOTHING
    return str(batches.n), f"[{100 * batches.low:.1f}, {100 * batches.high:.1f}]"


def number(value: float | None) -> str:
    """Return a distance or a count with three significant digits, plain up to a million.

    Example:
        >>> number(0.12345), number(1234.5), number(None)
        ('0.123', '1234', '-')
    """
    if value is None:
        return NOTHING
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
