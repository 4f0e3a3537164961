"""MI-FGSM against its recurrence by hand, its limits, and torchattacks."""

import math

import pytest
import torch

from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.mifgsm import MIFGSM
from robench.attack.norms import L2, LINF
from robench.attack.oracle import Oracle
from robench.attack.threat import Goal, ThreatModel
from robench.conformance import check_attack, failures
from robench.errors import ConfigError
from tests.truths import attacked, broken, classify, images, linear, small_net


@pytest.mark.thorough
def test_it_keeps_the_laws():
    assert not failures(check_attack(MIFGSM(steps=4)))


@pytest.mark.parametrize("norm", [LINF, L2], ids=lambda n: n.name)
def test_without_memory_it_is_ifgsm(norm):
    model, x = small_net(seed=1), images(12)
    eps = 0.06 if norm is LINF else 0.2
    _, _, own = attacked(MIFGSM(steps=5, step_size=0.02, decay=0.0), model, x, norm=norm, eps=eps)
    _, _, plain = attacked(IFGSM(steps=5, step_size=0.02), model, x, norm=norm, eps=eps)
    assert torch.allclose(own, plain, atol=1e-6)


def test_momentum_follows_the_recurrence():
    """By hand in float64, with the gradient asked for afresh at each point."""
    model, x = small_net(seed=1), images(6)
    y, threat = classify(model, x), ThreatModel(eps=0.05)
    _, _, last = attacked(MIFGSM(steps=4, decay=0.7), model, x, y, threat=threat)
    from robench.attack.losses import cross_entropy

    point, momentum = x, torch.zeros_like(x, dtype=torch.float64)
    for _ in range(4):
        gradient = Oracle(model, x, y, threat).gradient(cross_entropy, point).double()
        momentum = 0.7 * momentum + gradient / gradient.flatten(1).abs().sum(dim=1).view(-1, 1, 1, 1)
        point = (x + (point + 0.0125 * momentum.sign() - x).clamp(-0.05, 0.05)).clamp(0, 1).float()
    assert torch.allclose(last, point, atol=1e-6)


def test_a_linear_model_is_broken_exactly_inside_its_distance():
    model = linear(torch.tensor([[1.0, 2.0], [-1.0, -2.0]]), torch.tensor([-1.5, 1.5]))
    x = torch.full((1, 1, 1, 2), 0.55)  # 2 * (x_1 + 2 x_2 - 1.5) = 0.3, so 0.05 away under Linf
    for eps in (0.049, 0.051):
        x_adv, _, _ = attacked(MIFGSM(), model, x, eps=eps)
        assert bool(broken(model, x_adv, classify(model, x))) == (eps > 0.05)


@pytest.mark.parametrize("goal", Goal)
def test_it_agrees_with_torchattacks_pixel_by_pixel(goal):
    torchattacks = pytest.importorskip("torchattacks")
    model, x = small_net(seed=1), images(20)
    y = classify(model, x)
    classes = (y + 1) % 4 if goal is Goal.TARGETED else y
    theirs = torchattacks.MIFGSM(model.net, eps=0.06, alpha=0.01, steps=8, decay=0.9)
    if goal is Goal.TARGETED:
        theirs.set_mode_targeted_by_function(lambda _, labels: (labels + 1) % 4)
    ours = MIFGSM(steps=8, step_size=0.01, decay=0.9)
    _, _, last = attacked(ours, model, x, classes, threat=ThreatModel(eps=0.06, goal=goal))
    assert ((last - theirs(x, y)).abs() < 1e-5).float().mean() > 0.98


@pytest.mark.parametrize("options", [{"steps": 0}, {"step_size": 0.0}, {"decay": -0.1}, {"decay": math.inf}])
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        MIFGSM(**options)


def test_an_infinite_radius_is_refused():
    with pytest.raises(ConfigError, match="finite radius"):
        attacked(MIFGSM(), small_net(), images(2), eps=math.inf)
