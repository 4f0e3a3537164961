import pytest

from robench.record.plain_threat import plain_text, setting_text
from robench.record.threat_summary import ThreatSummary


@pytest.mark.parametrize(
    ("knowledge", "graph", "text"),
    [
        (None, False, "Linf 0.1, untargeted"),
        (("weights", "template"), False, "Linf 0.1, untargeted"),
        (("weights", "template"), True, "Linf 0.1, untargeted, weights and template known"),
        (("weights",), False, "Linf 0.1, untargeted"),
        (("weights",), True, "Linf 0.1, untargeted, weights known"),
        ((), False, "Linf 0.1, untargeted, only the model's answers known"),
        (("template",), False, "Linf 0.1, untargeted, only the model's answers known"),
        (("weights", "template", "randomness"), False, "Linf 0.1, untargeted, weights and randomness known"),
    ],
)
def test_only_what_is_unusual_is_said(knowledge, graph, text):
    threat = ThreatSummary("Linf", 0.1, "untargeted", None, knowledge)
    assert plain_text(threat, graph=graph) == text


def test_a_radius_is_told_as_it_was_written_and_none_is_no_number():
    assert plain_text(ThreatSummary("Linf", 8 / 255, "untargeted"), "8/255") == "Linf 8/255, untargeted"
    smallest = ThreatSummary("L2", float("inf"), "untargeted", None, ("weights", "template"))
    assert plain_text(smallest) == setting_text(smallest) == "smallest L2 perturbation, untargeted"


def test_a_setting_says_what_is_denied():
    threat = ThreatSummary("Linf", 0.1, "untargeted", None, ("weights",))
    assert setting_text(threat) == "Linf 0.1, untargeted, weights known"
