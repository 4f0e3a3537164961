"""Was the network trained on images in another form than it gets: normalised, from 0 to 255, blue first?

A forgotten or doubled normalisation changes no shape and raises no error; the network answers worse, and
every number about its robustness is about another function. So if it names many images wrong, it is asked
about the same images in the forms that training programs use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from robench.model.interface import Coupling, Model, predictions
from robench.model.out_of_memory import is_out_of_memory
from robench.plurals import counted
from robench.record.measures.statistics import mcnemar
from robench.record.schema import Finding
from robench.types import Images, Labels, Mask

IMAGES = 64
LEAST_WRONG = 0.1
"""With a smaller share of wrong images no other form can name many more right, and none is tried."""

GAIN = 0.1
"""Smallest gain in accuracy that is reported."""

MENDED = 1 / 3
"""Smallest share of the wrong images that a form must mend: higher contrast may help any weak network."""

CHANCE = 1e-3
"""Largest probability of such a gain by luck (McNemar's test): several forms are tried."""

STATISTICS: dict[int, dict[str, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    3: {
        "ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "CIFAR-10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        "-1 to 1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    },
    1: {
        "MNIST": ((0.1307,), (0.3081,)),
        "Fashion-MNIST": ((0.2860,), (0.3530,)),
        "-1 to 1": ((0.5,), (0.5,)),
    },
}
"""Means and deviations by number of channels, for images in [0, 1]."""


class Form(NamedTuple):
    """Another form of images.

    Attributes:
        change: makes it from images (B, C, H, W) in [0, 1].
        description: what is done to the images.
        remedy: how to declare it.
    """

    change: Callable[[Images], Images]
    description: str
    remedy: str


def other_input(model: Model, x: Images, y: Labels) -> Finding | None:
    """Return `other-input` if the network names many more images right in another form.

    Args:
        model: in evaluation mode, not random and not joint: of these nothing is asked.
        x: clean images (B, C, H, W); the first ones are used.
        y: their labels (B,).

    Returns:
        The form that names most right; None if there is none, or if the model does not answer such images.
    """
    if model.random or model.coupling is Coupling.JOINT:
        return None
    x, y = x[:IMAGES], y[:IMAGES]
    usual = _right(model, x, y)
    if usual is None or not len(y) or float((~usual).float().mean()) < LEAST_WRONG:
        return None
    low, high = model.bounds
    unit = (x - low) / (high - low)
    best: tuple[int, Form] | None = None
    for form in _forms(x.shape[1], is_unit=(low, high) == (0, 1)):
        right = _right(model, form.change(unit).to(x.dtype), y)
        if right is None or not _is_better(usual, right):
            continue
        if best is None or int(right.sum()) > best[0]:
            best = int(right.sum()), form
    if best is None:
        return None
    count, form = best
    return Finding(
        code="other-input",
        evidence=f"it names {int(usual.sum())} of {counted(len(y), 'image')} right as it gets them, and "
        f"{count} {form.description}",
        remedy=form.remedy,
    )


def _forms(channels: int, *, is_unit: bool) -> list[Form]:
    if is_unit:
        scale = Form(
            lambda x: 255 * x, "with pixels from 0 to 255", "Multiply by 255 in front of the network"
        )
    else:
        scale = Form(lambda x: x, "with pixels from 0 to 1", "Give it images in [0, 1]")
    forms = [
        scale,
        Form(lambda x: 1 - x, "with black and white exchanged", "Invert the images in front of the network"),
    ]
    if channels == 3:
        forms.append(Form(lambda x: x.flip(1), "with blue first (BGR)", "Turn the channels in the network"))
    for name, (mean, std) in STATISTICS.get(channels, {}).items():
        m, s = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
        forms.append(
            Form(
                lambda x, m=m, s=s: (x - m.to(x)) / s.to(x),  # type: ignore[misc]
                f"normalised as usual for {name}",
                f"Declare `normalize: {{mean: {list(mean)}, std: {list(std)}}}` (`--mean`, `--std`)",
            )
        )
        forms.append(
            Form(
                lambda x, m=m, s=s: x * s.to(x) + m.to(x),  # type: ignore[misc]
                f"with a normalisation as usual for {name} undone",
                "Normalise only once: in the network or by `normalize`, not both",
            )
        )
    return forms


def _right(model: Model, x: Images, y: Labels) -> Mask | None:
    """Tell which images the model names right, (B,); None if it refuses them."""
    with torch.no_grad():
        try:
            outputs: Tensor = model.net(x)
        except Exception as error:  # a network may refuse images outside its box by any error
            if is_out_of_memory(error):
                raise
            return None
    return predictions(outputs, model.output) == y


def _is_better(usual: Mask, right: Mask) -> bool:
    more, fewer = int((right & ~usual).sum()), int((usual & ~right).sum())
    least = max(GAIN * len(usual), MENDED * int((~usual).sum()))
    return more - fewer >= least and mcnemar(more, fewer) < CHANCE
