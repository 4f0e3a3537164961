"""Probes of a model's outputs alone, for defects on which the loss of an attack cannot rise.

See `robench.judge.probes`.
"""

from __future__ import annotations

from robench.attack.losses import cross_entropy
from robench.model.interface import GradientSource, Model, OutputKind
from robench.plurals import counted
from robench.record.schema import Finding
from robench.types import Labels, Mask, Outputs

MANY = 0.1
"""Least share of images for which a defect counts."""

ROOM = 0.05
"""Tolerance of declared probabilities below 0, and of their sum around 1: half precision rounds."""

FLAT = 0.25
"""Scores closer together than this give nearly equal softmax probabilities."""

HUGE = 1e5
"""Scores above it lose the small differences that gradients need: float32 has seven digits."""


def output_defect(
    model: Model, source: GradientSource, outputs: Outputs, y: Labels, right: Mask
) -> Finding | None:
    """Return the first defect of the outputs that an attacker differentiates.

    Args:
        model: the model.
        source: its first gradient source.
        outputs: the source's outputs for images, (B, columns).
        y: their labels (B,).
        right: which of them the model gets right (B,).
    """
    return (
        _label_only(outputs)
        or _undeclared_simplex(source, outputs)
        or _exploding(outputs)
        or _flat(source, outputs[:, : model.classes], right)
        or _saturated(source, outputs[right, : model.classes], y[right])
    )


def not_a_distribution(kind: OutputKind, outputs: Outputs) -> Finding | None:
    """Find outputs that are declared as probabilities, or as their logarithms, but are not."""
    if kind is OutputKind.LOGITS:
        return None
    low, high = float(outputs.min()), float(outputs.max())
    is_simplex = kind is OutputKind.SIMPLEX
    sums = (outputs if is_simplex else outputs.double().exp()).sum(dim=1)
    if (is_simplex and low < -ROOM) or bool(((sums - 1).abs() > ROOM).any()):
        least, most = float(sums.min()), float(sums.max())
        what = "probabilities" if is_simplex else "log-probabilities"
        of_rows = "rows sum" if is_simplex else "exponentials of a row sum"
        return Finding(
            code="not-a-distribution",
            evidence=f"declared as {what}, outputs go from {low:.3g} to {high:.3g}, and {of_rows} to "
            f"{least:.3g} to {most:.3g}, not to 1",
            remedy="Leave out `output`, or declare `output: logits`, if the network returns scores",
        )
    return None


def _label_only(outputs: Outputs) -> Finding | None:
    """Find outputs that contain only the class: one entry of each row stands out, all others are equal."""
    low, high = outputs.amin(dim=1, keepdim=True), outputs.amax(dim=1, keepdim=True)
    steps = ((outputs - low) / (high - low).clamp_min(1e-30)).round(decimals=5)
    alike = (steps == 0) | (steps == 1)
    same = (high - high[0]).abs().amax() <= 1e-6 * high.abs().amax().clamp_min(1e-6)
    if len(outputs) < 2 or not bool(alike.all()) or not bool(same) or outputs.shape[1] < 3:
        return None
    return Finding(
        code="label-only",
        evidence=f"all {counted(len(outputs), 'output')} "
        "are the same two numbers: the class and nothing else",
        remedy="Attack the scores the class is taken from, or use attacks that need labels only",
    )


def _undeclared_simplex(source: GradientSource, outputs: Outputs) -> Finding | None:
    if source.output is not OutputKind.LOGITS or len(outputs) < 2:
        return None
    on_simplex = bool(((outputs >= 0) & (outputs <= 1)).all())
    ones = bool(((outputs.sum(dim=1) - 1).abs() < 1e-4).all())
    if not (on_simplex and ones):
        return None
    return Finding(
        code="undeclared-simplex",
        evidence="every output is a probability distribution, but the model says it returns logits",
        remedy="Declare `output: simplex`: a softmax on top of a softmax flattens the loss",
    )


def _flat(source: GradientSource, outputs: Outputs, right: Mask) -> Finding | None:
    """Find scores so close together that cross-entropy treats all wrong classes equally."""
    if outputs.shape[1] < 3 or float(right.float().mean()) < 0.5:
        return None
    lead = lead_of(outputs[right], source.output)
    if not lead < FLAT:
        return None
    return Finding(
        code="flat-output",
        evidence=f"where it is right, the largest score leads the mean of the rest by {lead:.2g} (median): "
        "under a softmax all classes are nearly alike",
        remedy="Multiply the scores (the classes stay the same), or use a loss that their scale does not "
        "change (margin, DLR)",
    )


def lead_of(outputs: Outputs, kind: OutputKind) -> float:
    """Return the difference of the largest score and the mean of the rest, as the median over images.

    Args:
        outputs: (B, K), of at least one image and two classes; probabilities are replaced by their
            logarithms, as in the loss.
        kind: kind of the outputs.
    """
    scores = outputs.double()
    if kind is OutputKind.SIMPLEX:
        scores = scores.clamp_min(1e-30).log()
    top = scores.amax(dim=1)
    return float((top - (scores.sum(dim=1) - top) / (scores.shape[1] - 1)).median())


def _exploding(outputs: Outputs) -> Finding | None:
    largest = float(outputs.abs().masked_fill(~outputs.isfinite(), 0.0).amax())
    if largest < HUGE:
        return None
    return Finding(
        code="exploding-output",
        evidence=f"scores reach {largest:.3g}: float32 keeps no digits of a small change",
        remedy="Scale the scores down: the classes stay the same and gradients come back",
    )


def _saturated(source: GradientSource, outputs: Outputs, y: Labels) -> Finding | None:
    """Find confidence so high that the loss is exactly zero: p_y rounds to 1."""
    losses = cross_entropy(outputs, y, source.output)
    share = float((losses < 1e-30).float().mean())
    if share < MANY:
        return None
    return Finding(
        code="saturated-output",
        evidence=f"the loss is zero to the last digit for {share:.0%} of the images it gets right",
        remedy="Use a loss without exponentials (margin, DLR), or divide the logits by a temperature",
    )
