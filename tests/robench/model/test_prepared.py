"""A faster copy is used only where it is the same function; the user's network is never altered."""

import copy

import pytest
import torch
from torch import nn

from robench.errors import JobError
from robench.model.copy_methods import COPY_METHODS
from robench.model.interface import Model
from robench.model.prepared import AS_IT_IS, PreparedModel, PreparedModels
from robench.model.proof import PROOF_IMAGES, relative_error
from robench.model.tested_network import TestedNetwork, networks_under_test
from tests.robench.model.folding_networks import (
    KINDS,
    Base,
    HalfConvolution,
    Patched,
    Viewed,
    X,
    answers,
    bits,
    same,
)

FASTEST = "folded, channels-last"  # of networks without a 3x3 convolution of 256 channels


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_chosen_is_the_networks_own_function(kind):
    net = kind()
    expected = answers(copy.deepcopy(net).eval(), X)
    before = bits(net)
    model = Model(name="m", net=net, classes=4)
    copies = PreparedModel(model)
    name = copies.choose(X, [model.source("exact")])
    with copies.using(name):
        outputs, gradient = answers(model.net, X)
    torch.testing.assert_close(outputs, expected[0], rtol=1e-4, atol=1e-4)
    most = 2e-2 if kind is HalfConvolution else 1e-3  # a layer of bfloat16 rounds as its processor does
    assert float(relative_error(expected[1].flatten(1), gradient.flatten(1)).median()) < most
    same(before, bits(net))


def test_the_fastest_is_used_where_it_is_sound_and_the_reason_is_told_where_not():
    def chosen(net):
        copies = PreparedModel(model := Model(name="m", net=net, classes=4))
        return copies.choose(X, [model.source("exact")]), copies.reasons

    assert chosen(Base()) == (FASTEST, {})
    name, reasons = chosen(Viewed())
    assert name == "folded, channels-last, views copied"
    assert "view" in reasons[FASTEST]
    name, reasons = chosen(Patched())
    assert name == FASTEST  # one of the two batch-norms can be folded
    assert not reasons


class Wrong(Base):
    """Copies of it are another function."""

    def __deepcopy__(self, memo):
        copy = Base()
        copy.fc.weight.data.mul_(1.01)
        return copy


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
    copies = PreparedModel(model := Model(name="m", net=net, classes=4))
    assert copies.choose(X, [model.source("exact")]) == AS_IT_IS
    assert set(copies.reasons) == {r.name for r in COPY_METHODS if not (r.winograd or r.copies_views)}
    assert all(word in reason for reason in copies.reasons.values())
    with copies.using(AS_IT_IS):
        torch.testing.assert_close(answers(model.net, X)[0], answers(net, X)[0])
    same(before, bits(net))


class WrongAlone(Base):
    """Its copies have another gradient where one image is asked about alone."""

    def __init__(self):
        super().__init__()
        self.copied = False

    def __deepcopy__(self, memo):
        copy = WrongAlone()
        copy.copied = True
        return copy

    def forward(self, x):
        outputs = super().forward(x)
        return outputs if len(x) > 1 or not self.copied else outputs.detach() + 0 * outputs


def test_a_copy_is_proven_on_one_image_alone():
    copies = PreparedModel(model := Model(name="m", net=WrongAlone(), classes=4))
    assert copies.choose(X, [model.source("exact")]) == AS_IT_IS
    assert "gradients differ" in copies.reasons["channels-last"]


class TurnsAway(Base):
    """Its copies agree on ordinary images and not on very bright ones."""

    def __init__(self):
        super().__init__()
        self.turned = False

    def __deepcopy__(self, memo):
        copy = TurnsAway()
        copy.turned = True
        return copy

    def forward(self, x):
        bright = (x.amin(dim=(1, 2, 3)) > 0.95)[:, None]
        return torch.where(bright & self.turned, -super().forward(x), super().forward(x))


def test_a_copy_is_proven_again_at_the_points_an_attack_found():
    copies = PreparedModel(model := Model(name="m", net=TurnsAway(), classes=4))
    sources = [model.source("exact")]
    name = copies.choose(X, sources)
    assert name != AS_IT_IS
    assert copies.confirm(name, X, sources)
    assert not copies.confirm(name, X * 0.01 + 0.98, sources)
    assert "outputs differ" in copies.reasons[name]
    assert copies.choose(X, sources) != name


