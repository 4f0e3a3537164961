"""Smaller changes near a small one, under L0: a changed value is reset, and the others are adapted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attacks.minimal.smallest_change import SmallestChange
    from robench.attack.oracle import Oracle
    from robench.types import IntPerSample

REPAIRS = 4
"""Steps on the rest of a change after a value has been reset."""


def fewer_values(oracle: Oracle, smallest: SmallestChange, *, removals: int, repairs: int = REPAIRS) -> None:
    """Look for smaller changes near the smallest ones known, by taking values back; they are kept.

    In an attempt one value goes, or two for a new one, and what is left moves `repairs` steps up the lead,
    over the whole width of the box at first. Those go first that the lead, by its gradient, needs least; what
    comes is the value that promises most. After a success the attempts begin anew.

    Args:
        oracle: the way to the model.
        smallest: the smallest change known of each image; smaller ones are added to it.
        removals: most attempts, each of at most 1 + `repairs` forward and backward passes and 1 forward.
        repairs: steps of an attempt.
    """
    import torch

    from robench.attack.losses import ranked_margin
    from robench.attack.norms import per_image

    x, threat, loss = oracle.x, oracle.threat, ranked_margin()
    low, high = threat.bounds
    attempt = torch.zeros(len(x), dtype=torch.long, device=x.device)
    need = torch.full_like(x, torch.inf).flatten(1)
    is_new = torch.ones_like(oracle.reached)
    for _ in range(removals):
        best, size = smallest.points, smallest.size
        is_used = best != x
        count = is_used.flatten(1).sum(dim=1)
        open_ = size.isfinite() & (count > 1) & (attempt < count * (count + 1) // 2)
        if oracle.finished or not bool(open_.any()):
            break
        with oracle.only(open_ & is_new), smallest.meeting(best):
            uphill = oracle.gradient(loss, best)
        share = (uphill * (best - x)).where(is_used, torch.inf).flatten(1)
        need = torch.where((open_ & is_new)[:, None], share, need)
        first, second = ranks(attempt, count)
        order = need.argsort(dim=1, stable=True)
        removal = torch.zeros_like(need, dtype=torch.bool)
        for rank in (first, second):
            removal = removal.scatter(1, order.gather(1, rank.clamp_max(need.shape[1] - 1)[:, None]), True)
        support = is_used & ~removal.view(x.shape)
        point, going = torch.where(support, best, x), open_
        for step in range(repairs):
            with oracle.only(going), smallest.meeting(point):
                uphill = oracle.gradient(loss, point)
            going = going & ~(smallest.size < size)
            if not bool(going.any()):
                break
            if step == 0:
                room = torch.where(uphill > 0, high - x, x - low)
                gain = (uphill.abs() * room).where(~is_used, 0.0).flatten(1)
                come = torch.zeros_like(removal).scatter(1, gain.argmax(dim=1, keepdim=True), True)
                support = support | (come & (first != second)[:, None]).view(x.shape)
            next_point = threat.clip(point + (high - low) * 0.5**step * uphill.sign())
            point = torch.where(support & per_image(going, x), next_point, point)
        with oracle.only(going), smallest.meeting(point):
            oracle.outputs(point)
        is_new = smallest.size < size
        attempt = torch.where(is_new, 0, attempt + 1)


def ranks(attempt: IntPerSample, count: IntPerSample) -> tuple[IntPerSample, IntPerSample]:
    """Return the ranks of the two values that go in an attempt, (B,) each; of one that goes alone, twice.

    First each value alone, then the pairs (0, 1), (0, 2), (1, 2), (0, 3), ...

    Args:
        attempt: its number (B,) int64, from 0 and below `count` * (`count` + 1) / 2.
        count: changed values (B,) int64.
    """
    import torch

    pair = (attempt - count).clamp_min(0)
    # Before the pairs of the upper rank u come u (u - 1) / 2 others; float64 is exact enough for the root.
    upper = ((1 + (1 + 8 * pair.double()).sqrt()) / 2 + 1e-9).floor().long()
    lower = pair - upper * (upper - 1) // 2
    is_alone = attempt < count
    return torch.where(is_alone, attempt, lower), torch.where(is_alone, attempt, upper)
