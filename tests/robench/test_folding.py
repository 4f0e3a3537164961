"""Folded networks give the same numbers and come back untouched."""

import pytest
import torch
from torch import nn

from robench.evaluation_mode import evaluation_mode
from robench.folding import folded


class Block(nn.Module):
    """A residual block; the second convolution has a bias, the last batch-norm no affine part."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 2, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(2, affine=False)

    def forward(self, x):
        return (x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))).flatten(1)


class Untraceable(nn.Module):
    """Control flow that depends on data around a part that can be traced."""

    def __init__(self):
        super().__init__()
        self.block = Block()

    def forward(self, x):
        return self.block(x) if x.sum() > 0 else self.block(-x)


def trained(net):
    """Give every batch-norm statistics and weights worth folding."""
    generator = torch.Generator().manual_seed(0)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.copy_(torch.randn(part.num_features, generator=generator))
            part.running_var.copy_(torch.rand(part.num_features, generator=generator) + 0.5)
            if part.affine:
                part.weight.data.copy_(torch.randn(part.num_features, generator=generator))
                part.bias.data.copy_(torch.randn(part.num_features, generator=generator))
    return net.double()


@pytest.mark.parametrize("make", [Block, Untraceable])
def test_folding_changes_no_number_and_leaves_no_trace(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = trained(make()).eval()
    x = torch.rand(3, 2, 5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before, expected = {k: v.clone() for k, v in net.state_dict().items()}, net(x)
    calls = []
    bn = next(p for p in net.modules() if isinstance(p, nn.BatchNorm2d))
    with folded(net):
        assert "forward" in bn.__dict__  # it really was folded
        calls.append(net(x))
    assert torch.allclose(calls[0], expected, atol=1e-12)
    assert "forward" not in bn.__dict__
    after = net.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert torch.equal(net(x), expected)


def test_a_training_or_shared_or_hooked_batch_norm_is_left_alone():
    net = trained(Block())
    net.train()
    with folded(net):
        assert not any("forward" in p.__dict__ for p in net.modules())
    hooked = trained(Block()).eval()
    hooked.conv1.register_forward_hook(lambda *_: None)
    with folded(hooked):
        assert "forward" not in hooked.bn1.__dict__
        assert "forward" in hooked.bn2.__dict__


def test_it_comes_back_after_an_error():
    net = trained(Block()).eval()
    with pytest.raises(RuntimeError, match="boom"), evaluation_mode(net, fold=True):
        raise RuntimeError("boom")
    assert not any("forward" in p.__dict__ for p in net.modules())
    assert net.conv1.bias is None
