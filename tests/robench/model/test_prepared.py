"""A faster copy is used only where it is the same function; the user's network is never altered."""

import copy
import os

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robench.errors import JobError
from robench.model.interface import Model
from robench.model.prepared import (
    AS_IT_IS,
    PROOF_IMAGES,
    RECIPES,
    PreparedModel,
    PreparedModels,
    Recipe,
    evaluation_mode,
    prepared_copy,
    relative_error,
)
from robench.model.tested_network import TestedNetwork

FASTEST = RECIPES[0].name
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


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_chosen_is_the_networks_own_function(kind):
    net = kind()
    expected = answers(copy.deepcopy(net).eval(), X)
    before = bits(net)
    model = Model(name="m", net=net, classes=4)
    prepared = PreparedModel(model)
    chosen = prepared.choose(X, [model.source("exact")])
    with prepared.using(chosen):
        outputs, gradient = answers(model.net, X)
    torch.testing.assert_close(outputs, expected[0], rtol=1e-4, atol=1e-4)
    assert float(relative_error(expected[1].flatten(1), gradient.flatten(1)).median()) < 1e-3
    same(before, bits(net))


def test_the_fastest_is_used_where_it_is_sound_and_the_reason_is_told_where_not():
    def chosen(net):
        prepared = PreparedModel(model := Model(name="m", net=net, classes=4))
        return prepared.choose(X, [model.source("exact")]), prepared.reasons

    assert chosen(Base()) == (FASTEST, {})
    name, reasons = chosen(Viewed())
    assert name == "folded"
    assert "view" in reasons[FASTEST]
    name, reasons = chosen(Patched())
    assert name == FASTEST  # one of the two batch-norms can be folded
    assert not reasons


def test_sound_folding_really_folds():
    twin = prepared_copy(Base(), Recipe("folded", fold=True))
    assert [m for m in twin.modules() if isinstance(m, nn.BatchNorm2d) and "forward" in m.__dict__] == [
        twin.na,
        twin.nb,
    ]
    for unsound in (Hooked, Patched, HalfConvolution, Weighed, ByContent):
        twin = prepared_copy(unsound(), Recipe("folded", fold=True))
        assert "forward" not in twin.nb.__dict__ or unsound is Patched
        assert "forward" in twin.na.__dict__
    for shared in (Tied, ReadTwice):
        twin = prepared_copy(shared(), Recipe("folded", fold=True))
        assert "forward" not in twin.nb.__dict__


class Wrong(Base):
    """Copies of it are another function."""

    def __deepcopy__(self, memo):
        made = Base()
        made.fc.weight.data.mul_(1.01)
        return made


class Shared(Base):
    """Copies of it are itself."""

    def __deepcopy__(self, memo):
        return self


class Uncopyable(Base):
    """Holds a tensor that torch does not copy."""

    def __init__(self):
        super().__init__()
        self.kept = self.fc.weight * 2


@pytest.mark.parametrize(
    ("kind", "word"),
    [(Wrong, "outputs differ by 0.0"), (Shared, "shares weights"), (Uncopyable, "could not be made")],
)
def test_a_copy_that_is_not_the_network_is_thrown_away(kind, word):
    net = kind()
    before = bits(net)
    prepared = PreparedModel(model := Model(name="m", net=net, classes=4))
    assert prepared.choose(X, [model.source("exact")]) == AS_IT_IS
    assert set(prepared.reasons) == {r.name for r in RECIPES}
    assert all(word in reason for reason in prepared.reasons.values())
    with prepared.using(AS_IT_IS):
        torch.testing.assert_close(answers(model.net, X)[0], answers(net, X)[0])
    same(before, bits(net))


class WrongAlone(Base):
    """Its copies have another gradient where one image is asked about alone."""

    def __init__(self):
        super().__init__()
        self.copied = False

    def __deepcopy__(self, memo):
        made = WrongAlone()
        made.copied = True
        return made

    def forward(self, x):
        outputs = super().forward(x)
        return outputs if len(x) > 1 or not self.copied else outputs.detach() + 0 * outputs


def test_a_copy_is_proven_on_one_image_alone():
    prepared = PreparedModel(model := Model(name="m", net=WrongAlone(), classes=4))
    assert prepared.choose(X, [model.source("exact")]) == AS_IT_IS
    assert "gradients differ" in prepared.reasons["channels-last"]


class TurnsAway(Base):
    """Its copies agree on ordinary images and not on very bright ones."""

    def __init__(self):
        super().__init__()
        self.turned = False

    def __deepcopy__(self, memo):
        made = TurnsAway()
        made.turned = True
        return made

    def forward(self, x):
        bright = (x.amin(dim=(1, 2, 3)) > 0.95)[:, None]
        return torch.where(bright & self.turned, -super().forward(x), super().forward(x))


