"""Findings, reasons to doubt a number, from an attack's ledger; the judge adds its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch

from robench.attack.ledger import Ledger
from robench.plurals import counted
from robench.record.schema import Finding, Status

VERSION = 4
"""Goes into the key of units with findings of an attack on the model itself."""

TRANSFER_VERSION = 3
"""Goes into the key of units of images that were crafted on another model."""

MOST_LATE_RISE = 0.05
"""In a converged ascent the last steps bring at most this share of the loss's rise."""

NOTABLE = 0.01
"""Least share of the images for which survivors of a failed attack count: one point of accuracy."""

MOST = 0.5
"""Least share of the survivors for which a surrogate's failure to transfer counts."""

EXPLAIN_ZERO_GRADIENTS = frozenset(
    {
        "label-only", "no-gradient", "not-a-distribution", "saturated-output", "exploding-output",
        "undeclared-simplex",
    }
)  # fmt: skip
"""Defects of a model that cause zero gradients."""

EXPLAIN_UNSETTLED = frozenset(
    {"random-output", "batch-dependence", "wrong-gradient", "exploding-output", "unstable-predictions"}
)
"""Defects of a model whose loss never converges, however long the ascent."""


def ledger_findings(
    ledger: Ledger, status: list[Status], known: Collection[str] = (), *, owner: str = "the library"
) -> tuple[Finding, ...]:
    """Return the findings of an attack that make its survivors doubtful.

    Args:
        ledger: of the attack.
        status: the judge's verdicts.
        known: codes of findings about the model itself; their consequences are left out.
        owner: owner of the attack's code, for the evidence text.
    """
    survivors = torch.tensor([s is Status.ROBUST for s in status], dtype=torch.bool)
    findings = (
        _nonfinite(ledger, survivors),
        _zero_gradient(ledger, survivors, known),
        _not_converged(ledger, survivors, known),
        _transfer_failure(ledger, survivors),
        _silent_success(ledger, status, owner),
        _unconfirmed(ledger, status, known),
    )
    return tuple(finding for finding in findings if finding)


def _nonfinite(ledger: Ledger, survivors: torch.Tensor) -> Finding | None:
    count = int((ledger.nonfinite & survivors).sum())
    if not count:
        return None
    return Finding(
        code="nonfinite",
        evidence=f"outputs or gradients were not finite for {counted(count, 'image')} that survived",
        remedy="Use a loss or a gradient source that stays finite",
    )


def _zero_gradient(ledger: Ledger, survivors: torch.Tensor, codes: Collection[str]) -> Finding | None:
    """Find images whose gradients were zero at every step: the attack never had a direction."""
    gradients = ledger.gradients  # not `backwards`: one gradient may need several backward passes
    stuck = int(((ledger.zero_gradient >= gradients) & (gradients > 0) & survivors).sum())
    if not stuck or EXPLAIN_ZERO_GRADIENTS & set(codes):
        return None
    return Finding(
        code="zero-gradient",
        evidence=f"the gradient was exactly zero at every step for {stuck} of "
        f"{counted(int(survivors.sum()), 'image')} that survived",
        remedy="Their robustness is unproven: attack through another gradient source or without one",
    )


def _not_converged(ledger: Ledger, survivors: torch.Tensor, codes: Collection[str]) -> Finding | None:
    """Find ascents whose loss still rose when they ended (Pintor et al. 2022, incomplete optimisation)."""
    rising = survivors & (ledger.rise > 0)
    share = (ledger.late_rise / ledger.rise.clamp_min(1e-300))[rising]
    open_ended = int((share > MOST_LATE_RISE).sum())
    if open_ended < max(NOTABLE * len(survivors), 1) or float(share.mean()) <= MOST_LATE_RISE:
        return None
    if EXPLAIN_UNSETTLED & set(codes):
        return None
    return Finding(
        code="not-converged",
        evidence=f"the loss of {open_ended} of {counted(int(survivors.sum()), 'image')} "
        "that survived was still rising: "
        f"the last steps brought {float(share.mean()):.0%} of its rise",
        remedy="More steps, or a step size that lets the attack settle",
    )


def _transfer_failure(ledger: Ledger, survivors: torch.Tensor) -> Finding | None:
    """Find survivors that fooled the surrogate but not the model (Pintor et al. 2022)."""
    count, standing = int((ledger.deceived & survivors).sum()), int(survivors.sum())
    if count < max(NOTABLE * len(survivors), 1) or count <= MOST * standing:
        return None
    return Finding(
        code="transfer-failure",
        evidence=f"the surrogate was fooled and the model was not on {count} of {counted(standing, 'image')} "
        "that survived",
        remedy="The surrogate says nothing more there: attack through a source closer to the model",
    )


def _unconfirmed(ledger: Ledger, status: list[Status], codes: Collection[str]) -> Finding | None:
    """Find images that are broken for the attack at the point it proposes, but not for the judge."""
    robust = torch.tensor([s is Status.ROBUST for s in status], dtype=torch.bool)
    count = int((ledger.claimed & robust).sum())
    if not count or {"random-output", "batch-dependence"} & set(codes):
        return None
    return Finding(
        code="unconfirmed",
        evidence=f"{count} of {counted(len(status), 'image')} "
        "that the attack saw broken stood when the judge asked",
        remedy="They count as robust, and may not be: the network's answers hang on rounding, order or batch",
    )


def _silent_success(ledger: Ledger, status: list[Status], owner: str) -> Finding | None:
    """Find images that foreign code broke on the way but did not return broken (Pintor et al. 2022)."""
    # An image that was wrong from the start was not broken, and any step may bring it back to its label.
    right = torch.tensor([s is not Status.MISCLASSIFIED for s in status], dtype=torch.bool)
    count = int((ledger.silent & right).sum())
    if not count:
        return None
    return Finding(
        code="silent-success",
        evidence=f"{owner} broke {count} of {counted(len(ledger.silent), 'image')} "
        "on its way and returned others",
        remedy="They were judged by the points that broke them; its own count would be too high",
    )


def with_advice_for_authors(
    findings: Collection[Finding], ledger: Ledger, *, label: str = "the attack"
) -> tuple[Finding, ...]:
    """Return the findings with a remedy for the author of the attack.

    For proposals that were not finite, the text says which are not counted: if a point on the way broke an
    image, that point replaces the image that the user's attack returned, finite or not.

    Args:
        findings: of the judge.
        ledger: of the attack.
        label: the attack's column.
    """
    apart = "; those images apart that a point on the way had broken" if bool(ledger.silent.any()) else ""
    remedies = {
        "nonfinite-proposal": f"They were judged as the clean image: {label} returned NaN or infinity, where "
        "numbers in [0, 1] are expected",
        "inadmissible": f"They were projected and judged where they landed: {label} returned them, where "
        "pixels in [0, 1] within eps of the clean image are expected",
    }
    return tuple(
        replace(
            finding,
            evidence=finding.evidence + (apart if finding.code == "nonfinite-proposal" else ""),
            remedy=remedies.get(finding.code, finding.remedy),
        )
        for finding in findings
    )
