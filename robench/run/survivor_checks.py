"""Short ascents from the images that an attack left standing, where its attacker may make them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from robench.attack.craft import Crafted
from robench.attack.threat import targets_under
from robench.judge.dead_pixels import is_asked_about_dead_pixels, through_dead_pixels
from robench.judge.reference_ascent import (
    FLAT_OUTPUT,
    is_asked,
    is_asked_on_margin,
    scale_at_this_radius,
    weaker_than_pgd,
)
from robench.judge.shattered_gradients import along_averages, is_asked_beside
from robench.judge.survivors import Survivors
from robench.randomness import Randomness
from robench.record.schema import Finding, Status
from robench.run.jobs import Unit


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

    Nothing is asked that the threat hides: no template, no noise, no weights.

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
    threat, attack, ledger = crafting.threat, crafting.attack, crafted.ledger
    if crafting.attacked is not crafting.source or crafting.hides_noise:
        return ()  # this attacker does not see the judged model
    stands = torch.tensor([one is Status.ROBUST for one in status])
    pgd = is_asked(attack, threat, ledger, stands)
    margin = FLAT_OUTPUT in known and is_asked_on_margin(attack, threat, ledger)
    dead = is_asked_about_dead_pixels(attack, threat, ledger, stands)
    beside = is_asked_beside(attack, threat, ledger, stands)
    if not model.sources or not (pgd or margin or dead or beside):
        return ()
    source = model.sources.get(crafting.gradient_source) or next(iter(model.sources.values()))
    if model.template and "template" not in threat.knowledge and not source.template_free:
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
    findings = [weaker_than_pgd(survivors)] if pgd else []
    if margin:
        findings.append(scale_at_this_radius(survivors))
    if dead:
        findings.append(through_dead_pixels(survivors))
    if beside:
        findings.append(along_averages(survivors))
    return tuple(finding for finding in findings if finding)
