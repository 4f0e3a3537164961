"""Memory of an attack: the best admissible adversarial points, and where only a source was fooled."""

from __future__ import annotations

import torch

from robench.attack.ledger import Ledger, Rows
from robench.attack.norms import per_image
from robench.attack.threat import ThreatModel
from robench.types import Images, Mask, PerSample, RowNumbers


class BestPoints:
    """The best admissible adversarial point found for each image of a batch.

    The first is kept, or the smallest if the attack minimises. In a joint batch points of different steps
    must not be mixed: the whole batch of the step that broke the most images is kept.

    Attributes:
        points: (B, C, H, W), the clean image if none was found.
        size: (B,) of the stored point, if the attack minimises; infinite if none was found.
        broken: (B,) whether one was found.
        last_success: (B,) whether the last point was one.
        kept_success: (B,) which images of the stored joint batch are broken.
        most: number of these images.

    Args:
        x: clean images (B, C, H, W).
        threat: decides which points are admissible.
        minimise: keep the smallest point instead of the first.
        joint: whether the images of the batch influence each other.
        track: store points at all.
    """

    def __init__(self, x: Images, threat: ThreatModel, *, minimise: bool, joint: bool, track: bool) -> None:
        no = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.points = x.clone() if track else x
        self.size = x.new_full((len(x),), torch.inf)
        self.broken, self.last_success, self.kept_success = no.clone(), no.clone(), no.clone()
        self.most = 0
        self._x, self._threat, self._minimise, self._joint = x, threat, minimise, joint
        self._confident, self._batch_size = no.clone(), float("inf")
        self._numbers = torch.arange(len(x), device=x.device)
        self._largest_lead = torch.zeros_like(self.size)

    def admissible(self, rows: Rows, points: Images, successes: Mask) -> Mask:
        """Tell which successes (b,) among the points (b, C, H, W) of these rows are admissible too; (b,)."""
        both = successes.clone()
        if bool(successes.any()):
            numbers = self._numbers[rows][successes]
            both[successes] = self._threat.admits(self._x[numbers], points[successes])
        return both

    def leads_clearly(self, rows: Rows, lead: PerSample, least: float) -> Mask:
        """Tell where leads (b,) are at least a share of the largest, in either direction, of the image."""
        lead = lead.to(self._largest_lead.dtype)
        size = lead.abs().where(lead.isfinite(), 0.0)
        self._largest_lead[rows] = torch.maximum(self._largest_lead[rows], size)
        return lead >= least * self._largest_lead[rows]

    def meet(self, rows: Rows, points: Images, reached: Mask, confident: Mask | None) -> RowNumbers:
        """Record which points of these rows succeed, and keep the best.

        Args:
            rows: which images.
            points: (b, C, H, W).
            reached: (b,) which of them reach the attacker's goal.
            confident: (b,) which have the required confidence, and have priority over others; None if none is
                required.

        Returns:
            The numbers of the images with their first success.
        """
        if not self._joint and not bool(reached.any()):
            self.last_success[rows] = False
            return self._numbers[:0]
        success = self.admissible(rows, points, reached)
        rows = self._numbers[rows]
        self.last_success[rows] = success
        fresh = rows[success & ~self.broken[rows]]
        self.broken[fresh] = True
        if self._joint:
            self._meet_batch(points, success)
        elif bool(success.any()):
            rows, points = rows[success], points[success].detach()
            if self._minimise:
                self._keep_smaller(rows, points, None if confident is None else confident[success])
            else:
                first = torch.isin(rows, fresh)
                self.points[rows[first]] = points[first]
        return fresh

    def proposal(self, last: Images, asked: Mask, ledger: Ledger, *, is_library_attack: bool) -> Images:
        """Return for each image the last or the stored point, (B, C, H, W); note which are claimed broken.

        The last point is proposed if none was stored, or if it was just evaluated and succeeds. Otherwise the
        stored point is proposed, which is known to succeed.

        Args:
            last: end points of the attack, (B, C, H, W).
            asked: (B,) whether the last point was just evaluated.
            ledger: gets the claims.
            is_library_attack: whether a library attacked. It may have found an adversarial point and returned
                another (silent success).
        """
        ledger.claimed = self.broken.clone()
        from_memory = self.broken & ~(asked & self.last_success)
        if is_library_attack:
            ledger.silent = from_memory
        return torch.where(per_image(from_memory, last), self.points, last)

    def joint_proposal(self, last: Images, ledger: Ledger, *, is_library_attack: bool) -> Images:
        """Return the stored batch, or `last` if no image was broken, (B, C, H, W); see `proposal`."""
        if is_library_attack and int(self.last_success.sum()) < self.most:
            ledger.silent = self.broken & ~self.last_success
        ledger.claimed = self.kept_success.clone()
        return self.points if self.most > 0 else last

    def _keep_smaller(self, rows: torch.Tensor, points: Images, confident: Mask | None) -> None:
        size = self._threat.norm.size(points - self._x[rows])
        better = size < self.size[rows]
        if confident is not None:
            before = self._confident[rows]
            better = torch.where(confident == before, better, confident)
            self._confident[rows] = before | confident
        self.size[rows[better]] = size[better]
        self.points[rows[better]] = points[better]

    def _meet_batch(self, points: Images, success: Mask) -> None:
        """Keep the joint batch that breaks the most images; a later one of equal count only if smaller."""
        count = int(success.sum())
        size = float(self._threat.norm.size(points.detach() - self._x).sum())
        if count > self.most or (self._minimise and count == self.most and size < self._batch_size):
            self.points, self.most, self._batch_size = points.detach().clone(), count, size
            self.kept_success = success.clone()


class FooledSources:
    """Which gradient sources were fooled while the model behind them was not.

    Args:
        best_points: knows where the model was fooled, and which points are admissible.
    """

    def __init__(self, best_points: BestPoints) -> None:
        self._best_points = best_points
        self._nowhere = torch.zeros_like(best_points.broken)
        # By gradient source: where it was evaluated, and where it was fooled and the model was not.
        self._asked: dict[str, Mask] = {}
        self._fooled: dict[str, Mask] = {}

    def compare(self, source: str, rows: Rows, points: Images, fooled: Mask | None) -> None:
        """Record an evaluation of a source, after the model's answers there were met.

        Args:
            source: its name.
            rows: the images.
            points: (b, C, H, W).
            fooled: (b,) where the source was fooled; None if it is the model itself.
        """
        if source not in self._asked:
            self._asked[source], self._fooled[source] = self._nowhere.clone(), self._nowhere.clone()
        self._asked[source][rows] = True
        if fooled is not None:
            alone = fooled & ~self._best_points.last_success[rows]
            self._fooled[source][rows] |= self._best_points.admissible(rows, points, alone)

    @property
    def deceived(self) -> Mask:
        """Unbroken images (B,) on which every evaluated source was fooled at admissible points."""
        some, honest = self._nowhere.clone(), self._nowhere.clone()
        for source, mask in self._asked.items():
            some |= self._fooled[source]
            honest |= mask & ~self._fooled[source]
        return some & ~honest & ~self._best_points.broken
