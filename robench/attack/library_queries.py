"""The points that a library evaluates while it attacks, recorded in the oracle that lent it the model."""

from __future__ import annotations

from collections.abc import Callable

import torch

from robench.attack.losses import cross_entropy
from robench.attack.oracle import Oracle
from robench.attack.threat import Goal
from robench.model.interface import Coupling, OutputKind
from robench.types import Images, Outputs


class LibraryQueries:
    """Assigns the points that a library evaluates to images, and records the model's answers.

    A library does not say which image a point belongs to. If it evaluates a whole batch, it keeps the order,
    so its points are assigned to the batch of that size whose first image is nearest to the first point;
    batches of other sizes are not assigned. A point assigned to the wrong image does no harm: it counts only
    if it is admissible for that image and answered as the attacker wants, and then it is an adversarial point
    of that image in any case.

    The cost of a point is recorded too: the forwards of its batch up to and including this one, and the
    backwards that followed the earlier ones. Points that were not assigned are in the ledger only.

    Args:
        oracle: the oracle that lends the model.
        spent: returns image forwards and image backwards so far, including those of the current points.
    """

    def __init__(self, oracle: Oracle, spent: Callable[[], tuple[int, int]]) -> None:
        self._oracle = oracle
        self._spent = spent
        self._before = (0, 0)
        self._asked: torch.Tensor | None = None
        self._passes = torch.zeros_like(oracle.ledger.forwards)
        count = len(oracle.x)
        size = count if oracle.model.coupling is Coupling.JOINT else oracle.batch_size
        rows = torch.arange(count, device=oracle.x.device)
        self._batches = torch.split(rows, max(size, 1)) if count else ()

    def __call__(self, points: Images, own: Outputs, scores: Outputs | None) -> None:
        """Record the model's own outputs at some points, and the scores that are differentiated, if any.

        The plain ascents of libraries raise the cross-entropy of the scores; if one raises another loss, its
        plugin minimises, and no ascent was begun.
        """
        oracle = self._oracle
        rows = self._rows(points)
        self._book(rows)
        if rows is None:
            oracle.declarations.has_unassigned_points = True
            return
        earlier = oracle.broken[rows]
        oracle.note_answers(rows, points.to(oracle.x.dtype), own.detach())
        fresh = rows[oracle.broken[rows] & ~earlier]
        oracle.ledger.first_passes[fresh] += self._passes[fresh]
        if scores is None:
            return
        losses = cross_entropy(scores.detach()[:, : oracle.model.classes], oracle.y[rows], OutputKind.LOGITS)
        value = torch.full_like(oracle.best_size, -torch.inf)
        value[rows] = -losses if oracle.threat.goal is Goal.TARGETED else losses
        oracle.follow_ascent(value)

    def gradient(self, points: Images, gradient: Images) -> None:
        """Record a gradient (b, C, H, W) that was sent back to the library at some points."""
        if (rows := self._rows(points)) is not None:
            largest = gradient.flatten(1).abs().amax(dim=1)
            self._oracle.ledger.note_gradient(rows, finite=torch.isfinite(largest), zero=largest == 0)

    def _book(self, rows: torch.Tensor | None) -> None:
        """Count the passes since the last evaluation: its backwards, and the forwards of this one."""
        forwards, backwards = (now - then for now, then in zip(self._spent(), self._before, strict=True))
        if self._oracle.on_passes is not None:
            self._oracle.on_passes(forwards + backwards)
        if self._asked is not None:
            self._passes[self._asked] += backwards // len(self._asked)
        if rows is not None:
            self._passes[rows] += forwards // len(rows)
        self._before, self._asked = self._spent(), rows

    def _rows(self, points: Images) -> torch.Tensor | None:
        x = self._oracle.x
        fitting = [rows for rows in self._batches if len(rows) == len(points)]
        if not fitting or points.shape[1:] != x.shape[1:]:
            return None
        if len(fitting) == 1:
            return fitting[0]
        away = torch.stack([(x[rows[0]] - points[0]).abs().max() for rows in fitting])
        return fitting[int(away.argmin())]
