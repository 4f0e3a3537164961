"""Reasons to doubt a number that an attack met on its way; the judge adds those it meets itself."""

from __future__ import annotations

import torch

from robench.oracle import Ledger
from robench.record import Finding, Status


def ledger_findings(ledger: Ledger, status: list[Status]) -> tuple[Finding, ...]:
    """Return what the attack met on the way that makes its survivors doubtful."""
    survived = torch.tensor([s is Status.ROBUST for s in status], dtype=torch.bool)
    found = []
    nonfinite = int((ledger.nonfinite & survived).sum())
    if nonfinite:
        found.append(
            Finding(
                code="nonfinite",
                evidence=f"outputs or gradients were not finite for {nonfinite} images that survived",
                remedy="Use a loss or a gradient source that stays finite",
            )
        )
    # Gradients that were zero at every step never gave the attack a direction.
    asked = ledger.backwards.clamp_min(1)
    stuck = int(((ledger.zero_gradient >= asked) & (ledger.backwards > 0) & survived).sum())
    if stuck:
        found.append(
            Finding(
                code="zero-gradient",
                evidence=f"the gradient was exactly zero at every step for {stuck} of "
                f"{int(survived.sum())} images that survived",
                remedy="Their robustness is unproven: attack through another gradient source or without one",
            )
        )
    return tuple(found)
