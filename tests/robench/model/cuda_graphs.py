"""A stand-in for `torch.cuda.make_graphed_callables` on the processor, which acts as CUDA graphs do.

It records the operations of a forward and of a backward pass and repeats them without the code that asked
for them. Inputs, outputs and gradients have one place each, which every replay overwrites; a graph takes one
shape; a backward pass differentiates the last forward pass and uses its values up.
"""

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from robench.model import graphed_copy


def recorded(function, *samples):
    """Return the operations of a function of tensors, without those that failed and were done otherwise."""
    operations = make_fx(function)(*samples)
    operations.graph.eliminate_dead_code()
    operations.recompile()
    return operations


class Card:
    """What the stand-in was asked for.

    Attributes:
        captures: the number of rows of each capture.
        replays: the number of rows of each forward pass that was repeated.
        waiting: what the mode that refuses waiting was set to.
    """

    def __init__(self):
        self.captures, self.replays, self.waiting = [], [], []

    def graphed(self, question, sample_args, *, allow_unused_input=False):
        """Capture a function of one tensor; as torch, after three passes to warm up."""
        (sample,) = sample_args
        assert allow_unused_input
        assert sample.requires_grad
        for _ in range(3):
            torch.autograd.grad(question(sample).sum(), sample)

        def backward(x, cotangent):
            leaf = x.detach().requires_grad_(True)
            with torch.enable_grad():
                return torch.autograd.grad(question(leaf), leaf, cotangent)[0]

        static = sample.detach()
        like = question(sample).detach()
        ahead = recorded(lambda x: question(x), static)  # noqa: PLW0108 - a method's `self` would be recorded
        back = recorded(backward, static, torch.ones_like(like))
        outputs, slope = torch.zeros_like(like), torch.zeros_like(static)
        self.captures.append(len(static))
        values = torch.zeros_like(static)

        class Graphed(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                if x.shape != static.shape or x.dtype != static.dtype:
                    raise RuntimeError(f"a graph of {tuple(static.shape)} got {tuple(x.shape)}")
                self.replays.append(len(static))
                static.copy_(x)
                values.copy_(x)
                outputs.copy_(ahead(static))
                return outputs.detach()

            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(ctx, gradient):
                slope.copy_(back(values, gradient))
                values.fill_(torch.nan)  # their memory was needed
                return slope.detach()

        return Graphed.apply


def card_in_place(monkeypatch):
    """Let the processor pass for a device with graphs."""
    stand_in = Card()
    monkeypatch.setattr(graphed_copy, "DEVICES", ("cpu",))
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", stand_in.graphed)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", stand_in.waiting.append)
    return stand_in
