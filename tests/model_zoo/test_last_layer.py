import pytest
import torch
from torch import nn
from torchvision.models import get_model

from model_zoo.last_layer import penultimate, split_last_linear
from robench.errors import InputError

X = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def state(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def test_torchvision_network():
    module = get_model("resnet18", weights=None, num_classes=7)
    module.train()
    before, keys = state(module), list(module.state_dict())
    split = split_last_linear(module, X)
    assert all(part.training for part in module.modules())
    assert list(module.state_dict()) == keys
    assert all(torch.equal(v, module.state_dict()[k]) for k, v in before.items())
    assert not [
        hook for part in module.modules() for hook in (*part._forward_hooks, *part._forward_pre_hooks)
    ]
    module.eval()
    z = split.features(X)
    assert z.shape == (3, split.linear.in_features)
    torch.testing.assert_close(split.linear(z), module(X))


def test_features_carry_the_gradient():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 6), nn.Tanh(), nn.Linear(6, 4))
    split = split_last_linear(module, X)
    x = X.clone().requires_grad_()
    direct = torch.autograd.grad(module[:3](x).sum(), x)[0]
    torch.testing.assert_close(torch.autograd.grad(split.features(x).sum(), x)[0], direct)
    assert len(list(split.parameters())) == len(list(module.parameters()))


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ([nn.Softmax(1)], "after the last linear layer"),
        ([nn.LogSoftmax(1)], "after the last linear layer"),
        ([nn.BatchNorm1d(4, affine=False, eps=1.0)], "after the last linear layer"),
        ([nn.Unflatten(1, (2, 2))], r"not \(B, K\)"),
    ],
)
def test_something_after_the_linear_layer_is_refused(tail, message):
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4), *tail)
    with pytest.raises(InputError, match=message):
        split_last_linear(module, X)


def test_no_linear_layer_is_refused():
    module = nn.Sequential(nn.Conv2d(3, 4, 32), nn.Flatten())
    with pytest.raises(InputError, match=r"without any nn\.Linear"):
        split_last_linear(module, X)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_network_of_another_type_gives_features_of_the_images_type(dtype):
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 3)).to(dtype)
    x = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    split = split_last_linear(net, x[:2])
    z = split.features(x)
    assert z.dtype == torch.float32
    assert torch.equal(z, net[:3](x.to(dtype)).float())
    torch.testing.assert_close(split.linear(z), net(x.to(dtype)).float())
    assert torch.equal(penultimate(net)(x), z)
