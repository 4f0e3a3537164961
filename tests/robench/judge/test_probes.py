"""Each broken model raises its own finding and no other; the sound ones raise none."""

import pytest
import torch

from robench.judge.probes import probe
from robench.model.interface import GradientSource, Model, OutputKind
from tests.robench.judge import gallery

NET = gallery.sound()
X, Y = gallery.data().batch(slice(None))
BROKEN = gallery.broken(NET)
CONTROLS = gallery.controls(NET)


def test_the_sound_network_has_learned():
    assert float((NET(X).argmax(1) == Y).float().mean()) > 0.95


@pytest.mark.parametrize("name", [n for n in BROKEN if n != "nan"])
def test_each_broken_model_raises_exactly_its_finding(name):
    model, code = BROKEN[name]
    findings = probe(model, X, Y)
    assert [f.code for f in findings] == [code]
    assert all(f.evidence and f.remedy for f in findings)


@pytest.mark.parametrize("name", CONTROLS)
def test_sound_models_raise_none(name):
    assert probe(CONTROLS[name], X, Y) == ()


def test_numbers_that_are_none_are_left_to_the_judge():
    assert probe(BROKEN["nan"][0], X, Y) == ()


def test_a_gradient_that_points_away_is_unreachable():
    class Backwards(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            return z.clone()

        @staticmethod
        def backward(ctx, g):
            return -g

    model = Model(name="m", net=gallery.Through(NET, Backwards.apply), classes=4)
    # The slope along the claimed gradient has the wrong sign.
    assert [f.code for f in probe(model, X, Y)] == ["wrong-gradient"]


def test_a_model_that_ignores_its_input_is_named():
    class Constant(torch.nn.Module):
        def forward(self, x):
            z = torch.zeros(len(x), 4)
            z[:, 0] = 1 + x.flatten(1).sum(1) * 0
            z[:, 1] = 0.3
            return z

    findings = probe(Model(name="c", net=Constant(), classes=4), X, Y)
    assert [f.code for f in findings] == ["no-gradient"]


def test_probing_leaves_the_model_as_it_was():
    net = gallery.Sound().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    probe(Model(name="m", net=net, classes=4), X, Y)
    assert net.training
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_votes_are_judged_by_what_an_attacker_differentiates():
    """A model that answers with one-hot votes, but offers the scores behind them, hides nothing."""
    votes = gallery.Through(NET, gallery.argmax_only)
    scores = GradientSource("scores", lambda x: (NET(x), votes(x).detach()), OutputKind.LOGITS)
    model = Model(name="votes", net=votes, classes=4, output=OutputKind.SIMPLEX, sources={"scores": scores})
    assert probe(model, X, Y) == ()


def constant(net):
    """Return around how many of the images asked about a network has no gradient."""
    x = X[:64].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(net(x).square().sum(), x)
    return int((gradient.flatten(1).abs().amax(dim=1) == 0).sum())


@pytest.mark.parametrize(
    "net",
    [
        gallery.Plateaus(),
        gallery.Plateaus(low=0.3, high=0.52),
        gallery.Snapped(NET, X[:30], 0.05),
        gallery.Snapped(NET, X[:60], 0.1),
        gallery.Snapped(NET, X, 0.05),  # around every image asked about
    ],
)
def test_a_network_that_is_constant_around_images_hides_nothing(net):
    assert constant(net) > 0.1 * 64
    assert probe(Model(name="plateaus", net=net, classes=4), X, Y) == ()


def test_a_plateau_is_certified_by_its_bound():
    """Within eps no mean leaves its plateau: the answer stays the same in every corner, to the last digit."""
    net = gallery.Plateaus()
    inner = gallery.Plateaus(net.low - 0.02, net.high + 0.02)(X)
    sure = ((inner == 0) | (inner == 8)).all(dim=1)
    assert int(sure.sum()) > 10
    corners = 2 * torch.randint(0, 2, (50, *X[sure].shape), generator=torch.Generator().manual_seed(0)) - 1
    assert all(torch.equal(net(X[sure] + 0.0199 * corner), net(X[sure])) for corner in corners)


@pytest.mark.thorough
@pytest.mark.parametrize("below", [0.1, 0.15, 0.2])
def test_steps_around_some_images_are_no_plateaus(below):
    net = gallery.PartlyRounded(NET, below)
    assert 0.1 * 64 < constant(net) < 64
    assert [f.code for f in probe(Model(name="m", net=net, classes=4), X, Y)] == ["unreachable"]


def test_a_misleading_gradient_is_unreachable_from_everywhere():
    model = gallery.behind(gallery.Quarters(pixel=True), gallery.Quarters(pixel=False))
    assert [f.code for f in probe(model, X, Y)] == ["unreachable"]
