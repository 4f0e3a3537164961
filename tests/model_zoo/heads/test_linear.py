"""The ordinary head: a network's own outputs, or a refusal that names the model."""

import pytest
import torch
from torch import nn

from model_zoo.heads.linear import Linear
from model_zoo.network import Network
from robench.errors import ConfigError
from tests.truths import images


def built(network, **options):
    return Linear()(
        network, name="m", classes=3, training_data=None, seed=0, device="cpu", details={"a": 1}, **options
    )


def layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 3))


@pytest.mark.parametrize("output", ["logits", "simplex"])
def test_the_model_is_the_network_and_offers_itself(output):
    network, x = layers(), images(4)[:, :, :4, :4].contiguous()
    network = network if output == "logits" else nn.Sequential(network, nn.Softmax(dim=1))
    model = built(network, output=output)
    with torch.no_grad():
        assert torch.equal(model.net(x), network(x))
    assert list(model.sources) == ["exact"]
    assert (str(model.output), model.random, dict(model.details)) == (
        output,
        False,
        {"a": 1, "head": "linear"},
    )


def test_features_without_a_linear_branch_are_refused():
    network = Network.__new__(Network)
    nn.Module.__init__(network)
    network.linear = None
    with pytest.raises(ConfigError, match="model 'm': expected a trained linear branch, got features"):
        built(network)


def test_an_output_that_means_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"output as one of .*simplex.*, got 'scores'"):
        built(layers(), output="scores")


@pytest.mark.parametrize("draws", [0, -1])
def test_a_mean_over_nothing_is_refused(draws):
    with pytest.raises(ConfigError, match="at least 1"):
        Linear(draws=draws)
    assert Linear(draws=1).draws == 1
