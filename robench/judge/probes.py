"""Questions put to a model before it is attacked: is there anything about it that would fool an attack?

Checks of AutoAttack (Croce & Hein 2020, arXiv:2003.01690, and its `checks`), the signs of gradient masking of
Athalye et al. 2018 (arXiv:1802.00420, section 3.1) and Carlini et al. 2019 (arXiv:1902.06705, section 3.2),
and the indicators of attack failure of Pintor et al. 2022 (arXiv:2106.09947) that need no attack. A cause is
named once: what only follows from it is not named too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robench.judge.answer_probes import (
    IMAGES,
    FirstAnswers,
    answers,
    batch_dependence,
    first_answers,
    largest_score,
    random_output,
)
from robench.judge.gradient_probes import gradient_defect, without_gradient
from robench.model.evaluation import evaluation_mode
from robench.model.interface import NOT_FINITE, Coupling, GradientSource, Model, OutputKind, predictions
from robench.model.micro_batches import in_micro_batches
from robench.model.tested_network import networks_under_test
from robench.plurals import counted
from robench.record.schema import Finding
from robench.types import Images, Labels, Mask, Outputs

VERSION = 7
"""Goes into the key of the units that hold the answers."""

ROOM = 0.05
"""How far declared probabilities may be below 0, and their sum from 1: half precision rounds."""

FLAT = 0.25
"""Scores that lie closer together than this hardly tell classes apart under a softmax."""

HUGE = 1e5
"""Scores above it lose the digits that gradients are made of: float32 has seven."""


def probe(model: Model, x: Images, y: Labels, *, most: int = IMAGES) -> tuple[Finding, ...]:
    """Return what makes numbers about this model doubtful, before any attack.

    Args:
        model: asked in evaluation mode; left as it was.
        x: some clean images (B, C, H, W); the first `IMAGES` are used. A joint model gets all of them.
        y: their labels (B,).
        most: most images per pass; a joint model gets all of them. What only shows where more images are
            together is not found, and no pass holds so many.

    Returns:
        `changes-input` if it writes into its images, and at most one more: `random-output`,
        `batch-dependence`, `not-a-distribution`, `label-only`, `undeclared-simplex`, `flat-output`,
        `saturated-output`, `exploding-output`,
        `no-gradient`, `wrong-gradient`, `unstable-predictions` or `unreachable`.
    """
    whole = x
    if model.coupling is not Coupling.JOINT:
        whole, x, y = x[: max(most, 1)], x[:IMAGES], y[:IMAGES]
        if most < len(x):
            model = in_micro_batches(model, most)
    first = first_answers(model, x)
    with evaluation_mode(model.net):
        return (*_changes_input(model, x, most), *_first_defect(model, x, y, first, whole))


def _first_defect(
    model: Model, x: Images, y: Labels, first: FirstAnswers | None, whole: Tensor
) -> tuple[Finding, ...]:
    """Return the first thing that is wrong with the model's answers or with the way to its gradient."""
    outputs = answers(model, x)
    classes = predictions(outputs)
    if bool((classes == NOT_FINITE).any()):
        return ()  # the judge tells of it on every unit, and nothing below would be true
    defect = random_output(model, x, outputs, first) or batch_dependence(model, x, outputs, first, whole)
    if defect:
        return tuple(finding for finding in (defect, without_gradient(model, x)) if finding)
    right = classes == y
    if model.neighbourhood is None and (defect := _not_a_distribution(model.output, outputs)):
        return (defect,)
    if not bool(right.any()) or model.neighbourhood is not None:
        return ()  # a graph head saturates by nature; its gradient sources are made for that
    defect = _first_gradient_defect(model, x, y, right)
    return (defect,) if defect else ()


def _first_gradient_defect(model: Model, x: Images, y: Labels, right: Mask) -> Finding | None:
    """Return what is wrong with the way to the gradient: the first cause, if any.

    What counts is what an attacker differentiates, the first gradient source: a smoothed model may answer
    with votes that say no more than a class, and yet offer the mean of the softmax.
    """
    source = next(iter(model.sources.values()))
    with torch.no_grad():
        outputs, _ = source.surrogate(x)
    return (
        _label_only(outputs)
        or _undeclared_simplex(source, outputs)
        or _exploding(outputs)
        or _flat(source, outputs[:, : model.classes], right)
        or gradient_defect(model, x[right], y[right], outputs[right])
    )


def _changes_input(model: Model, x: Images, most: int) -> tuple[Finding, ...]:
    parts = [x] if model.coupling is Coupling.JOINT else torch.split(x, most)
    networks = networks_under_test(model.net)
    count = max((sum(map(network.overwritten, parts)) for network in networks), default=0)
    if not count:
        return ()
    return (
        Finding(
            code="changes-input",
            evidence=f"the network wrote into {count} of the {counted(len(x), 'image')} it was given",
            remedy="It is given copies here, so no number suffers; elsewhere it may change data of others",
        ),
    )


def _label_only(outputs: Outputs) -> Finding | None:
    """Find outputs that say no more than a class: one entry of each row stands out, all others are alike."""
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


def _not_a_distribution(kind: OutputKind, outputs: Outputs) -> Finding | None:
    """Tell of outputs that are declared as probabilities, or their logarithms, and are none."""
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
    """Find scores so close together that cross-entropy aims at all wrong classes alike."""
    if source.output is OutputKind.SIMPLEX or outputs.shape[1] < 3 or float(right.float().mean()) < 0.5:
        return None
    scores = outputs[right].double()
    leads = scores.amax(dim=1) - (scores.sum(dim=1) - scores.amax(dim=1)) / (scores.shape[1] - 1)
    lead = float(leads.median())
    if not lead < FLAT:
        return None
    return Finding(
        code="flat-output",
        evidence=f"where it is right, the largest score leads the mean of the rest by {lead:.2g} (median): "
        "under a softmax all classes are nearly alike",
        remedy="Multiply the scores (the classes stay the same), or use a loss that their scale does not "
        "change (margin, DLR)",
    )


def _exploding(outputs: Outputs) -> Finding | None:
    largest = float(largest_score(outputs))
    if largest < HUGE:
        return None
    return Finding(
        code="exploding-output",
        evidence=f"scores reach {largest:.3g}: float32 keeps no digits of a small change",
        remedy="Scale the scores down: the classes stay the same and gradients come back",
    )
