"""Does a model give an image the same answer again: asked once more, asked first, in another batch?

What a network does when it is asked for the first time (drawing a mask, making a layer, calibrating itself)
is undone after every attack and every judgement, which then meet other networks. So it is asked as if it had
never been asked before, several times, each under chance of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from robench.model.evaluation import evaluation_mode
from robench.model.interface import Coupling, Model
from robench.model.rounding import beyond_rounding
from robench.model.tested_network import networks_under_test
from robench.plurals import counted
from robench.randomness import borrowed_global_randomness
from robench.record.schema import Finding
from robench.types import Images, Outputs

IMAGES = 64
"""Most images that are asked about."""

ROUNDING = 1e-3
"""Largest difference of scores that another batch may make by rounding, by how far the scores are apart."""

EXPECTATION = (
    "If it is not meant to be random, look for batch-norm or dropout that stay in training mode; else attack "
    "the expectation over the randomness (EOT), and draw it by `robench.model.noise`"
)
CALLED_BEFORE = "Call the network once before it is measured, so that what it draws or makes then is fixed"

RANDOM = "random-output"
"""Code of a network that is random by itself: the judge then asks it under fresh noise."""


class FirstAnswers(NamedTuple):
    """Answers of a network as it is before it was ever asked.

    Attributes:
        one: to all images, (B, K).
        other: the same again, under other chance.
        alone: to the first image alone, (1, K).
        turned: to all images in the other order, (B, K) in that of `one`.
    """

    one: Tensor
    other: Tensor
    alone: Tensor
    turned: Tensor


def first_answers(model: Model, x: Images) -> FirstAnswers | None:
    """Ask a model as if for the first time, several times; it is left as it was.

    Of a joint model, whose graph would be made anew each time, the user's network in it is asked about the
    first `IMAGES`; None where it has none.

    Args:
        model: not in a block of evaluation mode, in which it may have been asked before.
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
    """Return the finding if the network writes into its images (B, C, H, W), given `most` of them at once."""
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
    """Return the finding if an answer is another one when the model is asked again.

    Images are asked again, as if for the first time too, and so are blends of two: a network may be random
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
    model: Model, x: Images, outputs: Outputs, first: FirstAnswers | None, whole: Tensor
) -> Finding | None:
    """Return the finding if an answer depends on the order or the rest of the batch.

    A joint model may depend on its batch, but not on its order.

    Args:
        model: in evaluation mode.
        x: clean images (B, C, H, W).
        outputs: its answers to them.
        first: what it answers before it was ever asked.
        whole: the same and those after them, (N, C, H, W), as many as a pass holds.
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
    """Return the model's answers (B, K) to images, without gradients, in memory of their own."""
    with torch.no_grad():
        outputs: Outputs = model.net(x)
    return outputs.clone()


def differences(first: Tensor, second: Tensor) -> Tensor:
    """Tell per image whether two answers (B, K) differ by more than rounding; masked classes are alike."""
    return beyond_rounding(first, second, tolerance=ROUNDING)
