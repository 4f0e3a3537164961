"""Gradients that are right at every point and lead nowhere are found from what an attack left standing."""

import functools

import pytest
import torch

from reports.board.leaderboard import boards
from robench import benchmark, make_attack
from robench.model.interface import Model
from tests.robench.judge import gallery, masked_gradients

CODE = "shattered-gradients"
PGD = ("pgd", {"steps": 20})


@functools.cache
def network():
    return masked_gradients.trained("relu").net


def behind(change):
    return Model(name="m", net=gallery.Through(network(), lambda z: z, change).eval(), classes=10)


def wavy(x):
    """Add waves of a period of 0.02 and a height of 0.02: the slope runs from -5 to 7."""
    return x + 0.02 * torch.sin(300 * x)


def row_of(model, *attacks, eps=0.15, **options):
    plugins = {name: make_attack(name, **values) for name, values in attacks}
    data = masked_gradients.digits()[2].subset(slice(0, 100))
    result = benchmark([model], data, attacks=plugins, eps=eps, **{"norm": "Linf", **options})
    assert result.failures == ()
    findings = {r.attack.label: {f.code: f.evidence for f in r.findings} for r in result.records}
    return boards(result.records)[0].rows[0], findings


def test_waves_in_front_of_a_network_are_told():
    row, findings = row_of(behind(wavy), PGD)
    assert CODE in findings["pgd"]
    assert CODE in row.unlifted
    assert row.rank is None


def test_it_is_true_that_more_images_break():
    """PGD on the network without its waves breaks most of what PGD on the waves leaves."""
    usual, _ = row_of(behind(wavy), PGD)
    without, findings = row_of(behind(lambda x: x), PGD)
    assert without.attacks["pgd"].count < usual.attacks["pgd"].count - 10
    assert CODE not in findings["pgd"]


def test_an_attack_that_needs_no_gradient_lifts_it():
    row, findings = row_of(behind(wavy), PGD, ("square", {"queries": 1000}))
    assert CODE in findings["pgd"]
    assert CODE not in findings["square"]
    assert CODE not in row.unlifted


@pytest.mark.parametrize("change", [lambda x: x, lambda x: (x - 0.3) / 0.3, lambda x: x.clamp(-0.5, 1.5)])
def test_smooth_networks_are_not_told(change):
    _, findings = row_of(behind(change), PGD)
    assert CODE not in findings["pgd"]


@pytest.mark.parametrize(
    ("attack", "options"),
    [
        (("fgsm", {}), {}),
        (("noise", {}), {}),
        (("square", {"queries": 50}), {"knowledge": ()}),
        (PGD, {"budget": 167}),  # two passes for each of 21 steps of 4 gradients are 168
    ],
)
def test_what_the_threat_hides_or_other_codes_cover_is_not_asked(attack, options):
    _, findings = row_of(behind(wavy), attack, **options)
    assert CODE not in findings[attack[0]]