@pytest.mark.thorough
def test_what_is_chosen_depends_on_images_and_points_and_not_on_what_was_done_before():
    net = TurnsAway()
    bright = X * 0.01 + 0.98

    def chosen(copies, x):
        copies.begin()
        name = copies.choose(x, [model.source("exact")])
        with copies.using(name):
            (network,) = networks_under_test(model.net)
            assert (network.module is net) is (name == AS_IT_IS)
        return name, dict(copies.reasons)

    model = Model(name="m", net=net, classes=4)
    alone = [chosen(PreparedModel(model), x) for x in (X, bright)]
    ordinary = alone[0][0]
    assert ordinary != AS_IT_IS
    assert alone[1][0] == AS_IT_IS
    for order in ((0, 1, 0), (1, 0, 1)):
        model_copies = PreparedModel(model)
        for place in order:
            assert chosen(model_copies, (X, bright)[place]) == alone[place]
            assert not model_copies.confirm(ordinary, bright, [model.source("exact")])


def test_a_network_that_draws_is_compared_under_the_same_draw():
    class Noisy(Base):
        def forward(self, x):
            return super().forward(x + 0.3 * torch.randn_like(x))

    copies = PreparedModel(model := Model(name="m", net=Noisy(), classes=4))
    state = torch.random.get_rng_state()
    assert copies.choose(X, [model.source("exact")]) == FASTEST
    assert torch.equal(state, torch.random.get_rng_state())


def test_what_changes_the_network_is_caught_and_undone():
    net = Base()
    before = bits(net)
    copies = PreparedModel(model := Model(name="m", net=net, classes=4))
    name = copies.choose(X, [model.source("exact")])
    with (
        pytest.raises(JobError, match=r"changed 1 of its weights and buffers \(fc.bias\)"),
        copies.using(name),
    ):
        model.net.get_parameter("fc.bias").data.add_(1.0)
    with pytest.raises(JobError, match=r"na\.running_mean"), copies.using(name):
        net.na.running_mean += 1  # the original itself, found by whatever road
    with pytest.raises(JobError, match=r"fc\.weight"), copies.using(AS_IT_IS):
        net.fc.weight = nn.Parameter(torch.zeros(4, 384))

    def spoil():
        net.train()
        net.b.weight.data.zero_()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), copies.using(name):
        spoil()
    same(before, bits(net))
    with copies.using(name):
        torch.testing.assert_close(answers(model.net, X)[0], answers(Base(), X)[0])


def test_a_network_that_counts_its_passes_blames_no_attack():
    class Counting(Base):
        def __init__(self):
            super().__init__()
            self.register_buffer("passes", torch.zeros(()))

        def forward(self, x):
            self.passes += 1
            return super().forward(x)

    for engine in ("auto", "eager"):
        net = Counting()
        copies = PreparedModel(model := Model(name="m", net=net, classes=4), engine=engine)
        with copies.using(copies.choose(X, [model.source("exact")])):
            model.net(X)
        assert float(net.passes) == 0


def test_copies_are_made_once_for_a_model():
    model = Model(name="m", net=Base(), classes=4)
    copies = PreparedModels()
    assert copies.of(model) is copies.of(model.renamed("other"))
    assert PreparedModels(engine="eager").of(model).choose(X, [model.source("exact")]) == AS_IT_IS


def test_a_proof_costs_a_hundredth_of_what_it_serves_at_most(monkeypatch):
    """Counted in passes of one image: 1,000 images, PGD-40, two shards; a backward counts as two forwards."""
    rows = []
    original = TestedNetwork.forward

    def counted(self, x):
        rows.append(len(x) * (3 if x.requires_grad else 1))
        return original(self, x)

    monkeypatch.setattr(TestedNetwork, "forward", counted)
    copies = PreparedModel(model := Model(name="m", net=Base(), classes=4))
    sources = [model.source("exact")]
    for shard in range(2):  # each is proven on images of its own
        x = torch.rand(500, 1, 8, 8, generator=torch.Generator().manual_seed(shard))
        copies.begin()
        name = copies.choose(x, sources)
        copies.confirm(name, x[:8], sources)
    assert name == FASTEST
    assert PROOF_IMAGES <= sum(rows) <= 0.01 * 1000 * 40 * 3
