"""Probes of a model before it is attacked: does it have a property that would mislead an attack?

Checks of AutoAttack (Croce & Hein 2020, arXiv:2003.01690, and its `checks`), the signs of gradient masking of
Athalye et al. 2018 (arXiv:1802.00420, section 3.1) and Carlini et al. 2019 (arXiv:1902.06705, section 3.2),
and the indicators of attack failure of Pintor et al. 2022 (arXiv:2106.09947) that need no attack. A cause is
reported once, without its consequences.
"""

from __future__ import annotations

import torch

from robench.judge.answer_probes import (
    IMAGES,
    answers,
    batch_dependence,
    changes_input,
    first_answers,
    random_output,
)
from robench.judge.edge_probe import blind_at_the_ends
from robench.judge.gradient_probes import gradient_defect, without_gradient
from robench.judge.hidden_pixels import hidden_pixels
from robench.judge.input_convention import other_input
from robench.judge.output_probes import not_a_distribution, output_defect
from robench.judge.scale_probe import scale_dependence
from robench.model.evaluation import evaluation_mode
from robench.model.interface import NOT_FINITE, Coupling, Model, predictions
from robench.model.micro_batches import in_micro_batches
from robench.record.schema import Finding
from robench.types import Images, Labels

VERSION = 10
"""Goes into the key of the units that hold the answers."""


def probe(model: Model, x: Images, y: Labels, *, most: int = IMAGES) -> tuple[Finding, ...]:
    """Return the findings that make numbers about this model doubtful, before any attack.

    Args:
        model: called in evaluation mode; not changed.
        x: some clean images (B, C, H, W); the first `IMAGES` are used. A joint model gets all of them.
        y: their labels (B,).
        most: most images per pass; a joint model gets all of them. Defects that show only in larger batches
            are not found, but no pass is that large.

    Returns:
        `changes-input` if the model writes into its images, `other-input` if it names many more images right
        in another form, and at most one more: `random-output`,
        `batch-dependence`, `not-a-distribution`, `label-only`, `undeclared-simplex`, `exploding-output`,
        `flat-output`, `saturated-output`, `no-gradient`, `wrong-gradient`, `unstable-predictions` or
        `unreachable`.
    """
    whole = x
    if model.coupling is not Coupling.JOINT:
        whole, x, y = x[: max(most, 1)], x[:IMAGES], y[:IMAGES]
        if most < len(x):
            model = in_micro_batches(model, most)
    first = first_answers(model, x)
    with evaluation_mode(model.net):
        findings = changes_input(model, x, most)
        outputs = answers(model, x)
        classes = predictions(outputs)
        if bool((classes == NOT_FINITE).any()):
            return findings  # the judge reports it on every unit, and no probe below would be valid
        defect = random_output(model, x, outputs, first) or batch_dependence(model, x, outputs, first, whole)
        if defect:
            return tuple(one for one in (*findings, defect, without_gradient(model, x)) if one)
        right = classes == y
        if model.neighbourhood is not None:
            # A graph head saturates by nature; its gradient sources are designed for that.
            blindness = _blindness(model, x[right], y[right]) if bool(right.any()) else None
            return (*findings, blindness) if blindness else findings
        another = other_input(model, x, y)
        findings = (*findings, another) if another else findings
        defect = not_a_distribution(model.output, outputs)
        if defect is None and bool(right.any()):
            # The outputs that an attacker differentiates count: a smoothed model may return votes that show
            # only a class, and yet offer the mean of the softmax.
            source = next(iter(model.sources.values()))
            with torch.no_grad():
                surrogate, _ = source.surrogate(x)
            defect = output_defect(model, source, surrogate, y, right)
            defect = defect or gradient_defect(model, x[right], y[right])
            defect = defect or _blindness(model, x[right], y[right])
            defect = defect or scale_dependence(model, x[right], y[right])
        return (*findings, defect) if defect else findings


def _blindness(model: Model, x: Images, y: Labels) -> Finding | None:
    return blind_at_the_ends(model, x, y) or hidden_pixels(model, x, y)
