"""Does a short plain ascent break images that an attack left standing?

The survivors of an unknown attack prove little: an attack that discards its steps, descends, or takes far too
short steps breaks nothing, and neither does a correct attack with bad options. Most of our attacks are
watched during their ascent (`not-converged`). After any other attack, ten steps of PGD (Madry et al. 2018,
arXiv:1706.06083) start from some of the surviving images; if they break, the attack's accuracy is too high.
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
"""Length of a step in radii, as in Madry et al. 2018, section 5, and in our `pgd`."""

MOST_ASKED = 32
"""Most surviving images to try, spread evenly over all; in a joint batch all images are tried."""

FEWEST_BROKEN = 3
NOTABLE = 0.02
"""A finding is raised if, by the tried images, the accuracy is too high by at least this share."""

AGAIN = 2
"""How often a point that breaks an image is classified again: a random model may be wrong by chance."""


def is_asked(attack: Attack, threat: ThreatModel, ledger: Ledger, survivors: Mask) -> bool:
    """Tell whether the ascent is tried on an attack's survivors (B,).

    Not if nothing survives, if the ascent of our own attack was watched, if the attack used a single gradient
    (`weak-attacks-only` covers that), or if the threat does not allow gradients or so many passes. Foreign
    code may use a ball of its own, in which its loss converges at once, so watching its ascent is not enough.
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
    """Run the ascent on some of the surviving images; return a finding if too many of them break.

    Args:
        model: the model that was attacked and judged.
        x: clean images (B, C, H, W).
        labels: their labels (B,), or the target classes under a targeted goal.
        survivors: which images the attack left standing (B,).
        threat: the radius, the box and the goal.
        source: the gradient source.
        rng: draws the images' random starts.
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
    """Return at most `most` of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    places = torch.linspace(0, len(rows) - 1, most).round().to(torch.int64)
    return rows[places.to(rows.device)]
