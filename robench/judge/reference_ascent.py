"""Does a short plain ascent break what an attack left standing?

What an untried attack leaves says little: one that forgets its steps, walks down, or walks a thousandth of
the way leaves everything, and so does a sound one with unlucky options. Most of ours are watched while they
climb (`not-converged`). After any other, ten steps of PGD (Madry et al. 2018, arXiv:1706.06083) climb from
some of the images that stand; where that breaks them, the attack's number is too high.
"""

from __future__ import annotations

import torch

from robench.attack.ledger import Ledger
from robench.attack.losses import cross_entropy
from robench.attack.oracle import Oracle
from robench.attack.protocol import Attack
from robench.attack.threat import ThreatModel
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Coupling, GradientSource, Model
from robench.plurals import counted
from robench.randomness import Randomness
from robench.record.schema import Finding
from robench.types import Images, Labels, Mask

STEPS = 10
STEP = 2.5 / STEPS
"""Length of a step in radii, as Madry et al. 2018, section 5, and our `pgd` have it."""

MOST_ASKED = 32
"""Most surviving images that are climbed, spread evenly over all; of a joint batch all images are."""

FEWEST_BROKEN = 3
NOTABLE = 0.02
"""Share of the images by which a number has to be too high, as far as those asked tell."""

AGAIN = 2
"""How often a point that breaks an image is asked about once more: a random model may be wrong by chance."""


def is_asked(attack: Attack, threat: ThreatModel, ledger: Ledger, survivors: Mask) -> bool:
    """Tell whether an attack's survivors (B,) are climbed.

    Not where nothing stands, where an attack of ours was seen climbing, where it asked for one gradient alone
    (`weak-attacks-only` tells that), and where the threat does not grant the gradient or so many passes.
    What others' code climbs may be a ball of its own, in which its loss settles at once.
    """
    info = attack.info
    if info.control:
        return False
    if not bool(survivors.any()) or not threat.bounded or "weights" not in threat.knowledge:
        return False
    if threat.budget is not None and threat.budget < 2 * STEPS:
        return False
    is_ours = type(attack).__module__.startswith("attacks.") and info.library == "robench" and not info.code
    is_watched = is_ours and bool((ledger.rise[survivors] > 0).any())
    return not is_watched and int(ledger.gradients.max()) != 1


def weaker_than_pgd(
    model: Model,
    x: Images,
    labels: Labels,
    survivors: Mask,
    *,
    threat: ThreatModel,
    source: GradientSource,
    rng: Randomness,
    batch_size: int,
) -> Finding | None:
    """Climb some of the images that stand; return a finding if too many of them fall.

    Args:
        model: the model that was attacked and judged.
        x: clean images (B, C, H, W).
        labels: theirs (B,), or the target classes under a targeted goal.
        survivors: those that the attack left standing (B,).
        threat: the radius, the box and the goal.
        source: what is differentiated.
        rng: of the images' random starts.
        batch_size: most images in a pass.
    """
    standing = survivors.nonzero().flatten()
    is_joint = model.coupling is Coupling.JOINT
    rows = torch.arange(len(x)) if is_joint else _spread(standing, MOST_ASKED)
    rows = rows.to(x.device)
    oracle = Oracle(
        model,
        x[rows].clone(),
        labels[rows].clone(),
        threat,
        source=source,
        drop=not is_joint,
        batch_size=batch_size,
    )
    starts = Randomness(rng.seed, rng.images[rows], (*rng.stream, "reference ascent"))
    with evaluation_mode(model.net):
        point = threat.sample(oracle.x, starts)
        for _ in range(STEPS):
            if oracle.finished:
                break
            gradient = oracle.gradient(cross_entropy, point)
            point = threat.project(oracle.x, point + STEP * threat.eps * threat.norm.ascent(gradient))
        point = oracle.proposal(point)
        again = Oracle(model, oracle.x, oracle.y, threat, batch_size=batch_size)
        falls = torch.ones(len(rows), dtype=torch.bool, device=x.device)
        for _ in range(AGAIN):
            falls &= again.successful(point)
    is_survivor = survivors.to(x.device)[rows]
    count, loss = int(is_survivor.sum()), int((falls & is_survivor).sum())
    excess = loss / max(count, 1) * len(standing)
    if loss < min(FEWEST_BROKEN, count) or excess < max(NOTABLE * len(x), 1):
        return None
    return Finding(
        code="weaker-than-pgd",
        evidence=f"{STEPS} plain steps of PGD broke {loss} of {counted(count, 'image')} that it left "
        "standing",
        remedy="Run `pgd`, `apgd` or a preset beside it; of an attack of your own look at the sign of its "
        "steps, at their length, and at what it returns",
    )


def _spread(rows: torch.Tensor, most: int) -> torch.Tensor:
    """Return at most so many of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    places = torch.linspace(0, len(rows) - 1, most).round().to(torch.int64)
    return rows[places.to(rows.device)]
