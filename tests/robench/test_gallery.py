"""Whole evaluations of models broken on purpose: each raises its own finding, and only that."""

import pytest

from robench.api import benchmark, make_attack
from tests.robench import gallery

NET = gallery.sound()
BROKEN = gallery.broken(NET)
CONTROLS = gallery.controls(NET)


def codes(model):
    attacks = {"fgsm": make_attack("fgsm"), "pgd": make_attack("pgd", steps=40)}
    result = benchmark([model], gallery.data(), attacks=attacks, norm="Linf", eps=0.05)
    assert result.failures == ()
    return {finding.code for record in result.records for finding in record.findings}


@pytest.mark.parametrize("name", BROKEN)
def test_every_broken_model_raises_exactly_its_finding(name):
    model, code = BROKEN[name]
    assert codes(model) == {code}


@pytest.mark.parametrize("name", CONTROLS)
def test_sound_models_raise_none(name):
    assert codes(CONTROLS[name]) == set()
