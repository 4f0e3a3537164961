"""The published head: its graph by hand, and a template that belongs to a batch and to nothing else."""

import math
from contextlib import nullcontext

import pytest
import torch

from model_zoo.datasets import Digits
from model_zoo.graph import Graph, interpolate
from model_zoo.heads.redrawn import draw_random
from model_zoo.heads.wnll_published import WNLLPublished
from robench.data.images import crop_flip
from robench.errors import ConfigError, InputError
from robench.model.batch_identity import batch_of
from robench.model.interface import Coupling, OutputKind
from robench.randomness import Randomness, seed_from
from tests.attacks.wnll.graph_toys import TRAIN, X, network, published

A, B = torch.arange(24), torch.arange(24, 48)


@pytest.mark.parametrize("kernel", ["gaussian", "published"])
@pytest.mark.parametrize("mu", ["paper", "published"])
def test_three_points_on_a_line_by_hand(kernel, mu):
    """Template at 0 (class 0) and 3 (class 1), query at 1; m = 3, n = 2.

    Squared scales: 1 at the query and at 0, whose nearest is the query; 4 at 3. So W_q0 = W_0q = e^-1,
    W_3q = e^-1, and W_q3 = exp(-4) or exp(-4^2). N / T = 3 / 2.
    """
    graph = Graph(m=3, n=2, kernel=kernel, mu=mu)
    template, labels = torch.tensor([[0.0], [3.0]], dtype=torch.float64), torch.tensor([0, 1])
    query = torch.tensor([[1.0]], dtype=torch.float64)
    u = interpolate(query, template, labels, classes=2, graph=graph).u
    far = math.exp(-4) if kernel == "gaussian" else math.exp(-16)
    factor = 0.5 if mu == "paper" else 1.5
    masses = [math.exp(-1) * (2 + factor), far + (1 + factor) * math.exp(-1)]
    want = torch.tensor([[mass / sum(masses) for mass in masses]], dtype=torch.float64)
    torch.testing.assert_close(u, want, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kernel", ["gaussian", "published"])
def test_the_kernel_s_exponent_by_hand(kernel):
    """As above with the far template point at 4: its scale is 9, the query's square distance to it 9."""
    graph = Graph(m=3, n=3, kernel=kernel, mu="published")
    template, labels = torch.tensor([[0.0], [4.0]], dtype=torch.float64), torch.tensor([0, 1])
    query = torch.tensor([[1.0]], dtype=torch.float64)
    u = interpolate(query, template, labels, classes=2, graph=graph).u
    power = 1 if kernel == "gaussian" else 2
    # sigma^2: 9 at the query, 16 at both template points.
    near = math.exp(-((1 / 9) ** power)) + 2.5 * math.exp(-((1 / 16) ** power))
    far = math.exp(-1) + 2.5 * math.exp(-((9 / 16) ** power))
    want = torch.tensor([[near, far]], dtype=torch.float64) / (near + far)
    torch.testing.assert_close(u, want, rtol=1e-12, atol=0)


def test_it_is_the_published_graph_over_the_batch_s_template():
    model = published()
    assert model.output is OutputKind.SIMPLEX
    assert model.coupling is Coupling.JOINT
    assert list(model.sources) == list(WNLLPublished.offers)
    graph = Graph(m=8, n=4, kernel="published", mu="published")
    for indices in (A, B):
        with batch_of(indices):
            z, memory, u = model.net.branches.features(X), model.neighbourhood.memory(), model.net(X)
            density = model.neighbourhood.density(z, 1.0)
            torch.testing.assert_close(model.source("kernel").surrogate(X)[0], density)
        points = model.net.branches.features(memory.images).detach()
        torch.testing.assert_close(memory.points, points)
        torch.testing.assert_close(u, interpolate(z, points, memory.labels, classes=10, graph=graph).u)
        assert len(memory.labels) == 60


def test_a_template_belongs_to_its_batch():
    model = published()
    with batch_of(A):
        first, clean = model.neighbourhood.memory(), model.net(X)
        model.net((X + 0.1).clamp(0, 1))  # other pixels, the same batch
        assert torch.equal(model.neighbourhood.memory().images, first.images)
        assert torch.equal(model.net(X), clean)
    with batch_of(B):
        other = model.neighbourhood.memory()
        assert not torch.equal(other.images, first.images)
        assert not torch.equal(model.net(X), clean)
    with batch_of(A):
        assert torch.equal(model.net(X), clean)
    with batch_of(A):
        assert torch.equal(published().net(X), clean)  # another process would draw the same
        assert not torch.equal(published(seed=1).net(X), clean)
    alone = model.net(X)
    assert torch.equal(alone, model.net(X))
    assert not torch.equal(alone, clean)


def test_an_augmented_template_is_the_drawn_one_cropped_and_mirrored():
    net = network(buffer=16)
    plain, cut = published(net), published(net, augmentation="crop_flip")
    assert cut.fingerprint() != plain.fingerprint()
    for indices in (A, B, None):
        with batch_of(indices) if indices is not None else nullcontext() as batch:
            original, memory = plain.neighbourhood.memory(), cut.neighbourhood.memory()
            assert torch.equal(original.labels, memory.labels)
            seed = 0 if batch is None else seed_from(0, batch.key)
            template = draw_random(TRAIN, 60, classes=10, seed=seed)
            assert torch.equal(original.images, template.batch(slice(None))[0])
            want = crop_flip(original.images, Randomness(seed, template.indices, ("template",)))
            assert torch.equal(memory.images, want)
            assert not torch.equal(want, original.images)
            torch.testing.assert_close(memory.points, cut.net.branches.features(want).detach())
            assert torch.equal(cut.neighbourhood.memory().images, want)


def test_mu_rounded_down_as_python_2_divides():
    exact = Graph(m=15, n=8, kernel="published", mu="published")
    whole = Graph(m=15, n=8, kernel="published", mu="published_integer")
    assert [exact.coupling(points=p, template=500) for p in (1000, 700, 1499)] == [2.0, 1.4, 2.998]
    assert [whole.coupling(points=p, template=500) for p in (1000, 700, 1499)] == [2.0, 1.0, 2.0]
    net = network(buffer=16)
    with batch_of(A):
        assert not torch.equal(published(net, integer_mu=True).net(X), published(net).net(X))  # 80 / 60
        even, plain = published(net, integer_mu=True, template=20), published(net, template=20)
        assert torch.equal(even.net(X), plain.net(X))  # 40 / 20


def test_features_are_computed_once_a_batch():
    model = published()
    sizes = []
    model.net.branches.backbone.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    with batch_of(A):
        model.net(X)
        model.net(X)
    assert sizes.count(60) == 1


def test_details_identify_pool_and_seed():
    net = network(buffer=16)
    model = published(net)
    assert model.details["protocol"] == "published"
    assert model.details["pool_sha256"] == TRAIN.digest()
    assert published(net).fingerprint() == model.fingerprint()
    assert published(net, seed=1).fingerprint() != model.fingerprint()
    assert published(net, data=TRAIN.subset(slice(0, 900))).fingerprint() != model.fingerprint()
    assert set(model.net.state_dict()) == {f"branches.module.{key}" for key in net.state_dict()}


def test_templates_hold_every_class_however_small():
    for seed in range(10):
        template = draw_random(TRAIN, 20, classes=10, seed=seed)
        assert len(set(template.labels.tolist())) == 10
        assert torch.bincount(template.labels, minlength=10).max() > 2  # at random, not balanced
    with pytest.raises(InputError, match="without"):
        draw_random(TRAIN.subset(TRAIN.labels != 3), 60, classes=10, seed=0)


def test_what_cannot_be_built_is_refused():
    with pytest.raises(InputError, match="training images"):
        published(template=1400)
    with pytest.raises(InputError, match="training split"):
        published(data=Digits()("test"))
    with pytest.raises(ConfigError, match="at least m"):
        WNLLPublished(m=30, n=8, template=29)
    with pytest.raises(ConfigError, match="tau"):
        WNLLPublished(tau=0.0)
    with pytest.raises(ConfigError, match="crop_flip"):
        WNLLPublished(augmentation="crops")
