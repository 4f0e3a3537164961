"""Certified lower bounds of robustness: which images no attack can break.

To be read in this order: `methods` (the door), `certifier`, `network`, `backward`, `rectifier`, `search`,
`decision`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face

if TYPE_CHECKING:
    from robench.bounds.certifier import Certifier as Certifier
    from robench.bounds.certifier import lower_bounds as lower_bounds
    from robench.bounds.decision import branch_and_bound as branch_and_bound
    from robench.bounds.decision import outcomes_of as outcomes_of
    from robench.bounds.methods import certified_outcomes as certified_outcomes
    from robench.bounds.search import Budget as Budget
    from robench.bounds.search import Outcome as Outcome
    from robench.bounds.search import Verdict as Verdict

__getattr__, __dir__, __all__ = face(__name__, __file__)
