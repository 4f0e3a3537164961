"""Layers that are constant at dark or bright pixels mislead attacks: found from what these left standing."""

import functools

import pytest
import torch
from torch import nn

from reports.board.leaderboard import boards
from robench import benchmark, make_attack, wrap
from robench.model.interface import Model
from tests.robench.judge import gallery, masked_gradients

EPS = 0.2
CODE = "dead-pixels"
PGD = ("pgd", {"steps": 20})


@functools.cache
def network():
    return masked_gradients.trained("relu").net


def behind(change):
    return Model(name="m", net=gallery.Through(network(), lambda z: z, change).eval(), classes=10)


def row_of(model, *attacks, eps=EPS, **options):
    """Return the row of a model under attacks, and the findings of each."""
    plugins = {name: make_attack(name, **values) for name, values in attacks}
    data = masked_gradients.digits()[2].subset(slice(0, 100))
    result = benchmark([model], data, attacks=plugins, eps=eps, **{"norm": "Linf", **options})
    assert result.failures == ()
    findings = {r.attack.label: {f.code: f.evidence for f in r.findings} for r in result.records}
    return boards(result.records)[0].rows[0], findings


def without_background(x, depth):
    return torch.relu(x - depth) / (1 - depth)


@pytest.mark.parametrize("change", [lambda x: without_background(x, 0.1), lambda x: x.clamp(0.1, 0.9)])
def test_what_is_constant_at_dark_or_bright_pixels_is_told(change):
    row, findings = row_of(behind(change), PGD)
    assert CODE in findings["pgd"]
    assert CODE in row.unlifted
    assert row.rank is None


def test_it_is_true_of_the_figure_in_its_evidence():
    """The same images break by PGD through the straight-through gradient of the layer."""

    class StraightThrough(nn.Module):
        def forward(self, x):
            y = without_background(x, 0.1)
            return network()(x + (y - x).detach())

    def masked(x):
        return without_background(x, 0.1)

    usual, _ = row_of(behind(masked), PGD)
    through, findings = row_of(Model(name="m", net=StraightThrough().eval(), classes=10), PGD)
    assert CODE not in findings["pgd"]
    assert through.attacks["pgd"].count < usual.attacks["pgd"].count - 10


@pytest.mark.parametrize(
    "change", [lambda x: x, lambda x: (x - 0.3) / 0.3, lambda x: x.clamp(-0.5, 1.5), lambda x: 0.2 + 0.6 * x]
)
def test_what_is_nowhere_constant_is_not_told(change):
    _, findings = row_of(behind(change), PGD)
    assert CODE not in findings["pgd"]


def test_dead_units_of_a_sound_network_are_not_told():
    """A convolution without bias is dead on a black ground, and its pixels have no gradient there."""
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    net = nn.Sequential(*body, nn.Linear(256, 10, bias=False)).eval()
    data = masked_gradients.digits()[2].subset(slice(0, 100))
    x, _ = data.batch(slice(None))
    result = benchmark(
        [wrap(net, name="m", classes=10)],
        (x, net(x).argmax(1)),
        attacks={"pgd": make_attack("pgd", steps=20)},
        eps=0.05,
    )
    assert CODE not in {f.code for r in result.records for f in r.findings}


def test_an_attack_without_gradients_that_leaves_no_such_images_lifts_it():
    model = behind(lambda x: x.clamp(0.1, 0.9))
    row, findings = row_of(model, PGD, ("square", {"queries": 2000}))
    assert CODE in findings["pgd"]
    assert CODE not in findings["square"]
    assert CODE not in row.unlifted


@pytest.mark.parametrize(
    ("attack", "options"),
    [
        (("fgsm", {}), {}),  # a single gradient: `weak-attacks-only` covers it
        (("noise", {}), {}),
        (("square", {"queries": 50}), {"knowledge": ()}),
        (("pgd", {"steps": 20}), {"budget": 79}),
    ],
)
def test_what_the_threat_hides_is_not_asked(attack, options):
    _, findings = row_of(behind(lambda x: x.clamp(0.1, 0.9)), attack, **options)
    assert CODE not in findings[attack[0]]
