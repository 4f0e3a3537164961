"""A defended model answers through its defense, and its sources get past it as they say."""

import math

import pytest
import torch
import torch.nn.functional as F

from defenses.inference.bit_depth import BitDepth
from defenses.inference.eot import log_mean
from defenses.inference.jpeg import JPEG
from defenses.inference.quilting import Quilting
from defenses.inference.smoothing import Smoothing
from defenses.inference.source_names import defended_names, offered_sources
from defenses.inference.squeezing import FeatureSqueezing
from defenses.inference.total_variation import TotalVariation
from robench.attack.losses import cross_entropy
from robench.data.images import image_set
from robench.errors import ConfigError
from robench.model.interface import Coupling, Model, OutputKind, predictions
from robench.model.noise import draw
from tests.truths import images, joint, small_net, two_sources, with_head

SHAPE = (1, 6, 6)


def data():
    x = (images(60, seed=5) * 255).round().to(torch.uint8)
    return image_set(x, torch.zeros(60, dtype=torch.int64), split="train", classes=4)


def behind(recipe, model=None, seed=0):
    return recipe(model or small_net(), training_data=data, seed=seed)


RECIPES = [
    BitDepth(bits=2),
    JPEG(quality=40),
    TotalVariation(iterations=10, draws=3),
    TotalVariation(iterations=10, dropout=0.0),
    Quilting(patch=3, overlap=1, neighbours=4, patches=200, draws=3),
    Quilting(patch=3, overlap=1, neighbours=1, patches=200),
    Smoothing(votes=5, samples=3),
    FeatureSqueezing(),
]
RANDOM = [
    recipe for recipe in RECIPES if getattr(recipe, "dropout", 0) or getattr(recipe, "neighbours", 0) > 1
]


def named(recipe):
    return type(recipe).__name__


def gradient(source, x, y):
    point = x.clone().requires_grad_(True)
    surrogate, _ = source.surrogate(point)
    return torch.autograd.grad(cross_entropy(surrogate, y, source.output).sum(), point)[0]


@pytest.mark.parametrize("recipe", RECIPES, ids=named)
@pytest.mark.parametrize("base", [small_net, lambda: two_sources(small_net())], ids=["one", "two"])
def test_every_source_says_what_the_model_answers(recipe, base):
    model = behind(recipe, base())
    x = images(5)
    with torch.no_grad():
        own = model.net(x)
    assert own.shape == (5, model.columns)
    assert tuple(model.sources) == recipe.offers(tuple(base().sources))
    for name, source in model.sources.items():
        surrogate, answer = source.surrogate(x.clone().requires_grad_(True))
        assert source.name == name
        assert surrogate.shape == (5, model.classes)
        assert torch.allclose(answer, own, atol=1e-6), name
        assert torch.isfinite(surrogate).all()


@pytest.mark.parametrize("recipe", RECIPES, ids=named)
def test_a_defended_model_answers_alike_in_every_batch(recipe):
    model = behind(recipe)
    x = images(7)
    with torch.no_grad():
        whole = model.net(x)
        assert torch.allclose(torch.cat([model.net(x[:4]), model.net(x[4:])]), whole, atol=1e-6)
        assert torch.allclose(model.net(x.flip(0)).flip(0), whole, atol=1e-6)
        assert torch.equal(model.net(x), whole)


@pytest.mark.parametrize("recipe", RECIPES, ids=named)
def test_defense_options_and_seed_are_part_of_the_fingerprint(recipe):
    base = small_net()
    model = behind(recipe, base)
    assert model.name == base.name
    assert model.fingerprint() != base.fingerprint()
    assert model.fingerprint() == behind(recipe, small_net()).fingerprint()
    assert model.details["inference"][0]["defense"] == type(recipe).__name__
    if "eot/exact" in model.sources:
        assert behind(recipe, seed=1).fingerprint() != model.fingerprint()


@pytest.mark.parametrize("recipe", RECIPES, ids=named)
def test_the_undefended_source_is_the_base_models_gradient(recipe):
    base, x = small_net(), images(4)
    y = torch.arange(4)
    slope = gradient(behind(recipe, base).sources["undefended"], x, y)
    assert torch.equal(slope, gradient(base.source("exact"), x, y))


