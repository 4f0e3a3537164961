"""Does a short plain ascent break images that an attack left standing?

The survivors of an unknown attack prove little: an attack that discards its steps, descends, or takes far too
short steps breaks nothing, and neither does a correct attack with bad options. Most of our attacks are
watched during their ascent (`not-converged`). After any other attack, ten steps of PGD (Madry et al. 2018,
arXiv:1706.06083) start from some of the surviving images; if they break, the attack's accuracy is too high.

Where a model's scores hide the way from the usual loss at some radius (`flat-output`), the survivors of every
attack with gradients are asked at the radius of its own threat, by an ascent of their margin.
"""

from __future__ import annotations

from robench.attack.losses import cross_entropy, score_margin
from robench.judge.survivors import Survivors
from robench.plurals import counted
from robench.record.schema import Finding

STEPS = 10

MOST_ASKED = 32
"""Most surviving images to try, spread evenly over all; in a joint batch all images are tried."""

FEWEST_BROKEN = 3
NOTABLE = 0.02
"""A finding is raised if, by the tried images, the accuracy is too high by at least this share."""

MARGIN_STEPS = 20
MOST_ON_MARGIN = 128
"""Steps on the margin, and most images they start from: more than above, for they are to lift a doubt."""

FLAT_OUTPUT = "flat-output"
TRIED = "scale-tried"
NEGLIGIBLE = 0.01
"""The doubt, and what lifts it: by the tried images, the accuracy is too high by at most this share."""


def weaker_than_pgd(survivors: Survivors) -> Finding | None:
    """Run plain PGD on some of the surviving images; return a finding if too many of them break."""
    loss, count = survivors.fallen(cross_entropy, STEPS, most=MOST_ASKED)
    if not is_notable(survivors, loss, count):
        return None
    return Finding(
        code="weaker-than-pgd",
        evidence=f"{STEPS} plain steps of PGD broke {loss} of {counted(count, 'image')} that it left "
        "standing",
        remedy="Run `pgd`, `apgd` or a preset beside it; of an attack of your own look at the sign of its "
        "steps, at their length, and at what it returns",
    )


def is_notable(survivors: Survivors, loss: int, count: int) -> bool:
    """Tell whether by so many broken ones of the tried survivors the accuracy is too high by 2 % or more."""
    excess = loss / max(count, 1) * int(survivors.stands.sum())
    return loss >= min(FEWEST_BROKEN, count) and excess >= max(NOTABLE * len(survivors.x), 1)


def scale_at_this_radius(survivors: Survivors) -> Finding:
    """Climb the margin of surviving images: does the scale of the scores matter under this very threat?

    Returns:
        `scale-tried` if hardly any image breaks, which lifts `flat-output`; else `flat-output`, in numbers.
    """
    loss, count = survivors.fallen(score_margin, MARGIN_STEPS, most=MOST_ON_MARGIN)
    excess = loss / max(count, 1) * int(survivors.stands.sum())
    result = f"broke {loss} of {counted(count, 'image')} that it left standing"
    evidence = f"{MARGIN_STEPS} steps on the margin, which no scale changes, {result}"
    if not count:
        evidence = "it left no image standing"
    if excess <= NEGLIGIBLE * len(survivors.x):
        return Finding(code=TRIED, evidence=evidence, remedy="Nothing: it lifts the doubt about the scale")
    return Finding(
        code=FLAT_OUTPUT,
        evidence=evidence,
        remedy="Add an attack whose loss the size of the scores does not change (margin, DLR)",
    )
