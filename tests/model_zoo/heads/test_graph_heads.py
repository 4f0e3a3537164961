"""The graph heads after WNLL: outputs, sources, protocols, refusals."""

import math

import pytest
import torch

from model_zoo.heads.gll import GLL
from model_zoo.heads.laplace import Laplace
from model_zoo.heads.p_laplace import PLaplace
from model_zoo.heads.poisson import Poisson
from model_zoo.heads.pwll import PWLL
from robench import plugins
from robench.attack.losses import cross_entropy
from robench.data.loading import select
from robench.errors import ConfigError, InputError
from robench.model.interface import Coupling, OutputKind, predictions
from robench.recipe import build, describe, identity_of
from tests.attacks.wnll.graph_toys import TEST, TRAIN, headed, network, wnll

X, Y = TEST.batch(slice(0, 30))
HEADS = {"laplace": Laplace, "poisson": Poisson, "pwll": PWLL, "gll": GLL, "p_laplace": PLaplace}
BOTH = ("laplace", "poisson", "gll")
MODELS = [(name, "joint") for name in HEADS] + [(name, "independent") for name in BOTH]


def made(name, protocol="joint", net=None, data=TRAIN, seed=0, **options):
    options = {"protocol": protocol, "m": 8, "template": 60} | options
    if name != "gll":
        options = {"n": 4} | options
    return headed(HEADS[name](**options), net, seed, data)


@pytest.mark.parametrize(("name", "protocol"), MODELS)
def test_outputs_and_sources_agree(name, protocol):
    model = made(name, protocol)
    u = model.net(X)
    assert u.shape == (30, 10)
    assert model.output is (OutputKind.LOGITS if name == "poisson" else OutputKind.SIMPLEX)
    torch.testing.assert_close(u.sum(1), torch.full((30,), float(name != "poisson")), rtol=1e-4, atol=1e-5)
    assert model.coupling is (Coupling.JOINT if protocol == "joint" else Coupling.INDEPENDENT)
    assert list(model.sources) == ["straight_through", "linear", "exact", "kernel"]
    assert model.details["head"] == name
    for source in model.sources.values():
        x = X.clone().requires_grad_()
        surrogate, own = source.surrogate(x)
        torch.testing.assert_close(own, u, rtol=1e-4, atol=1e-5)
        (gradient,) = torch.autograd.grad(cross_entropy(surrogate, Y, source.output).sum(), x)
        assert bool(gradient.isfinite().all())
        assert bool(gradient.any())
    alone = torch.cat([model.net(X[i : i + 1]) for i in range(30)])
    assert torch.allclose(u, alone, rtol=1e-4, atol=1e-5) == (protocol == "independent")


@pytest.mark.parametrize(("name", "protocol"), MODELS)
def test_the_digits_are_recognised_from_their_pixels(name, protocol):
    model = made(name, protocol, network(raw=True), template=300)
    x, y = TEST.batch(slice(0, 100))
    assert list(model.sources) == ["exact", "kernel"]
    assert (predictions(model.net(x), model.output) == y).float().mean() > 0.9


@pytest.mark.parametrize(("name", "protocol"), MODELS)
def test_the_exact_source_matches_finite_differences_through_the_whole_head(name, protocol):
    model = made(name, protocol, network(raw=True))
    model.net.double()  # the template's buffers follow
    rng = torch.Generator().manual_seed(2)
    shift = 0.02 * torch.rand(X[:6].shape, generator=rng, dtype=torch.float64)
    x = (X[:6].double() + shift).requires_grad_()  # pixels are sixteenths, and many distances tie
    value, _ = model.source("exact").surrogate(x)
    weight = torch.rand(6, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((value * weight).sum(), x)
    rng = torch.Generator().manual_seed(1)
    for _ in range(3):
        step = torch.rand(x.shape, generator=rng, dtype=torch.float64) - 0.5
        ends = [(model.net(x + s * 1e-6 * step) * weight).sum() for s in (1, -1)]
        torch.testing.assert_close((gradient * step).sum(), (ends[0] - ends[1]) / 2e-6, rtol=2e-3, atol=1e-6)
    assert gradient.abs().max() > 1e-6


def test_laplace_is_wnll_without_its_template_term():
    joint, alone = made("laplace").net, made("laplace", "independent").net
    other = wnll("joint").net
    assert (joint(X) - other(X)).abs().max() > 1e-3
    assert torch.equal(joint.points[0], other.points[0])  # the same template
    assert (alone(X) - wnll().net(X)).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["pwll", "p_laplace"])