def test_a_copy_is_proven_again_at_the_points_an_attack_found():
    prepared = PreparedModel(model := Model(name="m", net=TurnsAway(), classes=4))
    sources = [model.source("exact")]
    name = prepared.choose(X, sources)
    assert name != AS_IT_IS
    assert prepared.confirm(name, X, sources)
    assert not prepared.confirm(name, X * 0.01 + 0.98, sources)
    assert "outputs differ" in prepared.reasons[name]
    assert prepared.choose(X, sources) != name


def test_a_network_that_draws_is_compared_under_the_same_draw():
    class Noisy(Base):
        def forward(self, x):
            return super().forward(x + 0.3 * torch.randn_like(x))

    prepared = PreparedModel(model := Model(name="m", net=Noisy(), classes=4))
    state = torch.random.get_rng_state()
    assert prepared.choose(X, [model.source("exact")]) == FASTEST
    assert torch.equal(state, torch.random.get_rng_state())


def test_what_changes_the_network_is_caught_and_undone():
    net = Base()
    before = bits(net)
    prepared = PreparedModel(model := Model(name="m", net=net, classes=4))
    name = prepared.choose(X, [model.source("exact")])
    with (
        pytest.raises(JobError, match=r"changed 1 of its weights and buffers \(fc.bias\)"),
        prepared.using(name),
    ):
        model.net.get_parameter("fc.bias").data.add_(1.0)
    with pytest.raises(JobError, match=r"na\.running_mean"), prepared.using(name):
        net.na.running_mean += 1  # the original itself, found by whatever road
    with pytest.raises(JobError, match=r"fc\.weight"), prepared.using(AS_IT_IS):
        net.fc.weight = nn.Parameter(torch.zeros(4, 384))

    def spoil():
        net.train()
        net.b.weight.data.zero_()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), prepared.using(name):
        spoil()
    same(before, bits(net))
    with prepared.using(name):
        torch.testing.assert_close(answers(model.net, X)[0], answers(Base(), X)[0])


def test_a_network_that_counts_its_passes_blames_no_attack():
    class Counting(Base):
        def __init__(self):
            super().__init__()
            self.register_buffer("passes", torch.zeros(()))

        def forward(self, x):
            self.passes += 1
            return super().forward(x)

    for eager in (False, True):
        net = Counting()
        prepared = PreparedModel(model := Model(name="m", net=net, classes=4), eager=eager)
        with prepared.using(prepared.choose(X, [model.source("exact")])):
            model.net(X)
        assert float(net.passes) == 0


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
    seen = []

    class Looks(Base):
        def forward(self, x):
            seen.append(
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
    assert seen == [("highest", "ieee", False)]


def test_copies_are_made_once_for_a_model():
    model = Model(name="m", net=Base(), classes=4)
    prepared = PreparedModels()
    assert prepared.of(model) is prepared.of(model.renamed("other"))
    assert PreparedModels(eager=True).of(model).choose(X, [model.source("exact")]) == AS_IT_IS


def test_a_proof_costs_a_hundredth_of_what_it_serves_at_most(monkeypatch):
    """Counted in passes of one image: 1,000 images, PGD-40, two shards; a backward counts as two forwards."""
    rows = []
    asked = TestedNetwork.forward

    def counted(self, x):
        rows.append(len(x) * (3 if x.requires_grad else 1))
        return asked(self, x)

    monkeypatch.setattr(TestedNetwork, "forward", counted)
    prepared = PreparedModel(model := Model(name="m", net=Base(), classes=4))
    sources = [model.source("exact")]
    x = torch.rand(500, 1, 8, 8)
    for _ in range(2):
        name = prepared.choose(x, sources)
        prepared.confirm(name, x[:8], sources)
    assert name == FASTEST
    assert PROOF_IMAGES <= sum(rows) <= 0.01 * 1000 * 40 * 3


def test_tracing_switches_nothing_for_the_process(tmp_path, monkeypatch):
    """Folding runs the network's own code on symbols, which may switch what it switches in every pass."""

    class Switches(Base):
        def forward(self, x):
            os.chdir("/")
            torch.set_grad_enabled(False)
            torch.set_default_dtype(torch.float64)
            return super().forward(x)

    monkeypatch.chdir(tmp_path)
    before = (os.getcwd(), torch.is_grad_enabled(), torch.get_default_dtype())
    prepared_copy(Switches(), Recipe("folded", fold=True))
    assert (os.getcwd(), torch.is_grad_enabled(), torch.get_default_dtype()) == before
