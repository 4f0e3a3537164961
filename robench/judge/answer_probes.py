"""Does a model give an image the same output in a second call, in its first call, and in another batch?

Some networks change in their first call (draw a mask, make a layer, calibrate themselves). This is undone
after every attack and every judgement, so that each of them would meet another network. So the probes repeat
the first call several times, each with other random numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robench.model.evaluation import evaluation_mode
from robench.model.interface import Coupling, Model
from robench.model.rounding import beyond_rounding
from robench.model.tested_network import networks_under_test
from robench.plurals import counted
from robench.randomness import borrowed_global_randomness
from robench.record.schema import Finding
from robench.types import Images, Mask, Outputs

IMAGES = 64
"""Most images per probe."""

ROUNDING = 1e-3
"""Largest rounding difference of scores between batches, relative to the spread of the scores."""

EXPECTATION = (
    "If it is not meant to be random, look for batch-norm or dropout that stay in training mode; else attack "
    "the expectation over the randomness (EOT), and draw it by `robench.model.noise`"
)
CALLED_BEFORE = "Call the network once before it is measured, so that what it draws or makes then is fixed"

RANDOM = "random-output"
"""Code for a network that is random without declaring it: the judge then calls it under fresh noise."""


class FirstAnswers(NamedTuple):
    """Outputs of a network in its first call.

    Attributes:
        one: for all images, (B, K).
        other: the same, with other random numbers.
        alone: for the first image alone, (1, K).
        turned: for all images in reversed order, (B, K), put back into the order of `one`.
    """

    one: Tensor
    other: Tensor
    alone: Tensor
    turned: Tensor


def first_answers(model: Model, x: Images) -> FirstAnswers | None:
    """Repeat the first call of a model several times; the model is not changed.

    For a joint model, whose graph would be built each time, the user's network in it is called with the first
    `IMAGES` images; None if it has no such network.

    Args:
        model: outside any block of evaluation mode, because there it may have been called before.
        x: clean images (B, C, H, W).
    """
    net: nn.Module = model.net
    if model.coupling is Coupling.JOINT:
        networks = networks_under_test(net)
        if not networks:
            return None
        net, x = networks[0], x[:IMAGES]

    def ask(images: Tensor, chance: int) -> Tensor:
        with borrowed_global_randomness(chance), evaluation_mode(net), torch.no_grad():
            outputs: Tensor = net(images)
        return outputs.clone()

    return FirstAnswers(ask(x, 0), ask(x, 1), ask(x[:1], 0), ask(x.flip(0), 0).flip(0))


def changes_input(model: Model, x: Images, most: int) -> tuple[Finding, ...]:
    """Return the finding if the network writes into its images (B, C, H, W), at most `most` per pass."""
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


def random_output(model: Model, x: Images, outputs: Outputs, first: FirstAnswers | None) -> Finding | None:
    """Return the finding if a second call gives a different output.

    Tries the images again, also in a repeated first call, and blends of two images: a network may be random
    only where it is unsure.

    Args:
        model: in evaluation mode.
        x: clean images (B, C, H, W).
        outputs: its answers to them.
        first: what it answers before it was ever asked.
    """
    if bool((different := differences(outputs, answers(model, x))).any()):
        images = counted(len(x), "image")
        evidence = f"{int(different.sum())} of {images} got another answer when asked again"
        return Finding(code=RANDOM, evidence=evidence, remedy=EXPECTATION)
    if first and bool((different := differences(first.one, first.other)).any()):
        images = counted(len(first.one), "image")
        evidence = f"{int(different.sum())} of {images} got another answer when asked first"
        return Finding(code=RANDOM, evidence=evidence, remedy=CALLED_BEFORE)
    if model.coupling is Coupling.JOINT:
        return None
    if first and bool((different := differences(first.one, outputs)).any()):
        images = counted(len(x), "image")
        evidence = f"{int(different.sum())} of {images} got another answer when asked first than later"
        return Finding(code=RANDOM, evidence=evidence, remedy=CALLED_BEFORE)
    blends = (x + x.flip(0)) / 2
    if bool((different := differences(answers(model, blends), answers(model, blends))).any()):
        evidence = (
            f"{int(different.sum())} of {len(x)} blends of two images got another answer when asked again"
        )
        return Finding(code=RANDOM, evidence=evidence, remedy=EXPECTATION)
    return None


def batch_dependence(
    model: Model, x: Images, outputs: Outputs, first: FirstAnswers | None, whole: Float[Tensor, "N C H W"]
) -> Finding | None:
    """Return the finding if an output depends on the order or on the rest of the batch.

    A joint model may depend on its batch, but not on its order.

    Args:
        model: in evaluation mode.
        x: clean images (B, C, H, W).
        outputs: its answers to them.
        first: what it answers before it was ever asked.
        whole: the same images and those after them, (N, C, H, W), as many as fit into a pass.
    """
    order = torch.arange(len(x), device=x.device).flip(0)
    different = differences(outputs, answers(model, x[order])[order])
    if model.coupling is not Coupling.JOINT and len(x) > 1:
        half = max(len(x) // 2, 1)
        parts = torch.cat([answers(model, part) for part in torch.split(x, half)])
        different |= differences(outputs, parts)
        different[0] |= bool(differences(outputs[:1], answers(model, x[:1])))
        if len(whole) > len(x):
            different |= differences(outputs, answers(model, whole)[: len(x)])
    if first and not bool(different.any()):
        different = differences(first.one, first.turned)
        different[0] |= bool(differences(first.one[:1], first.alone))
    if not bool(different.any()):
        return None
    return Finding(
        code="batch-dependence",
        evidence=f"the answer to {int(different.sum())} of {counted(len(different), 'image')} "
        "depends on the rest of the batch",
        remedy="Put the model into evaluation mode, or declare it joint; one that calibrates itself on its "
        "first batch is called before it is measured",
    )


def answers(model: Model, x: Images) -> Outputs:
    """Return the model's outputs (B, K) for images, without gradients, as a new tensor."""
    with torch.no_grad():
        outputs: Outputs = model.net(x)
    return outputs.clone()


def differences(first: Outputs, second: Outputs) -> Mask:
    """Tell per image whether two outputs (B, K) differ by more than rounding; masked classes are equal."""
    return beyond_rounding(first, second, tolerance=ROUNDING)
