"""What a lent module gives: scores of the model itself, gradients of its source, in the form wanted."""

import pytest
import torch
from torch import nn

from robench.attack.surrogate_module import SurrogateModule
from robench.errors import ConfigError
from robench.model.interface import Model
from tests.truths import images, joint, small_net, two_sources, with_head


def test_gradients_come_from_the_source_and_answers_from_the_model():
    model, x = two_sources(small_net()), images(4)
    module = SurrogateModule(model, model.source("turned"))
    own = module(x)
    assert torch.allclose(own, model.net(x))
    assert torch.allclose(module(x.clone().requires_grad_()), -own)


def test_positive_scores_only_shift():
    model, x = with_head(small_net(), lambda z: z - 50), images(4)
    scores = SurrogateModule(model, form="positive")(x)
    assert scores.min() == 0
    assert torch.allclose(scores.softmax(1), model.net(x).softmax(1), atol=1e-5)


def test_a_detached_model_gives_zero_gradients():
    model = with_head(small_net(), torch.detach)
    point = images(3).requires_grad_()
    SurrogateModule(model)(point).sum().backward()
    assert point.grad.abs().max() == 0


def test_a_joint_model_refuses_a_split_batch():
    module = SurrogateModule(joint(small_net()), batch=6)
    assert module(images(6)).shape == (6, 4)
    with pytest.raises(ConfigError, match="joint batch of 6"):
        module(images(5))


def test_probabilities_are_the_softmax():
    model, x = small_net(), images(4)
    probabilities = SurrogateModule(model, form="probabilities")(x)
    assert torch.allclose(probabilities, model.net(x).softmax(1), atol=1e-6)


def test_gradients_are_laid_out_as_libraries_expect():
    """A copy laid out channels-last gives gradients whose images cannot be viewed as rows."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 16, 4)).eval()
    model = Model(name="last", net=net.to(memory_format=torch.channels_last), classes=4)
    x = images(2, (3, 6, 6)).contiguous(memory_format=torch.channels_last).requires_grad_(True)
    (gradient,) = torch.autograd.grad(SurrogateModule(model)(x).sum(), x)
    assert gradient.is_contiguous()
    assert not torch.autograd.grad(model.net(x).sum(), x)[0].is_contiguous()
