"""Approach I: unlabelled training images in the joint graph of the head."""

from __future__ import annotations

import pytest
import torch

from model_zoo.catalog import DigitsCNN
from model_zoo.datasets import Digits
from model_zoo.graph import Graph, interpolate
from model_zoo.heads.templates import draw_templates, draw_unlabelled
from model_zoo.heads.wnll import WNLL
from model_zoo.network import Network
from robench.data.loading import select
from robench.errors import ConfigError, InputError
from robench.model.interface import Coupling, predictions

TRAIN, TEST = Digits()("train"), Digits()("test")
FEW = select(TRAIN, limit=600, subset="balanced", seed=0, labelled=50)
X, Y = TEST.batch(slice(0, 30))


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Network(DigitsCNN()(channels=1, size=(8, 8), classes=10), classes=10, buffer=16).eval()


def wnll(net=None, data=FEW, seed=0, **options):
    values = {"m": 12, "n": 6, "template": 40, "protocol": "joint", "unlabelled": 200} | options
    return WNLL(**values)(
        net or network(),
        name="w",
        classes=10,
        training_data=lambda: data,
        seed=seed,
        device="cpu",
        details={},
    )


def test_the_graph_is_that_of_template_batch_and_unlabelled_images():
    net = network()
    model = wnll(net)
    (template,) = draw_templates(FEW, 40, votes=1, balanced=True, classes=10, seed=0)
    others = draw_unlabelled(FEW, 200, seed=0)
    with torch.no_grad():
        z, anchors, rest = (
            net.features(part) for part in (X, *(s.batch(slice(None))[0] for s in (template, others)))
        )
        whole = interpolate(
            torch.cat([z, rest]), anchors, template.labels, classes=10, graph=Graph(m=12, n=6)
        )
        u = model.net(X)
    assert u.shape == (30, 10)
    torch.testing.assert_close(u, whole.u[:30])
    without = wnll(net, unlabelled=0).net(X)
    assert not torch.allclose(u, without, atol=1e-3)
    assert model.coupling is Coupling.JOINT


def test_labels_come_from_labelled_images_and_the_others_are_unlabelled():
    (template,) = draw_templates(FEW, 50, votes=1, balanced=True, classes=10, seed=0)
    others = draw_unlabelled(FEW, 550, seed=0)
    assert torch.bincount(template.labels).tolist() == [5] * 10
    assert torch.equal(torch.cat([template.indices, others.indices]).sort().values, FEW.indices)
    assert draw_unlabelled(FEW, 9, seed=0).digest() == draw_unlabelled(FEW, 9, seed=0).digest()
    assert draw_unlabelled(FEW, 9, seed=0).digest() != draw_unlabelled(FEW, 9, seed=1).digest()


def test_unlabelled_images_help_on_raw_features():
    """Two arcs with one label each: only the unlabelled points show where each arc goes."""
    angle = torch.linspace(0, 3.0, 200, dtype=torch.float64)
    arcs = torch.stack([torch.stack([r * angle.cos(), r * angle.sin()], dim=1) for r in (1.0, 2.2)])
    template, ends = arcs[:, 0], arcs[:, -1]
    rest = arcs[:, 1:-1].flatten(0, 1)
    labels, graph = torch.arange(2), Graph(m=4, n=3)
    alone = interpolate(ends, template, labels, classes=2, graph=graph).u
    joint = interpolate(torch.cat([ends, rest]), template, labels, classes=2, graph=graph).u[:2]
    assert joint.argmax(1).tolist() == [0, 1]
    assert joint.gather(1, labels[:, None]).min() > 0.99
    assert alone.gather(1, labels[:, None]).min() < 0.9


def test_the_exact_gradient_is_that_of_the_joint_graph():
    model = wnll(unlabelled=60)
    model.net.double()
    generator = torch.Generator().manual_seed(5)  # moved off the kinks and ties that digits of 17 greys have
    x = 0.9 * X[:4].double() + 0.05 * torch.rand(X[:4].shape, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    value, u = model.source("exact").surrogate(x)
    assert torch.equal(value, u)
    weight = torch.rand(4, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((value * weight).sum(), x)
    step = torch.rand(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5
    ends = [(model.net(x + s * 1e-6 * step) * weight).sum() for s in (1, -1)]
    torch.testing.assert_close((gradient * step).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("source", ["straight_through", "linear", "exact", "kernel"])
def test_every_source_knows_the_joint_output(source):
    model = wnll()
    surrogate, own = model.source(source).surrogate(X)
    torch.testing.assert_close(own, model.net(X))
    assert surrogate.shape == own.shape


def test_details_name_the_images_and_are_as_ever_without_any():
    model, other, plain = wnll(), wnll(seed=1), wnll(unlabelled=0)
    assert model.details["unlabelled"] == 200
    assert model.details["unlabelled_sha256"] == draw_unlabelled(FEW, 200, seed=0).digest()
    assert model.fingerprint() != other.fingerprint()
    assert not {"unlabelled", "unlabelled_sha256"} & set(plain.details)


def test_only_a_joint_graph_takes_them():
    for protocol in ("independent", "voting"):
        with pytest.raises(ConfigError, match="alone with the template meets no others"):
            WNLL(protocol=protocol, unlabelled=1)
    with pytest.raises(ConfigError, match="unlabelled of at least 0"):
        WNLL(protocol="joint", unlabelled=-1)


def test_what_is_not_there_is_refused():
    with pytest.raises(
        InputError, match=r"at least 551 training images without a label, got 550\. .*labelled"
    ):
        wnll(unlabelled=551)
    with pytest.raises(InputError, match="got 0"):
        wnll(data=TRAIN)
    with pytest.raises(InputError, match="the training split"):
        draw_unlabelled(TEST, 1, seed=0)
    with pytest.raises(InputError, match="51 labelled training images"):
        wnll(template=51)
    net = network()
    net.buffer[0].bias.data.fill_(torch.inf)
    with pytest.raises(InputError, match="finite"):
        wnll(net)


def test_one_bad_image_does_not_cost_the_others_their_output():
    model = wnll()
    z = model.net.branches.features(X[:5]).detach()
    z[2] = torch.nan
    u = model.net.classify(z)
    assert u.isnan().all(dim=1).tolist() == [False, False, True, False, False]
    assert predictions(u)[2] == -1
