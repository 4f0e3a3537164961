"""Whether two networks are the same function: outputs and gradients compared on a few images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from robench.model.evaluation import evaluation_mode
from robench.model.interface import GradientSource, Model
from robench.model.rough_gradient import SURE
from robench.model.rounding import beyond_rounding
from robench.randomness import borrowed_global_randomness
from robench.types import Features, Images, Outputs, PerSample

PROOF_IMAGES = 16
"""Most images on which a copy is compared with the original."""

OUTPUT_TOLERANCE = 1e-4
"""Largest difference of an output, relative to the largest output of the compared images. For scores also
relative to their spread; otherwise, next to a mask of -1e4, a wrong class could remain unnoticed."""

GRADIENT_TOLERANCE = 1e-2
"""Largest difference of a gradient in L2, relative to its length, or the median length if that is more."""

ROUGH_GRADIENT_TOLERANCE = 0.5
"""The same of a gradient in bfloat16, whose eight bits turn many more ReLUs: so at most 30 degrees.

Measured on ResNet20 (seeded weights) the median difference is 0.17 and the largest of 32 images 0.27, on
Small-CNN (TRADES) 0.07 and 0.14.
"""

ROUGH_OUTPUT_TOLERANCE = SURE / 4
"""The same of outputs of a pass in bfloat16: those that are limit lead by four times as much."""

SPARED = 0.2
"""Share of the images whose gradient may differ more: it jumps if rounding switches a ReLU or a maximum."""


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far two networks may differ; see the constants above.

    Attributes:
        gradient: of gradients, relative to their length.
        outputs: of outputs of passes with a gradient, relative to the largest.
    """

    gradient: float = GRADIENT_TOLERANCE
    outputs: float = OUTPUT_TOLERANCE


