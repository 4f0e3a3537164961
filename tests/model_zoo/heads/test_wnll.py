import random

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo.catalog import DigitsCNN, RawPixels
from model_zoo.datasets import Digits
from model_zoo.heads.sources import StraightThrough
from model_zoo.heads.templates import draw_templates
from model_zoo.heads.wnll import WNLL
from model_zoo.network import Network
from robench.attack.losses import cross_entropy
from robench.data.images import image_set
from robench.errors import ConfigError, InputError
from robench.model.interface import Coupling, OutputKind, predictions

TRAIN, TEST = Digits()("train"), Digits()("test")
X, Y = TEST.batch(slice(0, 40))
PROTOCOLS = ["independent", "joint", "voting"]


def network(raw=False, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        recipe = RawPixels() if raw else DigitsCNN()
        return Network(recipe(channels=1, size=(8, 8), classes=10), classes=10, linear=not raw, **options)


def wnll(net=None, data=TRAIN, seed=0, **options):
    options = {"m": 12, "n": 6, "template": 200} | options
    return WNLL(**options)(
        net or network(buffer=32), name="w", classes=10, training_data=lambda: data, seed=seed, device="cpu",
        details={"architecture": "digits_cnn"},
    )  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_outputs_and_sources_agree(protocol):
    model = wnll(protocol=protocol)
    u = model.net(X)
    assert u.shape == (40, 10)
    assert bool((u >= 0).all())
    torch.testing.assert_close(u.sum(1), torch.ones(40))
    assert model.output is OutputKind.SIMPLEX
    assert model.coupling is (Coupling.JOINT if protocol == "joint" else Coupling.INDEPENDENT)
    assert list(model.sources) == ["straight_through", "linear", "exact", "kernel"]
    for source in model.sources.values():
        passes = []
        handle = model.net.branches.backbone.register_forward_hook(
            lambda *_, counter=passes: counter.append(1)
        )
        x = X.clone().requires_grad_()
        surrogate, own = source.surrogate(x)
        handle.remove()
        assert len(passes) == 1
        torch.testing.assert_close(own, u, rtol=1e-4, atol=1e-5)
        assert surrogate.shape == u.shape
        (gradient,) = torch.autograd.grad(cross_entropy(surrogate, Y, source.output).sum(), x)
        assert bool(gradient.isfinite().all())
        assert bool(gradient.any())
        if source.output is OutputKind.SIMPLEX:
            torch.testing.assert_close(surrogate, own)


def test_linear_source_is_the_linear_branch():
    model = wnll()
    logits, _ = model.source("linear").surrogate(X)
    torch.testing.assert_close(logits, model.net.branches(X))


@pytest.mark.thorough
def test_only_the_joint_protocol_depends_on_the_batch():
    for protocol in PROTOCOLS:
        net = wnll(protocol=protocol).net
        alone = torch.cat([net(X[i : i + 1]) for i in range(20)])
        close = torch.allclose(net(X)[:20], alone, rtol=1e-4, atol=1e-5)
        assert close == (protocol != "joint")


def test_straight_through_is_the_linear_jacobian_applied_to_the_slope_at_u():
    model = wnll()
    x = X[:6].clone().requires_grad_()
    surrogate, u = model.source("straight_through").surrogate(x)
    (gradient,) = torch.autograd.grad(cross_entropy(surrogate, Y[:6], OutputKind.SIMPLEX).sum(), x)
    leaf = u.detach().requires_grad_()
    (slope,) = torch.autograd.grad(cross_entropy(leaf, Y[:6], OutputKind.SIMPLEX).sum(), leaf)
    (expected,) = torch.autograd.grad(model.net.branches(x), x, grad_outputs=slope)
    torch.testing.assert_close(gradient, expected)
    logits = torch.rand(2, 3, requires_grad=True)
    out = StraightThrough.apply(torch.eye(3)[:2], logits)
    assert torch.equal(out, torch.eye(3)[:2])
    out.backward(torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
    assert logits.grad.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_exact_source_matches_finite_differences():
    model = wnll(network(raw=True), template=60)
    model.net.double()  # the template's buffers follow
    x = X[:2].double().requires_grad_()
    value, _ = model.source("exact").surrogate(x)
    weight = torch.rand(2, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((value * weight).sum(), x)
    step = torch.rand(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5
    ends = [(model.net(x + s * 1e-5 * step) * weight).sum() for s in (1, -1)]
    torch.testing.assert_close((gradient * step).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-3, atol=1e-6)


def test_raw_pixels_classify_and_offer_no_linear_sources():
    model = wnll(network(raw=True), template=600)
    assert list(model.sources) == ["exact", "kernel"]
    x, y = TEST.batch(slice(0, 445))
    assert (predictions(model.net(x)) == y).float().mean() > 0.93


def test_foreign_network_is_split_and_left_alone():
    with torch.random.fork_rng(devices=[]):
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, 10))
    keys = list(module.state_dict())
    model = wnll(module)
    assert list(module.state_dict()) == keys
    assert all(part.training for part in module.modules())
    module.eval()
    torch.testing.assert_close(model.source("linear").surrogate(X)[0], module(X))
    with pytest.raises(InputError, match="softmax"):
        wnll(nn.Sequential(module, nn.Softmax(1)))


def test_details_identify_the_template():
    model, other = wnll(), wnll(seed=1)
    expected = {
        "architecture": "digits_cnn", "head": "wnll", "protocol": "independent", "m": 12, "n": 6,
        "template": 200, "kernel": "gaussian", "mu": "paper", "search": "auto", "solver": "auto",
    }  # fmt: skip
    assert expected.items() <= model.details.items()
    (digest,) = model.details["template_sha256"]
    assert len(digest) == 64
    assert [digest] != other.details["template_sha256"]
    assert wnll().fingerprint() == model.fingerprint() != other.fingerprint()
    assert len(set(wnll(protocol="voting").details["template_sha256"])) == 3


def test_global_randomness_and_modes_are_left_alone():
    net = network(buffer=8)
    net.train()
    net.backbone.convolutions.eval()
    modes = [part.training for part in net.modules()]
    state = {key: value.clone() for key, value in net.state_dict().items()}
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    model = wnll(net, protocol="voting")
    model.net(X)
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])
    assert [part.training for part in net.modules()] == modes
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in state.items())
    assert set(model.net.state_dict()) == {f"branches.module.{key}" for key in state}


