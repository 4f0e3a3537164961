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


class Modeless(nn.Module):
    """Refuses modes, as a program of torch.export does."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def train(self, mode=True):
        raise NotImplementedError(f"Calling train({mode}) is not supported yet.")

    def eval(self):
        raise NotImplementedError("Calling eval() is not supported yet.")

    def forward(self, x):
        return x.flatten(1)


@pytest.mark.parametrize("whole", [True, False])
def test_a_part_without_modes_is_left_as_it_is_and_the_others_are_switched(whole):
    part = Modeless()
    net = part if whole else nn.Sequential(nn.Dropout(0.5), nn.Sequential(part), nn.BatchNorm1d(4))
    before = {name: m.training for name, m in net.named_modules()}
    with evaluation_mode(net):
        assert part.training
        others = [m.training for m in net.modules() if m is not part]
        assert not any(others)
    assert {name: m.training for name, m in net.named_modules()} == before


def test_an_exported_program_is_evaluated():
    batch = torch.export.Dim("batch", min=1, max=64)
    net = nn.Sequential(nn.Flatten(), nn.Linear(X[0].numel(), 4)).eval()
    program = torch.export.export(net, (X,), dynamic_shapes=({0: batch},)).module()
    with evaluation_mode(program), torch.no_grad():
        assert torch.equal(program(X), net(X))
