"""Any head, lent to a library, gives the right scores and gradients and comes back untouched."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robench.attack.library_model import art_classifier, lent
from robench.attack.oracle import Oracle
from robench.attack.surrogate_module import SurrogateModule
from robench.attack.threat import ThreatModel
from robench.errors import ConfigError, JobError
from robench.model.interface import Model, OutputKind
from robench.randomness import Randomness
from tests.truths import classify, images, small_net, two_sources, with_head

SHAPE = (1, 6, 6)
HEADS = {
    "logits": (lambda z: z, OutputKind.LOGITS),
    "log_probabilities": (lambda z: z.log_softmax(1), OutputKind.LOG_PROBABILITIES),
    "simplex": (lambda z: z.softmax(1), OutputKind.SIMPLEX),
}
heads = pytest.mark.parametrize("head", HEADS)


def headed(head):
    return with_head(small_net(), *HEADS[head])


@heads
def test_a_library_s_cross_entropy_is_minus_log_p(head):
    module, x = SurrogateModule(headed(head)), images(5)
    y = torch.tensor([0, 1, 2, 3, 0])
    point = x.clone().requires_grad_()
    truth = F.cross_entropy(small_net().net(point), y, reduction="none")
    (slope,) = torch.autograd.grad(truth.sum(), point)
    again = x.clone().requires_grad_()
    loss = F.cross_entropy(module(again), y, reduction="none")
    loss.sum().backward()
    assert torch.allclose(loss, truth, atol=1e-5)
    assert torch.allclose(again.grad, slope, atol=1e-5)
    assert torch.allclose(module(x).softmax(1), small_net().net(x).softmax(1), atol=1e-6)
    assert (module.rows_forward, module.rows_backward) == (10, 5)


@heads
def test_art_predicts_and_differentiates(head):
    model, x = headed(head), images(5)
    y = np.array([0, 1, 2, 3, 0])
    classifier = art_classifier(model, shape=SHAPE)
    assert classifier.nb_classes == 4
    assert tuple(classifier.clip_values) == (0, 1)
    assert (classifier.predict(x.numpy()).argmax(1) == classify(model, x).numpy()).all()
    point = x.clone().requires_grad_()
    loss = F.cross_entropy(small_net().net(point), torch.from_numpy(y), reduction="sum")
    (slope,) = torch.autograd.grad(loss, point)
    assert classifier.loss_gradient(x.numpy(), np.eye(4)[y]) == pytest.approx(slope.numpy(), abs=1e-5)
    slopes = classifier.class_gradient(x.numpy())
    assert slopes.shape == (5, 4, *SHAPE)
    again = x.clone().requires_grad_()
    SurrogateModule(model)(again)[:, 2].sum().backward()
    assert slopes[:, 2] == pytest.approx(again.grad.numpy(), abs=1e-5)


def test_modes_weights_and_gradients_are_left_alone():
    norm, dropout = nn.BatchNorm1d(8), nn.Dropout(0.5)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), norm, dropout, nn.Linear(8, 4)).train()
    norm.eval()
    net[1].weight.grad = torch.ones_like(net[1].weight)
    model = Model(name="mode", net=net, classes=4)
    before = model.fingerprint()
    classifier = art_classifier(model, shape=SHAPE)
    x = images(6).numpy()
    first = classifier.predict(x)
    classifier.loss_gradient(x, np.eye(4)[np.zeros(6, dtype=int)], training_mode=True)
    classifier.class_gradient(x, label=1)
    assert (classifier.predict(x) == first).all()  # dropout is off while lent
    assert [net.training, norm.training, dropout.training] == [True, False, True]
    assert model.fingerprint() == before
    assert torch.equal(net[1].weight.grad, torch.ones_like(net[1].weight))
    assert all(p.requires_grad for p in net.parameters())
    assert net[4].weight.grad is None


def test_sequential_networks_are_called_whole():
    model, calls = small_net(), []
    model.net.register_forward_hook(lambda *_: calls.append(1))
    art_classifier(model, shape=SHAPE).predict(images(3).numpy())
    assert calls == [1]


def test_a_source_by_name_and_an_unknown_one():
    model = two_sources(small_net())
    x, y = images(3).numpy(), np.eye(4)[:3]
    exact = art_classifier(model, "exact", shape=SHAPE).loss_gradient(x, y)
    opposite = art_classifier(model, "turned", shape=SHAPE).loss_gradient(x, y)
    assert (exact * opposite).sum() < 0
    with pytest.raises(ConfigError, match="turned"):
        art_classifier(model, "turnd", shape=SHAPE)


def test_lending_books_passes_and_restores_generators_even_after_an_error():
    model, x = small_net(), images(4)
    oracle = Oracle(model, x, classify(model, x), ThreatModel(eps=0.1))
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()

    def use_and_fail():
        with lent(oracle, Randomness(0, torch.arange(4))) as module:
            module(x)
            module(x[:1].clone().requires_grad_()).sum().backward()
            torch.rand(1), np.random.rand(), random.random()
            raise KeyError

    with pytest.raises(JobError, match="the library's own KeyError: without a message"):
        use_and_fail()
    assert oracle.ledger.forwards.tolist() == [2] * 4  # five rows over four images, rounded up
    assert oracle.ledger.backwards.tolist() == [1] * 4
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]


def test_a_budget_cannot_be_kept_by_a_library():
    model, x = small_net(), images(4)
    oracle = Oracle(model, x, classify(model, x), ThreatModel(eps=0.1, budget=10))
    with pytest.raises(ConfigError, match="budget"), lent(oracle, Randomness(0, torch.arange(4))):
        pass


def test_what_a_library_raises_or_switches_is_told_and_put_back():
    import warnings

    model, x = small_net(), images(3)
    oracle = Oracle(model, x, torch.arange(3), ThreatModel(eps=0.1))
    filters = list(warnings.filters)

    def library(module):
        module(x)
        warnings.simplefilter("always")
        torch.set_default_dtype(torch.float64)
        raise KeyError("k")

    lending = lent(oracle, Randomness(0, torch.arange(3)), name="toy")
    with pytest.raises(JobError, match=r"toy: .*the library's own KeyError: 'k'"), lending as module:
        library(module)
    assert torch.get_default_dtype() is torch.float32
    assert list(warnings.filters) == filters
    assert oracle.ledger.forwards.tolist() == [1, 1, 1]


def test_images_of_another_shape_are_the_librarys_doing():
    model, x = small_net(), images(3)
    oracle = Oracle(model, x, torch.arange(3), ThreatModel(eps=0.1))
    lending = lent(oracle, Randomness(0, torch.arange(3)))
    with pytest.raises(JobError, match=r"asked about images of shape \(1, 9, 9\)"), lending as module:
        module(images(2, (1, 9, 9)))