@pytest.mark.parametrize("recipe", RECIPES[:2], ids=named)
def test_bpda_is_the_base_gradient_at_the_transformed_image(recipe):
    base, x = small_net(), images(4)
    model, y = behind(recipe, base), torch.arange(4)
    variant = model.net.transform(x)
    assert not torch.equal(variant, x)
    slope = gradient(model.sources["bpda/exact"], x, y)
    assert torch.equal(slope, gradient(base.source("exact"), variant, y))


@pytest.mark.parametrize("recipe", RANDOM, ids=named)
def test_eot_is_the_gradient_of_the_mean_over_the_draws(recipe):
    base, x, y = small_net(), images(4), torch.arange(4)
    model = behind(recipe, base)
    versions, shares = [], []
    for number in (1, 2, 3):
        with draw(number):
            point = model.net.transform(x).requires_grad_(True)
        versions.append(point)
        shares.append(base.net(point).softmax(dim=1))
    loss = -torch.stack(shares).mean(dim=0).gather(1, y[:, None]).log().sum()
    expected = sum(torch.autograd.grad(loss, versions))  # backward is the identity
    assert torch.allclose(gradient(model.sources["eot/exact"], x, y), expected, atol=1e-6)
    assert not torch.equal(versions[0], model.net.transform(x))  # never the draw the model classifies with


@pytest.mark.thorough
def test_smoothing_is_attacked_in_expectation_over_its_noise():
    class Linear(torch.nn.Module):
        def forward(self, x):
            mean = x.flatten(1).mean(dim=1, keepdim=True)
            return torch.cat([mean, -mean], dim=1)

    base = Model(name="mean", net=Linear(), classes=2)
    model = Smoothing(sigma=6.0, votes=3, samples=400)(base, training_data=data, seed=0)
    x = torch.full((1, *SHAPE), 0.5)
    surrogate, _ = model.sources["eot/exact"].surrogate(x)
    # The mean of 36 noises of deviation 6 has deviation 1; the scores are +- the mean: E[sigmoid(1 + 2 z)],
    # which is 0.66; without noise it would be 0.73. Four hundred samples err by 0.015.
    grid = torch.linspace(-6, 6, 20001, dtype=torch.float64)
    density = torch.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    expected = torch.trapezoid(torch.sigmoid(1 + 2 * grid) * density, grid)
    assert float(surrogate.exp()[0, 0]) == pytest.approx(float(expected), abs=0.03)


def test_votes_are_counted_one_per_noisy_copy():
    model = behind(Smoothing(sigma=0.3, votes=11))
    x = images(6)
    counts = model.net.counts(x, 11, use="smoothing")
    assert counts.sum(dim=1).tolist() == [11] * 6
    assert torch.equal(model.net(x) * 11, counts.float())
    alone = [predictions(model.net.base(copy)) for copy in model.net._copies(x, 11, "smoothing")]
    assert torch.equal(F.one_hot(torch.stack(alone), 4).sum(dim=0), counts)
    assert model.output is OutputKind.SIMPLEX


def test_a_vote_that_is_no_number_leaves_no_answer():
    base = with_head(small_net(), lambda s: torch.where(s[:, :1] > s[:, 1:2], torch.nan, s))
    model = behind(Smoothing(votes=5), base)
    x = images(30)
    bad = model.net.counts(x, 5, use="smoothing").sum(dim=1) < 5
    assert bad.any()
    assert not bad.all()
    with torch.no_grad():
        assert torch.equal(predictions(model.net(x)) < 0, bad)


def test_an_expectation_inside_another_shares_its_draws():
    calls = []
    base = small_net()
    base.net.register_forward_hook(lambda *_: calls.append(1))
    inner = TotalVariation(iterations=2, draws=3)(base, training_data=data, seed=0)
    outer = Smoothing(votes=2, samples=4)(inner, training_data=data, seed=0)
    assert list(outer.sources) == ["eot/exact", "undefended"]
    outer.sources["eot/exact"].surrogate(images(2).requires_grad_(True))
    # Four joint draws, and the votes (two copies of two images go in one batch); the inner model's own
    # answers, which nobody reads, are spared.
    assert len(calls) == 4 + 1


