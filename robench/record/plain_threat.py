"""A threat in words for those who need only what is unusual of it."""

from __future__ import annotations

from robench.plan.spec import KNOWN, TEMPLATE, WEIGHTS
from robench.record.threat_summary import ThreatSummary


def plain_text(threat: ThreatSummary, eps_text: str = "", *, graph: bool = False) -> str:
    """Return a threat in one line, without what an attacker knows where that is usual.

    Args:
        threat: the threat.
        eps_text: the radius as the user wrote it.
        graph: whether a model has a graph head, and so a template: then it is said that it is known.
    """
    knowledge = threat.knowledge
    if not graph and knowledge is not None:
        # Without a graph head there is no template that could be known or not.
        knowledge = tuple(word for word in knowledge if word != TEMPLATE)
    if knowledge == (WEIGHTS,) and not graph:
        knowledge = None
    return threat._replace(knowledge=knowledge).text(eps_text)


def setting_text(threat: ThreatSummary) -> str:
    """Return a threat in one line, for models of which it is not known what heads they have."""
    return threat._replace(knowledge=None if threat.knowledge == KNOWN else threat.knowledge).text()
