"""Training of Feynman-Kac ensembles: what it refuses, its settings, and that noise stays on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from defenses.feynman_kac import FeynmanKac
from defenses.training.options import learning_rate
from robench.errors import ConfigError
from robench.model.noise import noise_of
from tests.defenses.toys import EPS, check_resumption, context, network, toy

SMALL = {"epochs": 4, "batch_size": 16, "validation": 0.2, "eps": EPS, "steps": 2, "step_size": None}


class Noisy(nn.Module):
    """A toy whose input is shaken, by the global generator in training and by content at evaluation."""

    random = True

    def __init__(self):
        super().__init__()
        self.inner, self.seen = network(), []

    def forward(self, x):
        self.seen.append(self.training)
        normal = torch.randn_like(x) if self.training else noise_of(x, seed=0, use="toy").normal(x)
        return self.inner(x + 0.02 * normal)


@pytest.mark.thorough
def test_it_learns_and_a_stopped_run_resumes_to_the_same_bits(tmp_path):
    defense = FeynmanKac(**SMALL, augmentation="none")
    _, history = check_resumption(defense, toy(), tmp_path, epochs=[2], make=Noisy)
    assert history[-1]["validation_accuracy"] > 0.9
    assert history[-1]["validation_robust_accuracy"] > 0.7


def test_the_attacker_sees_the_noise_of_training():
    net = Noisy()
    FeynmanKac(**SMALL | {"epochs": 1, "validation": 0.0}, keep="last")(net, toy(), context=context())
    assert all(net.seen)


def test_the_settings_are_those_of_the_authors_code():
    defense = FeynmanKac()
    rates = [learning_rate(defense, epoch, 200) for epoch in (0, 79, 80, 119, 120, 159, 160, 199)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001])
    assert (defense.eps, defense.step_size, defense.steps, defense.random_start) == (0.031, 0.007, 10, True)
    assert (defense.batch_size, defense.weight_decay, defense.momentum, defense.nesterov) == (
        128,
        5e-4,
        0.9,
        True,
    )
    assert FeynmanKac(epochs=10).milestones == (4, 6, 8)


def test_a_network_without_noise_is_refused():
    with pytest.raises(ConfigError, match="injects noise"):
        FeynmanKac(**SMALL)(network(), toy(), context=context())
