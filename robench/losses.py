"""Attack losses, per sample, derived from what the model's output means.

Each is written for log-probabilities or scores, so that adding a constant to the logits, or taking their
log-softmax first, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from robench.model import OutputKind
from robench.types import Labels, Outputs, PerSample

Loss = Callable[[Outputs, Labels, OutputKind], PerSample]


def log_probabilities(outputs: Outputs, kind: OutputKind) -> Outputs:
    """Return log-probabilities (B, K), whatever the output is.

    A simplex point is not pushed through softmax again: its logarithm is taken (WNLL.md, section 1).
    """
    match kind:
        case OutputKind.LOGITS:
            return F.log_softmax(outputs, dim=1)
        case OutputKind.LOG_PROBABILITIES:
            return outputs
        case OutputKind.SIMPLEX:
            # The floor keeps log finite; below it the class is lost and the gradient is of no use anyway.
            return outputs.clamp_min(torch.finfo(outputs.dtype).tiny).log()


def cross_entropy(outputs: Outputs, y: Labels, kind: OutputKind) -> PerSample:
    """Return -log p_y, (B,).

    Of scores it is taken as softplus(logsumexp_{c != y} s_c - s_y), which is the same number, but keeps its
    gradient exact to the last digit when p_y rounds to 1; the softmax form loses the label's part of it.
    """
    own = outputs.gather(1, y[:, None]).squeeze(1)
    if kind is OutputKind.SIMPLEX:
        return -log_probabilities(own[:, None], kind).squeeze(1)
    return F.softplus(_others(outputs, y).logsumexp(dim=1) - own)


def margin(outputs: Outputs, y: Labels, kind: OutputKind) -> PerSample:
    """Return max_{c != y} s_c - s_y, (B,): positive exactly where y is not predicted.

    The label's own score is masked with -inf, never multiplied by zero, so that all-negative scores work.
    """
    del kind  # differences of scores mean the same for all kinds
    own = outputs.gather(1, y[:, None]).squeeze(1)
    return _others(outputs, y).amax(dim=1) - own


def _others(outputs: Outputs, y: Labels) -> Outputs:
    """Return the scores with the label's own at -inf."""
    return outputs.scatter(1, y[:, None], -torch.inf)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "margin": margin}
