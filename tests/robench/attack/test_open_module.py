"""A network lent with its layers open: the same gradients, counted, and nothing left behind."""

import torch

from robench.attack.open_module import OpenModule, unlocked
from robench.attack.surrogate_module import SurrogateModule
from robench.model.evaluation import evaluation_mode
from tests.attacks.libraries.quick import SHAPE, layered_model
from tests.truths import images


def gradient(module, x, y):
    x = x.clone().requires_grad_(True)
    torch.nn.functional.cross_entropy(module(x), y, reduction="sum").backward()
    return x.grad


def test_it_has_the_gradients_of_a_closed_one():
    model, x, y = layered_model(), images(5, SHAPE), torch.arange(5)
    open_module, surrogate = OpenModule(model), SurrogateModule(model)
    with evaluation_mode(model.net), unlocked(open_module):
        assert torch.allclose(gradient(open_module, x, y), gradient(surrogate, x, y), atol=1e-7)
    assert (open_module.rows_forward, open_module.rows_backward) == (5, 5)
    with torch.no_grad():
        assert torch.equal(open_module(x), surrogate(x))
    assert open_module.rows_forward == 10


def test_gradients_from_layers_and_to_weights_are_counted_once():
    model, x = layered_model(), images(4, SHAPE)
    module = OpenModule(model)
    outputs = []
    with evaluation_mode(model.net), unlocked(module):
        layer = module.conv2
        assert layer is model.net.module.conv2
        assert dict(module.named_modules())["conv2"] is layer
        layer.register_forward_hook(lambda *parts: outputs.append(parts[2]))
        points = x.clone().requires_grad_(True)
        module(points)
        outputs[-1].sum().backward()  # from a layer to the images
        assert (module.rows_forward, module.rows_backward) == (4, 4)
        module(x).sum().backward()  # from the scores to the weights
        assert (module.rows_forward, module.rows_backward) == (8, 8)
        assert layer.weight.grad is not None
        points = x.clone().requires_grad_(True)
        scores = module(points)
        (scores.sum() + outputs[-1].sum()).backward()  # both ends of one pass
        assert (module.rows_forward, module.rows_backward) == (12, 12)


def test_weights_gradients_and_hooks_are_given_back():
    model = layered_model()
    net = model.net.module
    calls = []
    net.conv1.register_forward_hook(lambda *_: calls.append(1))
    module = OpenModule(model)
    with evaluation_mode(model.net), unlocked(module):
        module.conv2.register_forward_hook(lambda *_: None)
        module.conv2.register_full_backward_hook(lambda *_: None)
        module(images(2, SHAPE)).sum().backward()
        assert net.conv1.weight.requires_grad
    assert not net.conv1.weight.requires_grad
    assert net.conv2.weight.requires_grad
    assert net.conv2.weight.grad is None
    assert torch.equal(net.fc.bias.grad, torch.ones_like(net.fc.bias))
    assert (len(net.conv1._forward_hooks), len(net.conv2._forward_hooks)) == (1, 0)
    assert len(net.conv2._backward_hooks) == 0
    assert len(calls) == 1
