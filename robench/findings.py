"""Reasons to doubt a number that an attack met on its way; the judge adds those it meets itself."""

from __future__ import annotations

from collections.abc import Collection

import torch

from robench.oracle import Ledger
from robench.record import Finding, Status

EXPLAIN_ZERO_GRADIENTS = frozenset(
    {"label-only", "no-gradient", "saturated-output", "exploding-output", "undeclared-simplex"}
)
"""Defects of a model that its zero gradients only follow from."""


def ledger_findings(ledger: Ledger, status: list[Status], known: Collection[str] = ()) -> tuple[Finding, ...]:
    """Return what the attack met on the way that makes its survivors doubtful.

    Args:
        ledger: of the attack.
        status: the judge's verdicts.
        known: codes of findings about the model itself; what only follows from them is left out.
    """
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
    if stuck and not EXPLAIN_ZERO_GRADIENTS & set(known):
        found.append(
            Finding(
                code="zero-gradient",
                evidence=f"the gradient was exactly zero at every step for {stuck} of "
                f"{int(survived.sum())} images that survived",
                remedy="Their robustness is unproven: attack through another gradient source or without one",
            )
        )
    return tuple(found)
