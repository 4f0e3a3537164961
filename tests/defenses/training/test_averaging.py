"""Averaged weights against their definitions; AdamW against its first step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from defenses.training.averaging import Average
from defenses.training.options import TrainingOptions
from defenses.training.split import split
from tests.defenses.toys import check_resumption, context, network, recipe, same, toy


def trained(defense, data, net):
    """Train and return the weights at the end of every epoch."""
    states = []

    def progress(row):
        if "step" not in row:
            states.append({k: v.clone() for k, v in net.state_dict().items()})

    defense(net, data, context=context(progress=progress))
    return states


def test_ema_is_the_recurrence_with_its_ramp():
    average, net, mean = (
        Average(TrainingOptions(epochs=1, average="ema", average_decay=0.5)),
        nn.Linear(1, 1),
        None,
    )
    for t, value in enumerate([1.0, 3.0, -2.0, 8.0, 8.0, 1.0, 5.0, 5.0, 5.0, 9.0]):
        net.weight.data.fill_(value)
        average.after_step(net)
        decay = min(0.5, (1 + t) / (10 + t))
        mean = value if mean is None else decay * mean + (1 - decay) * value
        assert average.weights["weight"].item() == pytest.approx(mean, rel=1e-5)
    assert net.weight.item() == 9.0


def test_swa_is_the_mean_of_the_last_epochs_with_fresh_statistics():
    data, net = toy(), network()
    options = {"epochs": 4, "average": "swa", "average_start": 0.5, "schedule": "constant"}
    states = trained(recipe("natural", keep="last", **options), data, net)
    for name, tensor in net.named_parameters():
        torch.testing.assert_close(tensor, (states[2][name] + states[3][name]) / 2)
    training_set = split(data, 0.2, 1)[0]
    with torch.no_grad():
        h = net.backbone[1](training_set.batch(slice(None))[0].flatten(1))
    norm = net.backbone[2]
    torch.testing.assert_close(norm.running_mean, h.mean(0))
    torch.testing.assert_close(norm.running_var, h.var(0))
    assert norm.momentum == 0.1


@pytest.mark.thorough
def test_before_its_start_nothing_is_averaged_and_training_itself_is_untouched():
    data, nets = toy(), [network() for _ in range(3)]
    plain = trained(recipe("natural", keep="last"), data, nets[0])
    for net, kind in zip(nets[1:], ("ema", "swa"), strict=True):
        states = trained(recipe("natural", keep="last", average=kind), data, net)
        assert all(torch.equal(a[k], b[k]) for a, b in zip(plain, states, strict=True) for k in a)
        assert not same(net, nets[0])


@pytest.mark.thorough
@pytest.mark.parametrize("options", [{"average": "ema"}, {"average": "swa", "average_start": 0.25}])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_stopped_run_resumes_to_the_same_bits(options, keep, tmp_path):
    defense = recipe("natural", optimizer="adamw", learning_rate=0.01, keep=keep, **options)
    check_resumption(defense, toy(), tmp_path, epochs=[2])


def test_the_first_step_of_adamw():
    net, data, rate, decay = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), toy(), 0.01, 0.1
    with torch.no_grad():  # no gradient of these weights is so small that the step is less than the rate
        net[1].weight.copy_(torch.linspace(-0.2, 0.2, 32).view(2, 16))
        net[1].bias.zero_()
    x, y = data.batch(slice(None))
    nn.functional.cross_entropy(net(x), y).backward()
    weight = net[1].weight.detach().clone()
    expected = weight * (1 - rate * decay) - rate * net[1].weight.grad.sign()
    net.zero_grad()
    options = {"epochs": 1, "batch_size": 200, "validation": 0.0, "keep": "last", "schedule": "constant"}
    recipe("natural", optimizer="adamw", learning_rate=rate, weight_decay=decay, **options)(
        net, data, context=context()
    )
    torch.testing.assert_close(net[1].weight.detach(), expected, rtol=1e-4, atol=1e-6)
