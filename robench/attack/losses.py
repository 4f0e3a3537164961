"""Attack losses, per sample, derived from what the model's output means.

Each is written for log-probabilities or scores, so that adding a constant to the logits, or taking their
log-softmax first, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from robench.model.interface import OutputKind
from robench.types import Labels, Outputs, Pairs, PerSample

Loss = Callable[[Outputs, Labels, OutputKind], PerSample]
"""Outputs (B, K), labels (B,) or (label, target) pairs (B, 2), and what the outputs are, to (B,)."""

TIE = 1e-12
"""Keeps a ratio of score differences finite where the leading scores are equal."""

MASKED = 100.0
"""How far below a row's smallest score a class masked by -inf is put: exp(-100) is lost even in float64."""


def log_probabilities(outputs: Outputs, kind: OutputKind) -> Outputs:
    """Return log-probabilities (B, K), whatever the output is.

    A simplex point is not pushed through softmax again: its logarithm is taken (docs/wnll-attacks.md).
    """
    match kind:
        case OutputKind.LOGITS:
            return F.log_softmax(outputs, dim=1)
        case OutputKind.LOG_PROBABILITIES:
            return outputs
        case OutputKind.SIMPLEX:
            # The floor keeps log finite; below it the class is lost and its gradient would not help anyway.
            return outputs.clamp_min(torch.finfo(outputs.dtype).tiny).log()


def unmasked(outputs: Outputs) -> Outputs:
    """Return scores (B, K) in which finite ones, without a gradient, replace -inf: `MASKED` below the others.

    A network may mask classes by -inf. Differences with such a score would be infinite and their gradients
    NaN; so they are finite, the class stays last, and gradients go to the other scores only.
    """
    mask = outputs == -torch.inf
    lowest = outputs.detach().masked_fill(mask, torch.inf).amin(dim=1, keepdim=True)
    floor = (lowest - MASKED).clamp_min(torch.finfo(outputs.dtype).min)
    return torch.where(mask, floor, outputs)


def scores(outputs: Outputs, kind: OutputKind) -> Outputs:
    """Return scores (B, K) whose differences have a meaning: logits or log-probabilities; see `unmasked`."""
    return unmasked(outputs if kind is OutputKind.LOGITS else log_probabilities(outputs, kind))


def cross_entropy(outputs: Outputs, y: Labels, kind: OutputKind) -> PerSample:
    """Return -log p_y, (B,).

    From scores it is computed as softplus(logsumexp_{c != y} s_c - s_y): the same number, but its gradient
    stays exact to the last digit when p_y rounds to 1; the softmax form loses the label's part of it.
    """
    if kind is OutputKind.SIMPLEX:
        return -log_probabilities(outputs.gather(1, y[:, None]), kind).squeeze(1)
    outputs = unmasked(outputs)
    own = outputs.gather(1, y[:, None]).squeeze(1)
    return F.softplus(_others(outputs, y).logsumexp(dim=1) - own)


def margin(outputs: Outputs, y: Labels, kind: OutputKind) -> PerSample:
    """Return max_{c != y} s_c - s_y, (B,): positive exactly where y is not predicted.

    The label's own score is masked with -inf, never multiplied by zero, so that all-negative scores work.
    """
    del kind  # differences of scores mean the same for all kinds
    outputs = unmasked(outputs)
    own = outputs.gather(1, y[:, None]).squeeze(1)
    return _others(outputs, y).amax(dim=1) - own


def score_margin(outputs: Outputs, y: Labels, kind: OutputKind) -> PerSample:
    """Return the margin of logits or log-probabilities, (B,); for a simplex point its logarithm is used.

    It agrees with `margin` about which class is predicted, but also separates points for which a saturated
    simplex output rounds to the same difference.
    """
    return margin(scores(outputs, kind), y, kind)


def dlr(outputs: Outputs, y: Labels, kind: OutputKind) -> PerSample:
    """Return the difference of logits ratio (max_{c != y} s_c - s_y) / (s_(1) - s_(3)), (B,).

    Croce & Hein 2020 (arXiv:2003.01690), Eq. 6; s_(1) >= s_(2) >= ... are the sorted scores. Scaling the
    logits does not change it, so a confident model cannot make its gradient vanish. Scores are logits or
    log-probabilities; for a simplex point its logarithm is used. With two classes there is no third score,
    and the ratio would be constant: then, and if all but two are masked, the margin is returned.
    """
    values = scores(outputs, kind)
    lead = margin(values, y, kind)
    if outputs.shape[1] < 3:
        return lead
    top = values.topk(3, dim=1).values
    several = _offered(outputs, kind) >= 3
    return lead / (top[:, 0] - top[:, 2] + TIE).where(several, 1.0)