def test_nonfinite_features_cost_only_their_own_row():
    net = wnll().net
    z = net.branches.features(X[:5]).detach()
    z[2, 0] = torch.nan
    z[4, 1] = torch.inf
    u = net.classify(z)
    assert u.isnan().all(dim=1).tolist() == [False, False, True, False, True]
    torch.testing.assert_close(u[:2], net(X[:2]))


def test_template_without_a_class_is_refused_by_name():
    data = TRAIN.subset(TRAIN.labels != 7)
    with pytest.raises(InputError, match="without '7'"):
        wnll(data=data)
    rare = TRAIN.subset(
        torch.cat([(TRAIN.labels != 7).nonzero()[:, 0], (TRAIN.labels == 7).nonzero()[:1, 0]])
    )
    assert wnll(data=rare).classes == 10  # balanced takes the one there is
    with pytest.raises(InputError, match="without"):
        wnll(data=rare, balanced=False, template=30)


def test_sizes_and_options_that_cannot_be():
    with pytest.raises(ConfigError, match="at least m = 30"):
        wnll(m=30, template=29)
    with pytest.raises(InputError, match="training images"):
        wnll(template=1353)
    with pytest.raises(InputError, match="training images"):
        wnll(template=500, protocol="voting", votes=3)
    with pytest.raises(InputError, match="the training split"):
        wnll(data=TEST)
    for bad in ({"n": 13}, {"n": 1}, {"tau": 0.0}, {"votes": 0}, {"template": 0}, {"protocol": "none"}):
        with pytest.raises(ConfigError):
            WNLL(**({"m": 12, "n": 6} | bad))


def test_templates_are_balanced_disjoint_and_seeded():
    templates = draw_templates(TRAIN, 100, votes=3, balanced=True, classes=10, seed=4)
    for part in templates:
        assert torch.bincount(part.labels).tolist() == [10] * 10
    assert len(torch.cat([part.indices for part in templates]).unique()) == 300
    again = draw_templates(TRAIN, 100, votes=3, balanced=True, classes=10, seed=4)
    assert [part.digest() for part in again] == [part.digest() for part in templates]
    whole = draw_templates(TRAIN, None, votes=1, balanced=False, classes=10, seed=4)
    assert sorted(whole[0].indices.tolist()) == list(range(1352))
    few = image_set(torch.rand(9, 1, 2, 2), torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2]), split="train")
    (part,) = draw_templates(few, 6, votes=1, balanced=True, classes=3, seed=0)
    assert torch.bincount(part.labels).tolist() == [3, 2, 1]
