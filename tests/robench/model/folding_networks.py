"""Networks of convolutions and batch-norms, most of which must not be folded, and how they are compared."""

import torch
from torch import nn
from torch.nn import functional as F

X = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def conv(inner, outer, seed, bias=True):
    layer = nn.Conv2d(inner, outer, 3, padding=1, bias=bias)
    g = torch.Generator().manual_seed(seed)
    layer.weight.data = torch.randn(layer.weight.shape, generator=g) * (2 / layer.weight[0].numel()) ** 0.5
    if bias:
        layer.bias.data = torch.randn(outer, generator=g) * 0.1
    return layer


def norm(width, seed):
    layer = nn.BatchNorm2d(width)
    g = torch.Generator().manual_seed(seed)
    layer.running_mean.copy_(torch.randn(width, generator=g))
    layer.running_var.copy_(torch.rand(width, generator=g) + 0.5)
    layer.weight.data.copy_(torch.randn(width, generator=g))
    layer.bias.data.copy_(torch.randn(width, generator=g))
    return layer


class Base(nn.Module):
    """Two convolutions with batch-norms; kinds of networks differ in `body`."""

    def __init__(self):
        super().__init__()
        self.a, self.b = conv(1, 6, 0, bias=False), conv(6, 6, 1)
        self.na, self.nb = norm(6, 2), norm(6, 3)
        self.fc = nn.Linear(6 * 64, 4)
        self.fc.weight.data = torch.randn(4, 384, generator=torch.Generator().manual_seed(4)) * 0.05
        self.fc.bias.data.zero_()
        self.eval()

    def body(self, x):
        return self.nb(self.b(self.na(self.a(x)).relu()))

    def forward(self, x):
        return self.fc(self.body(x).relu().flatten(1))


class Tied(Base):
    """One weight in two convolutions."""

    def __init__(self):
        super().__init__()
        self.c, self.nc = conv(6, 6, 5), norm(6, 6)
        self.c.weight = self.b.weight

    def body(self, x):
        return self.nc(self.c(super().body(x).relu()))


class ReadTwice(Base):
    """A kernel that another call reads as well."""

    def body(self, x):
        h = self.na(self.a(x)).relu()
        return self.nb(self.b(h)) + F.conv2d(h, self.b.weight, padding=1)


class Storage(Base):
    """Two parameters over one storage."""

    def __init__(self):
        super().__init__()
        self.c, self.nc = conv(6, 6, 5), norm(6, 6)
        self.c.weight = nn.Parameter(self.b.weight.data)

    def body(self, x):
        return self.nc(self.c(super().body(x).relu()))


class TwoNames(Base):
    """A block under two names, in a forward that cannot be traced."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(self.a, self.na)

    def body(self, x):
        if x.shape[1] != 1 or x.sum() < 0:
            x = x.mean(1, keepdim=True)
        return self.nb(self.b(self.stem(x).relu()))


class TwoNorms(Base):
    """One convolution before two batch-norms, in a forward that cannot be traced."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Sequential(self.b, self.nb), nn.Sequential(self.b, norm(6, 9))

    def body(self, x):
        h = self.na(self.a(x)).relu()
        return self.one(h) if x.sum() < 0 else self.one(h) + self.two(h)


class ByContent(Base):
    """Which batch-norm is used depends on the image."""

    def __init__(self):
        super().__init__()
        self.other = norm(6, 11)

    def body(self, x):
        h = self.b(self.na(self.a(x)).relu())
        bright = (x.mean(dim=(1, 2, 3)) > 0.5)[:, None, None, None]
        return torch.where(bright, self.nb(h), self.other(h))


class Viewed(Base):
    """Flattens by `view`, which channels-last features do not allow."""

    def forward(self, x):
        h = self.body(x).relu()
        return self.fc(h.view(h.size(0), -1))


class Hooked(Base):
    """A hook between convolution and batch-norm."""

    def __init__(self):
        super().__init__()
        self.b.register_forward_hook(lambda _m, _i, out: 2 * out)


class Patched(Base):
    """A batch-norm whose forward was replaced on the instance."""

    def __init__(self):
        super().__init__()
        self.nb.forward = torch.tanh


class HalfConvolution(Base):
    """A bfloat16 convolution before a float32 batch-norm."""

    def __init__(self):
        super().__init__()
        self.b = self.b.bfloat16()

    def body(self, x):
        h = self.na(self.a(x)).relu()
        return self.nb(self.b(h.bfloat16()).float())


class Weighed(Base):
    """A parametrised weight."""

    def __init__(self):
        super().__init__()
        self.b = nn.utils.parametrizations.weight_norm(self.b)


class LargeBatches(Base):
    """Leaves a batch-norm out where a batch is large: a way that a few images do not show."""

    most = 17

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(self.b, self.nb)
        del self.b, self.nb

    def body(self, x):
        h = self.na(self.a(x)).relu()
        return self.block(h) if x.shape[0] <= self.most else self.other_way(h)

    def other_way(self, h):
        return self.block[0](h)


class LargeBatchesNormed(LargeBatches):
    """Uses a batch-norm alone where a batch is large."""

    def other_way(self, h):
        return self.block[1](h)


class AfterAWhile(LargeBatches):
    """Goes another way from its thirtieth pass on."""

    def body(self, x):
        self.passes = getattr(self, "passes", 0) + 1
        h = self.na(self.a(x)).relu()
        return self.block(h) if self.passes < 30 else self.other_way(h)


class BrightImages(LargeBatches):
    """Goes another way for some images."""

    def body(self, x):
        h = self.na(self.a(x)).relu()
        return torch.cat([self.block(i) if i.mean() < 0.45 else self.other_way(i) for i in h.split(1)])


KINDS = [
    Base,
    Tied,
    ReadTwice,
    Storage,
    TwoNames,
    TwoNorms,
    ByContent,
    Viewed,
    Hooked,
    Patched,
    HalfConvolution,
    Weighed,
]


def answers(net, x, model=None):
    """Outputs and input gradients of a network, as plain autograd gives them."""
    leaf = x.clone().requires_grad_(True)
    outputs = net(leaf.clone())
    (outputs * torch.arange(1.0, 5.0)).sum().backward(inputs=[leaf])
    return outputs.detach(), leaf.grad


def bits(net):
    return {
        **{k: v.clone() for k, v in net.state_dict().items()},
        **{f"{n}.training": m.training for n, m in net.named_modules()},
        **{f"{n}.grad": None if p.grad is None else p.grad.clone() for n, p in net.named_parameters()},
        **{f"{n}.flag": p.requires_grad for n, p in net.named_parameters()},
        **{f"{n}.place": p.data_ptr() for n, p in net.named_parameters()},
        **{f"{n}.stride": p.stride() for n, p in net.named_parameters()},
        **{f"{n}.attributes": sorted(m.__dict__) for n, m in net.named_modules()},
    }


def same(one, two):
    assert one.keys() == two.keys()
    for name, value in one.items():
        other = two[name]
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, name
