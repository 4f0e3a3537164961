import math

import pytest

from robench.attack.threat import ThreatModel
from robench.record.parts import RecordedThreat
from robench.record.threat_summary import (
    ThreatSummary,
    listed,
    plain_text,
    radius_text,
    setting_text,
    threat_summary_of,
)


def test_terms_of_a_threat_model_survive_its_record():
    for threat in (
        ThreatModel(eps=0.25),
        ThreatModel(eps=math.inf, knowledge=("weights",), budget=7, bounds=(-1.0, 1.0)),
    ):
        summary = threat_summary_of(RecordedThreat.read(threat.spec()))
        assert summary == ThreatSummary(
            "Linf", threat.eps, "untargeted", threat.bounds, threat.knowledge, threat.budget
        )


@pytest.mark.parametrize(
    ("threat", "text"),
    [
        (ThreatSummary(), "no attack"),
        (ThreatSummary("L2", float("inf"), "untargeted"), "smallest L2 perturbation, untargeted"),
        (ThreatSummary("L2", 0.5, "targeted"), "L2 0.5, targeted"),
        (
            ThreatSummary("Linf", 0.1, "untargeted", (0.0, 1.0), ("weights",)),
            "Linf 0.1, untargeted, weights known",
        ),
        (
            ThreatSummary("Linf", 0.1, "untargeted", (0.0, 1.0), (), 1),
            "Linf 0.1, untargeted, only the model's answers known, each attempt at most 1 pass per image",
        ),
        (
            ThreatSummary("Linf", 0.1, "untargeted", (-1.0, 1.0), ("weights", "template"), 50),
            "Linf 0.1, untargeted, weights and template known, each attempt at most 50 passes per image, "
            "pixels from -1 to 1",
        ),
    ],
)
def test_terms_in_words(threat, text):
    assert threat.text() == text


def test_the_radius_is_shown_as_it_was_written():
    assert ThreatSummary("Linf", 8 / 255, "untargeted").text("8/255") == "Linf 8/255, untargeted"


def test_three_things_known():
    assert listed(("weights", "template", "randomness")) == "weights, template and randomness"


def test_an_old_record_that_does_not_say_is_not_given_words():
    assert threat_summary_of(RecordedThreat(norm="Linf", eps=0.1, goal="untargeted")).knowledge is None
    assert threat_summary_of(RecordedThreat()) == ThreatSummary()


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


@pytest.mark.parametrize(
    ("eps", "text"),
    [(8 / 255, "8/255"), (0.5 / 255, "0.00196078"), (0.031, "0.031"), (1.0, "1"), (0.1234567, "0.123457")],
)
def test_a_radius_without_its_own_text_is_in_255ths_only_where_it_is_one(eps, text):
    assert radius_text(eps) == text
    assert ThreatSummary("Linf", eps).power() == f"Linf {text}"
    assert ThreatSummary("Linf", eps).power("mine") == "Linf mine"
