"""What counts: the verdict on every proposed image, findings that make a number doubtful, and probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face

if TYPE_CHECKING:
    from robench.attack.questions import reached as reached
    from robench.judge.answer_probes import RANDOM as RANDOM
    from robench.judge.attack_findings import ledger_findings as ledger_findings
    from robench.judge.certification import Certificate as Certificate
    from robench.judge.certification import certify as certify
    from robench.judge.certification import smoothed_network as smoothed_network
    from robench.judge.probes import probe as probe
    from robench.judge.verdict import classify as classify
    from robench.judge.verdict import fresh_outcomes as fresh_outcomes
    from robench.judge.verdict import judge as judge
    from robench.judge.verdict import landing as landing

__getattr__, __dir__, __all__ = face(__name__, __file__)