def test_an_image_alone_is_classified_as_by_laplace_so_the_protocol_is_refused(name):
    with pytest.raises(ConfigError, match="use the head `laplace`"):
        build(HEADS[name], {"protocol": "independent"}, where="test.yaml:1")
    one = made(name).net
    plain = made("laplace", "independent").net(X)
    rows = torch.cat([one(X[i : i + 1]) for i in range(30)])
    assert torch.equal(rows.argmax(1), plain.argmax(1))
    if name == "pwll":
        torch.testing.assert_close(rows, plain)
    with pytest.raises(ConfigError, match="`joint`"):
        one.alone(X, None)


@pytest.mark.parametrize("name", HEADS)
def test_unlabelled_images_join_every_joint_graph(name):
    few = select(TRAIN, limit=600, subset="balanced", seed=0, labelled=60)
    net = network(buffer=16)
    model = made(name, net=net, data=few, template=40, unlabelled=100)
    assert len(model.net.unlabelled) == 100
    u = model.net(X)
    assert u.shape == (30, 10)
    assert (u - made(name, net=net, data=few, template=40).net(X)).abs().max() > 1e-4
    assert "unlabelled_sha256" in model.details
    z = torch.cat([net.features(X), model.net.unlabelled])
    torch.testing.assert_close(model.net.together(z, *model.net.points).u[:30], u)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("laplace", {"n": 1}),
        ("poisson", {"n": 31}),
        ("pwll", {"radius": 0}),
        ("pwll", {"alpha": -1}),
        ("pwll", {"zeta": 1}),
        ("pwll", {"radius": math.inf}),
        ("gll", {"m": 1}),
        ("gll", {"n": 3}),
        ("p_laplace", {"p": 1.9}),
        ("p_laplace", {"p": math.inf}),
        ("p_laplace", {"solver": "cg"}),
        *[(name, option) for name in HEADS for option in (
            {"tau": 0}, {"template": 0}, {"m": 600}, {"protocol": "voting"}, {"unlabelled": -1},
        )],
        *[(name, {"unlabelled": 5, "protocol": "independent"}) for name in BOTH],
    ],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(name, options):
    with pytest.raises(ConfigError):
        build(HEADS[name], options, where="test.yaml:1")


@pytest.mark.parametrize("name", HEADS)
def test_training_data_that_cannot_serve_are_refused_early(name):
    few = TRAIN.subset(torch.arange(20))
    for data in (few, TRAIN.subset(TRAIN.labels != 7), TEST):
        with pytest.raises(InputError):
            HEADS[name](template=100, protocol="joint").check(lambda data=data: data, classes=10, seed=0)
        with pytest.raises(InputError):
            made(name, data=data, template=100)


@pytest.mark.parametrize("name", HEADS)
def test_it_is_a_plugin_with_a_paper_and_its_options_are_in_the_details(name):
    recipe = plugins.find("heads", name)
    assert recipe is HEADS[name]
    assert recipe.info.bibtex.startswith("@")
    docstring = recipe.__doc__
    assert all(f"    {option}: " in docstring for option in describe(recipe))
    model = made(name)
    assert identity_of(HEADS[name](protocol="joint")).keys() <= model.details.keys()
    assert model.fingerprint() == made(name).fingerprint() != made(name, seed=1).fingerprint()


@pytest.mark.parametrize("name", HEADS)
def test_features_that_are_no_number_cost_only_their_own_row(name):
    net = made(name).net
    z = net.branches.features(X[:5]).detach()
    z[2, 0] = torch.nan
    assert net.classify(z).isnan().all(dim=1).tolist() == [False, False, True, False, False]


def test_laplace_is_bounded_as_wnll_is_and_the_others_offer_no_bounds():
    """Over boxes without width, the margins are those of u; over wider ones, less."""
    net = made("laplace", "independent").net
    z = net.branches.features(X).detach().double()
    u = net.classify(z.float())
    y = predictions(u)
    point, wide = (net.margins_over(z - r, z + r, y) for r in (0.0, 1e-3))
    margins = u.gather(1, y[:, None]) - u
    assert (point <= margins + 1e-4).all()
    torch.testing.assert_close(point.float(), margins, rtol=0, atol=1e-3)
    assert (wide <= point + 1e-6).all()
    for name in ("poisson", "gll"):
        assert not hasattr(made(name, "independent").net, "margins_over")