def targeted_dlr(outputs: Outputs, pairs: Pairs, kind: OutputKind) -> PerSample:
    """Return (s_t - s_y) / (s_(1) - (s_(3) + s_(4)) / 2), (B,), for the pair (y, t) of each image.

    Croce & Hein 2020 (arXiv:2003.01690), Eq. 7. With three classes the denominator is s_(1) - s_(3), with
    two the plain difference s_t - s_y is returned; classes masked by -inf are not counted.

    Args:
        outputs: (B, K).
        pairs: label and target class, (B, 2) int64.
        kind: what the outputs are; see `dlr`.
    """
    lead = targeted_margin(outputs, pairs, kind)
    if outputs.shape[1] < 3:
        return lead
    top = scores(outputs, kind).topk(min(4, outputs.shape[1]), dim=1).values
    class_count = _offered(outputs, kind)
    low = top[:, 2:].mean(dim=1).where(class_count >= top.shape[1], top[:, 2])
    return lead / (top[:, 0] - low + TIE).where(class_count >= 3, 1.0)


def targeted_margin(outputs: Outputs, pairs: Pairs, kind: OutputKind) -> PerSample:
    """Return s_t - s_y, (B,), for the pair (y, t) of each image: positive where t is ahead of y.

    Args:
        outputs: (B, K).
        pairs: label and target class, (B, 2) int64.
        kind: what the outputs are; for a simplex point its logarithm is used.
    """
    pair_scores = scores(outputs, kind).gather(1, pairs)
    return pair_scores[:, 1] - pair_scores[:, 0]


def ranked_margin(rank: int = 0) -> Loss:
    """Return the loss s_c - s_y, (B,), of the wrong class c that is `rank`-th best at the evaluated point.

    Rank 0 is the best wrong class, K - 2 the worst. The scores of a simplex point are its logarithms, so that
    wrong classes still differ under a saturated head, and a linear model of the scores stays accurate.
    """

    def loss(outputs: Outputs, y: Labels, kind: OutputKind) -> PerSample:
        values = scores(outputs, kind)
        own = values.gather(1, y[:, None]).squeeze(1)
        return _others(values, y).topk(rank + 1, dim=1).values[:, rank] - own

    return loss


def without_rejection(outputs: Outputs, y: Labels, *, targeted: bool = False) -> Float[Tensor, "B K-1"]:
    """Return scores (B, K) of a model that may reject, from its outputs (B, K + 1), as an attacker sees them.

    A rejection stops an attack just as the right answer does. Untargeted, the label gets the larger of its
    own and the rejection's score; under a targeted goal the lead of the rejection over the other classes is
    subtracted from the target's score. So the class that the attacker wants has the largest score exactly
    where the attack succeeds.

    Args:
        outputs: (B, K + 1), rejection last.
        y: labels (B,), or targets.
        targeted: whether y is what the attacker wants.
    """
    outputs = unmasked(outputs)
    chances, rejection = outputs[:, :-1], outputs[:, -1:]
    own = chances.gather(1, y[:, None])
    if targeted:
        others = _others(chances, y).amax(dim=1, keepdim=True)
        return chances.scatter(1, y[:, None], torch.minimum(own, own - rejection + others))
    return chances.scatter(1, y[:, None], torch.maximum(own, rejection))


def _offered(outputs: Outputs, kind: OutputKind) -> PerSample | Labels:
    """Return how many classes of each row are not masked, (B,); probabilities are never masked."""
    if kind is OutputKind.SIMPLEX:
        return outputs.new_full((len(outputs),), outputs.shape[1])
    return (outputs != -torch.inf).sum(dim=1)


def _others(outputs: Outputs, y: Labels) -> Outputs:
    """Return the scores (B, K) with that of the label y (B,) at -inf."""
    return outputs.scatter(1, y[:, None], -torch.inf)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "margin": margin, "dlr": dlr}
