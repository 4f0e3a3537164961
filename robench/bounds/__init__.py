"""Certified lower bounds of robustness: which images no attack can break.

To be read in this order: `methods` (the entry), `certifier`, `network`, `backward`, `rectifier`, `search`.
"""

from robench.bounds.branch_and_bound import branch_and_bound, outcomes_of
from robench.bounds.certifier import Certifier, lower_bounds
from robench.bounds.methods import certified_outcomes
from robench.bounds.search import Budget, Outcome, Verdict

__all__ = [
    "Budget",
    "Certifier",
    "Outcome",
    "Verdict",
    "branch_and_bound",
    "certified_outcomes",
    "lower_bounds",
    "outcomes_of",
]
