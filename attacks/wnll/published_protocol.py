"""The loop of the published evaluation: test and template images are one tensor, all of it perturbed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks.shared.options import finite_radius
from attacks.wnll.published_rows import Pairing, PublishedLoss
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.model.interface import OutputKind
    from robench.types import Images, Outputs


def climb_as_published(
    oracle: Oracle,
    x: Images,
    *,
    steps: int,
    step_size: float,
    pairing: Pairing,
    kind: OutputKind,
    perturb_template: bool,
) -> Images:
    """Return the last iterate of sign steps with a straight-through gradient, the template moving along.

    Each step asks for u with the moved template, sends dL/du through the linear branch into test and template
    images alike, and projects both on ball and box. The model's own template is not touched. The oracle is
    told to remember no point and to keep the batch whole: the published code classifies the last one.

    A model without neighbourhoods is climbed on cross-entropy of its own outputs.

    Args:
        oracle: the road to the model.
        x: clean images (B, C, H, W).
        steps: how many steps.
        step_size: their length in input units, in the threat model's norm.
        pairing: which row's loss is differentiated at which image.
        kind: what the loss takes u for; logits in the published code.
        perturb_template: whether a copy of the template moves at all.

    Raises:
        ConfigError: the radius is infinite, the goal targeted, or the model has neighbourhoods but no trained
            linear branch.
    """
    import torch

    from attacks.gradient.ifgsm import ascend
    from robench.attack.losses import cross_entropy
    from robench.attack.threat import Goal
    from robench.model.interface import GradientSource

    threat, around = oracle.threat, oracle.model.neighbourhood
    finite_radius(threat.eps, "the published evaluation")
    if threat.goal is Goal.TARGETED:
        raise ConfigError(where="goal", expected="untargeted, as published", got="targeted")
    oracle.track, oracle.batch_size = False, max(len(x), 1)
    if around is None:
        return ascend(oracle, x, x, threat=threat, loss=cross_entropy, steps=steps, step_size=step_size)
    if around.linear is None:
        raise ConfigError(
            where=f"model {oracle.model.name!r}",
            expected="a trained linear branch to send the gradient through",
            got="none",
            do="Attack it with graph_adaptive, or train the network",
        )
    linear = around.linear
    memory = around.memory()
    copy, points = memory.images, memory.points
    loss = PublishedLoss(memory.labels, pairing)

    def through_copy(images: Images) -> tuple[Outputs, Outputs]:
        z = around.features(images)
        u = around.classify(z.detach(), points)
        logits = linear(z)
        return u.to(logits.dtype) + (logits - logits.detach()), u

    source = GradientSource("published", through_copy, kind)
    each = -(-len(copy) // len(x))  # passes of the template, in passes per test image
    point = x
    for _ in range(steps):
        if oracle.finished or (perturb_template and not _affordable(oracle, 2 + 2 * each)):
            break
        if not perturb_template:
            gradient = oracle.gradient(loss, point, source=source)
        else:
            with torch.enable_grad():
                leaf = copy.detach().requires_grad_(True)
                z = around.features(leaf)
                logits = linear(z)
            points = z.detach()
            gradient = oracle.gradient(loss, point, source=source)
            (pull,) = torch.autograd.grad(logits, leaf, grad_outputs=loss.slope)
            copy = threat.project(memory.images, copy + step_size * threat.norm.ascent(pull))
            oracle.charge(forwards=each, backwards=each)
        point = threat.project(x, point + step_size * threat.norm.ascent(gradient))
    return point


def _affordable(oracle: Oracle, passes: int) -> bool:
    """Tell whether the budget of every image still has so many passes."""
    budget = oracle.threat.budget
    spent = int((oracle.ledger.forwards + oracle.ledger.backwards).max())
    return budget is None or spent + passes <= budget
