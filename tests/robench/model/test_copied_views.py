"""A copy laid out channels-last answers a view with a copy, and notices where that is not the same."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from attacks.gradient.pgd import PGD
from robench.api import benchmark, wrap
from robench.data.images import image_set
from robench.model.another_way import AnotherWayError, stray_of
from robench.model.copy_methods import CopyMethod
from robench.model.fast_copy import prepared_copy
from tests.robench.model.folding_networks import X, conv

LAST = CopyMethod("channels-last, views copied", channels_last=True, copies_views=True)


class Views(nn.Module):
    """Asks for a view of what a convolution gives."""

    def __init__(self):
        super().__init__()
        self.a = conv(1, 6, 0)
        self.fc = nn.Linear(6 * 64, 4)
        self.eval()

    def head(self, h, flat):
        return self.fc(flat)

    def forward(self, x):
        h = self.a(x)
        return self.head(h, (h * 3).view(-1, 6 * 64))


class WritesIntoTheView(Views):
    """Writes into the view where it is asked about many images, and reads what it is a view of."""

    def head(self, h, flat):
        if len(flat) > 17:
            flat[:, 0] = 3.0
        return self.fc(flat)


class WritesIntoItsBase(Views):
    """Writes into what it has a view of where it is asked about many images."""

    def forward(self, x):
        h = self.a(x) * 3
        flat = h.view(len(h), -1)
        if len(h) > 17:
            h.mul_(2)
        return self.fc(flat)


class HasFeatures(Views):
    """Offers features, for which it asks for a view."""

    feature_dim = 6 * 64

    def features(self, x):
        return self.a(x).view(len(x), self.feature_dim)


def test_a_view_is_answered_and_the_gradient_is_the_same():
    net = Views()
    twin = prepared_copy(net, LAST)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        prepared_copy(net, CopyMethod("channels-last", channels_last=True))(X)
    answers = []
    for one in (net, twin):
        leaf = X.clone().requires_grad_(True)
        outputs = one(leaf)
        loss = F.cross_entropy(outputs, torch.zeros(len(X), dtype=torch.int64))
        answers.append((outputs, *torch.autograd.grad(loss, leaf)))
    for first, second in zip(*answers, strict=True):
        torch.testing.assert_close(first, second)


def test_features_are_answered_too():
    net = HasFeatures()
    torch.testing.assert_close(prepared_copy(net, LAST).features(X), net.features(X))


@pytest.mark.parametrize("kind", [WritesIntoTheView, WritesIntoItsBase])
def test_writing_into_numbers_that_were_copied_is_refused(kind):
    twin = prepared_copy(kind(), LAST)
    twin(X[:4])
    assert not stray_of(twin)
    with pytest.raises(AnotherWayError), torch.no_grad():
        twin(X)
    assert "view" in stray_of(twin)


@pytest.mark.parametrize("kind", [WritesIntoTheView, WritesIntoItsBase])
def test_the_attack_is_then_run_again_on_a_plainer_copy(kind):
    torch.manual_seed(0)
    net = kind()
    data = image_set(X, net(X).argmax(dim=1), classes=4)
    models, attacks = [wrap(net, name="m", classes=4)], {"a": PGD(steps=5)}
    records = []
    for engine in ("auto", "eager"):
        result = benchmark(models, data, attacks=attacks, eps=0.2, engine=engine)
        records.append(next(r for r in result.records if r.attack.label == "a"))
    fast, plain = records
    assert fast.columns.status == plain.columns.status
    assert fast.provenance.engine.used == "frozen copy"
    assert "copy" in fast.provenance.engine.not_used[LAST.name]