TOLERANCES = Tolerances()
ROUGH_TOLERANCES = Tolerances(ROUGH_GRADIENT_TOLERANCE, ROUGH_OUTPUT_TOLERANCE)


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's outputs and gradients for images (B, C, H, W).

    Attributes:
        own: its outputs (B, columns), from a pass without a gradient if that was requested.
        surrogate: the outputs of a gradient source, (B, number of its columns).
        gradient: of a fixed combination of the latter, with respect to the images, (B, C, H, W).
        apart: whether its own outputs come from a pass without a gradient.
    """

    own: Outputs
    surrogate: Tensor
    gradient: Images
    apart: bool = True


def ask(model: Model, source: GradientSource, x: Images, *, without_gradient: bool = True) -> Answer:
    """Return a model's outputs and a source's, with the gradient of a fixed combination of the latter.

    Args:
        model: the model.
        source: one of its gradient sources.
        x: images (B, C, H, W), in one batch if memory suffices.
        without_gradient: take its own outputs from an extra pass without a gradient, not from the pass of the
            source: networks may compute differently then.

    Raises:
        JobError: memory does not suffice for one image, or for a joint batch.
        Exception: any other error of the network.
    """

    def at_once(size: int) -> Answer:
        with borrowed_global_randomness(0):
            parts = [
                _ask(model, source, part, row * size, without_gradient)
                for row, part in enumerate(torch.split(x, size))
            ]
        return Answer(
            own=torch.cat([part.own for part in parts]),
            surrogate=torch.cat([part.surrogate for part in parts]),
            gradient=torch.cat([part.gradient for part in parts]),
            apart=without_gradient,
        )

    return model.fitting_batches(len(x)).do(at_once, most=max(len(x), 1))


def _ask(model: Model, source: GradientSource, x: Images, first: int, without_gradient: bool) -> Answer:
    """Compute some of the compared images; the first of them has number `first` among all."""
    answer = None
    if without_gradient:
        with torch.no_grad():
            answer = model.net(x)
    leaf = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        surrogate, own = source.surrogate(leaf)
        weights = cotangent(surrogate, first)
        gradient = None
        if surrogate.requires_grad:
            (gradient,) = torch.autograd.grad((surrogate * weights).sum(), leaf, allow_unused=True)
    zero = torch.zeros_like(x)
    own = (own if answer is None else answer).detach()
    return Answer(
        own, surrogate.detach(), zero if gradient is None else gradient.detach(), answer is not None
    )


def cotangent(like: Outputs, first: int = 0) -> Outputs:
    """Return fixed distinct numbers, so that no two outputs cancel: irrational steps in (-1, 1)."""
    start = 1 + first * like[:1].numel()
    steps = torch.arange(start, start + like.numel(), device=like.device, dtype=torch.float64)
    return (2 * (steps * 0.6180339887498949 % 1) - 1).to(like.dtype).view(like.shape)


@dataclass(slots=True)
class Original:
    """The network itself, evaluated on some images once for each gradient source.

    Args:
        model: the model.
        x: the images (B, C, H, W).
        without_gradient: see `ask`.
        note_changes: called with the names of weights and buffers that the network itself changes in a pass.
    """

    model: Model
    x: Images
    without_gradient: bool
    note_changes: Callable[[set[str]], None]
    _answers: dict[str, Answer | None] = field(default_factory=dict)

    def question(self, source: GradientSource) -> Answer:
        """Evaluate the network, or the copy that replaces it at the moment."""
        return ask(self.model, source, self.x, without_gradient=self.without_gradient)

    def answer(self, source: GradientSource) -> Answer | None:
        """Return the original's answer; None if it raises: the attack will raise the same error."""
        if source.name not in self._answers:
            try:
                with evaluation_mode(self.model.net) as state:
                    answer: Answer | None = self.question(source)
                    changes = state.changes()
            except Exception:  # noqa: BLE001 - the attack raises the same error and is recorded as failed
                answer, changes = None, set()
            self.note_changes(changes)
            self._answers[source.name] = answer
        return self._answers[source.name]


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a copy that passed its proof was from the network.

    Attributes:
        outputs: largest difference of an output, relative to the largest output of the compared images.
        gradients: median difference of a gradient in L2, relative to its length.
    """

    outputs: float = 0.0
    gradients: float = 0.0

    def or_more(self, other: Distance) -> Distance:
        """Return the larger of both, measure by measure."""
        return Distance(max(self.outputs, other.outputs), max(self.gradients, other.gradients))

    def measures(self) -> dict[str, float]:
        """Return the measures by name, with two digits each, as records have them."""
        return {name: float(f"{value:.2g}") for name, value in asdict(self).items()}


def distance(original: Answer, other: Answer) -> Distance:
    """Return how far the answers of another network are from the original's; both have the same shapes.

    Where numbers of both are not finite, the others are compared.
    """
    outputs = 0.0
    for one, two in ((original.own, other.own), (original.surrogate, other.surrogate)):
        finite = torch.isfinite(one) & torch.isfinite(two)
        if bool(finite.any()) and float(one[finite].abs().max()) > 0:
            outputs = max(outputs, float((one - two)[finite].abs().max() / one[finite].abs().max()))
    rows = [gradient.flatten(1) for gradient in (original.gradient, other.gradient)]
    sound = torch.isfinite(rows[0]).all(dim=1) & torch.isfinite(rows[1]).all(dim=1)
    error = relative_error(rows[0][sound], rows[1][sound])
    return Distance(outputs, float(error.median()) if len(error) else 0.0)


def difference(original: Answer, other: Answer, tolerances: Tolerances = TOLERANCES) -> str:
    """Say in what another network differs from the original beyond rounding; empty if in nothing.

    Args:
        original: what the original answers.
        other: what the other network answers.
        tolerances: largest differences.
    """
    limit = OUTPUT_TOLERANCE if original.apart else tolerances.outputs
    for name in ("own", "surrogate"):
        one, two = getattr(original, name), getattr(other, name)
        if one.shape != two.shape:
            return f"its outputs have the shape {tuple(two.shape)}, not {tuple(one.shape)}"
        if not torch.equal(torch.isfinite(one), torch.isfinite(two)):
            return "its outputs are not finite in other places"
        finite = torch.isfinite(one)
        scale = float(one[finite].abs().max()) if bool(finite.any()) else 0.0
        apart = float((one - two)[finite].abs().max()) if bool(finite.any()) else 0.0
        if apart > (limit if name == "own" else tolerances.outputs) * scale:
            return f"its outputs differ by {apart / max(scale, 1e-30):.2g} of the largest"
    if limit > OUTPUT_TOLERANCE:
        if bool(((original.own - other.own).abs() > limit * _sizes(original.own)).any()):
            return "its scores differ by more than what may be limit"
    elif bool(beyond_rounding(original.own, other.own, tolerance=OUTPUT_TOLERANCE).any()):
        return "its scores differ by more than rounding, beside how far they are apart"
    one, two = original.gradient.flatten(1), other.gradient.flatten(1)
    sound = torch.isfinite(one).all(dim=1)
    if not torch.equal(sound, torch.isfinite(two).all(dim=1)):
        return "its gradients are not finite in other places"
    error = relative_error(one[sound], two[sound])
    # A few images may differ at a jump of the gradient. With one image that cannot be told from a fault, so
    # the tolerance is larger.
    tolerance = tolerances.gradient if len(error) > 1 else max(tolerances.gradient, 10 * GRADIENT_TOLERANCE)
    if len(error) and float((error > tolerance).double().mean()) > SPARED:
        return f"its gradients differ by {float(error.median()):.2g} of their length (median)"
    return ""


def _sizes(outputs: Outputs) -> Tensor:
    """Return the largest size of a number in each row, (B, 1)."""
    return outputs.where(outputs.isfinite(), 0.0).abs().amax(dim=1, keepdim=True)


def relative_error(one: Features, two: Features) -> PerSample:
    """Return by how much rows (B, D) differ in L2, relative to their length, or the median if larger."""
    length: PerSample = one.norm(dim=1)
    if not len(length):
        return length
    scale = length.maximum(length.median())
    apart = (one - two).norm(dim=1)
    error: PerSample = torch.where(apart == 0, apart, apart / scale.clamp_min(torch.finfo(one.dtype).tiny))
    return error
