"""Short ascents from the images that an attack left standing, where its attacker may make them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import torch

from robench.attack.craft import Crafted
from robench.attack.ledger import Ledger
from robench.attack.protocol import Attack
from robench.attack.threat import targets_under
from robench.judge import dead_pixels, reference_ascent, shattered_gradients
from robench.judge.survivors import Survivors
from robench.randomness import Randomness
from robench.record.schema import Finding, Status
from robench.run.jobs import Unit
from robench.types import Mask

Question = Callable[[Survivors], Finding | None]


def survivor_findings(
    unit: Unit,
    crafted: Crafted | None,
    status: Sequence[Status],
    known: Collection[str],
    *,
    seed: int,
    batch_size: int,
) -> tuple[Finding, ...]:
    """Return what ascents from the survivors of a white-box attack show; nothing for any other unit.

    Nothing is asked that the threat hides: no template, no noise, no weights; and no more passes are made
    than its budget allows.

    Args:
        unit: what was judged.
        crafted: what the attack returned; None for a clean unit.
        status: the verdict on each image (B,).
        known: codes of findings about the model itself.
        seed: of the random starts.
        batch_size: most images in a pass.
    """
    crafting, model = unit.crafting, unit.target.model
    if crafted is None or crafting is None or not unit.white_box:
        return ()
    threat = crafting.threat
    if crafting.attacked is not crafting.source or crafting.hides_noise or not model.sources:
        return ()  # this attacker does not see the judged model
    if not threat.bounded or "weights" not in threat.knowledge:
        return ()
    stands = torch.tensor([one is Status.ROBUST for one in status])
    most = float("inf") if threat.budget is None else threat.budget / 2
    questions = _questions(crafting.attack, crafted.ledger, stands, known)
    allowed_questions = [question for gradients, question in questions if gradients <= most]
    source = model.sources.get(crafting.gradient_source) or next(iter(model.sources.values()))
    if not allowed_questions or (
        model.template and "template" not in threat.knowledge and not source.template_free
    ):
        return ()
    x, y = (part.to(model.device) for part in unit.shard.data.batch(slice(None)))
    target_classes = targets_under(threat.goal, y, model.classes)
    survivors = Survivors(
        model=model,
        x=x,
        labels=y if target_classes is None else target_classes,
        stands=stands,
        threat=threat,
        source=source,
        rng=Randomness(seed, unit.shard.data.indices.to(model.device)),
        batch_size=batch_size,
    )
    findings = [question(survivors) for question in allowed_questions]
    return tuple(finding for finding in findings if finding)


def _questions(
    attack: Attack, ledger: Ledger, stands: Mask, codes: Collection[str]
) -> Iterator[tuple[int, Question]]:
    """Yield the questions that an attack's survivors (B,) call for, each with its number of gradients.

    None after a control or a single gradient: `weak-attacks-only` covers those.
    """
    gradients = int(ledger.gradients.max())
    if attack.info.control or gradients == 1:
        return
    if gradients and reference_ascent.FLAT_OUTPUT in codes:
        yield reference_ascent.MARGIN_STEPS, reference_ascent.scale_at_this_radius
    if not bool(stands.any()):
        return
    if not _is_watched(attack, ledger, stands):
        yield reference_ascent.STEPS, reference_ascent.weaker_than_pgd
    yield dead_pixels.GRADIENTS, dead_pixels.through_dead_pixels
    if gradients:
        yield shattered_gradients.GRADIENTS, shattered_gradients.along_averages


def _is_watched(attack: Attack, ledger: Ledger, stands: Mask) -> bool:
    """Tell whether it was seen that the loss of survivors (B,) rose: of our own attacks alone.

    Foreign code may use a ball of its own, in which its loss converges at once, so watching is not enough.
    """
    info = attack.info
    is_ours = type(attack).__module__.startswith("attacks.") and info.library == "robench" and not info.code
    return is_ours and bool((ledger.rise[stands] > 0).any())