def test_defenses_stack_in_order_and_keep_their_names_short():
    base = two_sources(small_net())
    inner = BitDepth(bits=1)(base, training_data=data, seed=0)
    outer = JPEG(quality=30)(inner, training_data=data, seed=0)
    x = images(3)
    with torch.no_grad():
        expected = base.net(inner.net.transform(outer.net.transform(x)))
        assert torch.equal(outer.net(x), expected)
    assert list(outer.sources) == ["bpda/exact", "bpda/turned", "undefended"]
    assert [entry["defense"] for entry in outer.details["inference"]] == ["JPEG", "BitDepth"]


def test_names_say_the_strongest_way():
    assert defended_names(["bpda/exact", "bpda/kernel", "undefended"], "eot") == {
        "bpda/exact": "eot/exact",
        "bpda/kernel": "eot/kernel",
    }
    assert offered_sources(["adaptive/exact", "undefended"], "bpda") == ("adaptive/exact", "undefended")
    assert offered_sources(["exact"], "adaptive") == ("adaptive/exact", "undefended")


@pytest.mark.parametrize("recipe", RECIPES, ids=named)
def test_a_joint_model_keeps_its_batch_whole(recipe):
    base = joint(small_net())
    model = recipe(base, training_data=data, seed=0)
    assert model.coupling is Coupling.JOINT
    base.net.sizes.clear()
    x = images(6)
    with torch.no_grad():
        own = model.net(x)
    for source in model.sources.values():
        _, answer = source.surrogate(x.clone().requires_grad_(True))
        assert torch.allclose(answer, own, atol=1e-6)
    assert set(base.net.sizes) == {6}


def test_a_training_mode_network_keeps_its_modes():
    base = small_net()
    base.net[1].train()
    behind(FeatureSqueezing(), base)
    assert base.net[1].training
    assert not base.net[3].training


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (BitDepth, {"bits": 0}),
        (JPEG, {"quality": 100}),
        (TotalVariation, {"dropout": 1.0}),
        (TotalVariation, {"weight": -1.0}),
        (Quilting, {"overlap": 5}),
        (Quilting, {"patches": 3}),
        (Smoothing, {"sigma": 0.0}),
        (Smoothing, {"votes": 0}),
        (FeatureSqueezing, {"bits": None, "median": None}),
        (FeatureSqueezing, {"threshold": 3.0}),
        (FeatureSqueezing, {"false_positives": 1.0}),
    ],
)
def test_options_that_mean_nothing_are_refused(kind, options):
    with pytest.raises(ConfigError, match=list(options)[-1]):
        kind(**options)


def test_the_mean_of_distributions_in_logarithms():
    parts = [images(1, shape=(2, 3), seed=s)[0].log_softmax(dim=1) for s in range(3)]
    expected = torch.stack([p.exp() for p in parts]).mean(dim=0).log()
    assert torch.allclose(log_mean(parts), expected)


class Undecided(torch.nn.Module):
    """Ties where the mean pixel is below 0.2, is no number above 0.8, class 1 else."""

    def forward(self, x):
        mean = x.flatten(1).mean(dim=1, keepdim=True)
        rows = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [math.nan] * 3])
        return rows[(mean >= 0.2).long().squeeze(1) + (mean > 0.8).long().squeeze(1)]


def test_a_copy_that_ties_votes_for_no_class():
    base = Model(name="u", net=Undecided(), classes=3)
    x = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    model = behind(Smoothing(sigma=1e-3, votes=7), base)
    shares = model.net(x)
    assert shares[:2].tolist() == [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert predictions(shares, model.output).tolist() == [-2, 1, -1]
    assert model.net.counts(x, 5, use="other").tolist() == [[0, 0, 0], [0, 5, 0], [0, 0, 0]]


def test_equal_votes_are_no_answer():
    class Half(torch.nn.Module):
        def forward(self, x):
            return torch.eye(3)[torch.arange(len(x)) % 2]  # the copies of an image take turns

    model = behind(Smoothing(sigma=0.1, votes=4), Model(name="h", net=Half(), classes=3))
    x = images(1, seed=3)
    assert model.net(x).tolist() == [[0.5, 0.5, 0.0]]
    assert predictions(model.net(x), model.output).tolist() == [-2]
