"""Evaluation mode: proper float32 inside, and everything back afterwards."""

import pytest
import torch
from torch import nn

from robench.model.evaluation import evaluation_mode
from robench.model.interface import Model
from tests.robench.model.folding_networks import Base, X, bits, same


def test_evaluation_mode_puts_everything_back_also_what_train_does_beside():
    class Merging(Base):
        """Merges weights in evaluation mode, as adapters do."""

        merged = False

        def train(self, mode=True):
            super().train(mode)
            if not mode and not self.merged:
                self.fc.weight.data.mul_(2)
                self.merged = True
            return self

    net = Merging()
    net.fc.weight.data.div_(2)
    net.merged = False
    nn.Module.train(net, True)
    net.b.weight.grad = torch.ones_like(net.b.weight)
    net.a.weight.requires_grad_(False)
    before = bits(net)

    def spoil():
        assert not net.training
        net.extra = 1
        net.b.weight.grad.zero_()
        net.register_forward_hook(lambda *_: None)
        raise KeyError

    with pytest.raises(KeyError), evaluation_mode(net):
        spoil()
    same(before, bits(net))
    assert not net._forward_hooks


def test_proper_float32_inside_and_the_flags_back_after():
    inside = []

    class Looks(Base):
        def forward(self, x):
            inside.append(
                (
                    torch.get_float32_matmul_precision(),
                    torch._C._get_fp32_precision_getter("cuda", "conv"),
                    torch.is_autocast_enabled("cpu"),
                )
            )
            return super().forward(x)

    model = Model(name="m", net=Looks(), classes=4)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", dtype=torch.bfloat16), evaluation_mode(model.net):
            model.net(X)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert inside == [("highest", "ieee", False)]
