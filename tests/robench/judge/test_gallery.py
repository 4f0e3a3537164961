"""Whole evaluations of models broken on purpose: each raises its own finding, and only that."""

import pytest

from reports.board.leaderboard import boards
from robench.api import benchmark, make_attack
from tests.robench.judge import gallery

NET = gallery.sound()
BROKEN = gallery.broken(NET)
CONTROLS = gallery.controls(NET)


def codes(model):
    attacks = {"fgsm": make_attack("fgsm"), "pgd": make_attack("pgd", steps=40)}
    result = benchmark([model], gallery.data(), attacks=attacks, norm="Linf", eps=0.05)
    assert result.failures == ()
    # An ascent of the margin that finds little lifts a doubt, and is none.
    return {finding.code for record in result.records for finding in record.findings} - {"scale-tried"}


@pytest.mark.parametrize("name", BROKEN)
def test_every_broken_model_raises_exactly_its_finding(name):
    model, code = BROKEN[name]
    assert codes(model) == {code}


def found(models, attacks, data=None, eps=0.05, **options):
    result = benchmark(models, data or gallery.data(), attacks=attacks, norm="Linf", eps=eps, **options)
    assert result.failures == ()
    return boards(result.records)[0].rows


@pytest.mark.thorough
def test_an_attack_cut_short_is_told_and_a_longer_one_lifts_it():
    model, short = CONTROLS["logits"], {"fgsm": make_attack("fgsm"), "pgd": make_attack("pgd", steps=2)}
    (row,) = found([model], short)
    assert (row.findings, row.unlifted, row.rank) == (("not-converged",), ("not-converged",), None)
    (row,) = found([model], {**short, "long": make_attack("pgd", steps=100)})
    assert (row.findings, row.unlifted, row.rank) == (("not-converged",), (), 1)


def test_one_step_and_noise_alone_prove_nothing():
    (row,) = found(
        [CONTROLS["logits"]], {"fgsm": make_attack("fgsm"), "noise": make_attack("noise", points=5)}
    )
    assert row.unlifted == ("weak-attacks-only",)


@pytest.mark.thorough
def test_a_surrogate_that_misleads_is_told_and_so_is_the_black_box_that_does_better():
    model = gallery.behind(gallery.Quarters(pixel=True), gallery.Quarters(pixel=False))
    attacks = {"pgd": make_attack("pgd", steps=40), "square": make_attack("square", queries=200)}
    (row,) = found([model], attacks, eps=0.25)
    assert row.attacks["pgd"].count > row.attacks["square"].count + 10
    assert set(row.findings) == {"unreachable", "transfer-failure", "black-box-stronger"}
    assert set(row.unlifted) == {"unreachable", "black-box-stronger"}  # Square was not misled


@pytest.mark.thorough
@pytest.mark.parametrize("name", CONTROLS)
def test_sound_models_raise_none(name):
    assert codes(CONTROLS[name]) == set()
