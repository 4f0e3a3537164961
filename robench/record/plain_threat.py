"""A threat in words, with only its unusual parts."""

from __future__ import annotations

from robench.plan.spec import KNOWN, TEMPLATE, WEIGHTS
from robench.record.threat_summary import ThreatSummary


def plain_text(threat: ThreatSummary, eps_text: str = "", *, graph: bool = False) -> str:
    """Return a threat in one line; the attacker's knowledge is left out if it is the usual one.

    Args:
        threat: the threat.
        eps_text: the radius as the user wrote it.
        graph: whether a model has a graph head, and so a template: then the text says that it is known.
    """
    knowledge = threat.knowledge
    if not graph and knowledge is not None:
        # Without a graph head there is no template to know.
        knowledge = tuple(word for word in knowledge if word != TEMPLATE)
    if knowledge == (WEIGHTS,) and not graph:
        knowledge = None
    return threat._replace(knowledge=knowledge).text(eps_text)


def setting_text(threat: ThreatSummary) -> str:
    """Return a threat in one line, for models with unknown heads."""
    return threat._replace(knowledge=None if threat.knowledge == KNOWN else threat.knowledge).text()
