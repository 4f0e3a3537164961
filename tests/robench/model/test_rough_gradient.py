"""Gradients in bfloat16: outputs and verdicts are those of the network, and a wrong direction is not used."""

import pytest
import torch
from torch import nn

from attacks.gradient.fgsm import FGSM
from attacks.gradient.pgd import PGD
from robench import benchmark, image_set, wnll_head, wrap
from robench.errors import ConfigError
from robench.model.copy_methods import CopyMethod
from robench.model.fast_copy import prepared_copy
from robench.model.interface import Coupling, Model, OutputKind
from robench.model.prepared import PreparedModel
from robench.model.proof import relative_error
from robench.model.proven_copies import NetworkCopies
from robench.model.rough_gradient import is_sure
from robench.run.settings import Settings
from tests.robench.run.test_copy_keys import contents

ROUGH = "bfloat16 gradients"
X = torch.rand(24, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Convolution, batch-norm, ReLU and a linear layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.dense = nn.Linear(8 * 64, 4)

    def forward(self, x):
        return self.dense(self.norm(self.conv(x)).relu().flatten(1))


class Featured(Net):
    """The same, that offers its features as ours do."""

    feature_dim = 512

    def features(self, x):
        return self.norm(self.conv(x)).relu().flatten(1)


class Casting(Net):
    """Refuses anything but float32 inside."""

    def forward(self, x):
        y = self.conv(x)
        if y.dtype is not torch.float32:
            raise TypeError("float32 alone")
        return self.dense(self.norm(y).relu().flatten(1))


class Coarse(Net):
    """Its gradient lives in digits that bfloat16 does not have."""

    def forward(self, x):
        y = self.conv(x).flatten(1)[:, :4]
        return (y + 4096.0) * 3.0 - (y + 4096.0) * 2.999 if y.dtype is torch.float32 else y * 0.0 - y.flip(1)


def gradient(net, x):
    leaf = x.clone().requires_grad_(True)
    answer = net(leaf)
    (slope,) = torch.autograd.grad(answer[:, 0].sum(), leaf)
    return answer.detach(), slope


def chosen(net, engine="bfloat16"):
    copies = PreparedModel(model := Model(name="m", net=net, classes=4), engine=engine)
    return copies.choose(X, [model.source("exact")]), copies.reasons


def test_outputs_are_those_of_the_copy_and_the_gradient_is_near():
    net = Net().eval()
    plain = prepared_copy(net, CopyMethod("frozen copy"))
    rough = prepared_copy(net, CopyMethod("rough", rough=True))
    (values, slope), (rough_values, rough_slope) = gradient(plain, X), gradient(rough, X)
    assert torch.equal(values, rough_values)
    assert not torch.equal(slope, rough_slope)
    assert rough_slope.dtype is torch.float32
    assert float(relative_error(slope.flatten(1), rough_slope.flatten(1)).median()) < 0.1
    with torch.no_grad():
        assert torch.equal(rough(X), plain(X))


def between_classes(net, steps=30):
    """Images on the lines between images of two classes, at the boundary in float32."""
    classes = net(X).argmax(dim=1)
    first = X[classes == classes[0]]
    other = X[classes != classes[0]][: len(first)]
    first = first[: len(other)]
    low, high = torch.zeros(len(other)), torch.ones(len(other))
    for _ in range(steps):
        middle = (low + high) / 2
        points = first.lerp(other, middle[:, None, None, None])
        same = net(points).argmax(dim=1) == classes[0]
        low, high = middle.where(same, low), middle.where(~same, high)
    return first.lerp(other, low[:, None, None, None])


def test_what_is_not_clear_is_asked_again_in_float32():
    net = Net().eval()
    with torch.no_grad():
        images = torch.cat([X, between_classes(net), torch.full_like(X[:1], torch.nan)])
        want = prepared_copy(net, CopyMethod("frozen copy"))(images)
    rough = prepared_copy(net, CopyMethod("rough", rough=True))
    rough.decides = True
    values, slope = gradient(rough, images)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        sure = is_sure(rough.module(images))
    assert 0 < int(sure.sum()) < len(X)
    assert not bool(sure[len(X) :].any())
    assert torch.equal(values.argmax(dim=1)[:-1], want.argmax(dim=1)[:-1])
    torch.testing.assert_close(values[~sure], want[~sure], rtol=1e-6, atol=1e-6, equal_nan=True)
    assert not torch.equal(values[sure], want[sure])  # these are of bfloat16
    assert slope.dtype is torch.float32


@pytest.mark.parametrize(
    ("row", "columns", "answer"),
    [
        ([4.0, 1.0, 0.0], None, True),
        ([4.0, 3.9, 0.0], None, False),
        ([104.0, 101.0, 100.0], None, False),  # what they have in common is rounded too
        ([4.0, 1.0, -1e4], None, False),
        ([4.0, 1.0], None, False),
        ([9.0, 1.0, 0.95, 0.0], (1, 2, 3), False),
        ([9.0, 5.0, 1.0, 0.0], (1, 2, 3), True),
        ([9.0, 5.0, 1.0, 0.0], (1, 2), False),
        ([4.0, 1.0, float("nan")], None, False),
        ([4.0, 1.0, float("inf")], None, False),
        ([4.0, 1.0, float("-inf")], None, False),
        ([0.0, 0.0, 0.0], None, False),
    ],
)
def test_who_is_sure(row, columns, answer):
    assert is_sure(torch.tensor([row]), columns).tolist() == [answer]


@pytest.mark.parametrize(
    ("options", "decides"),
    [({}, True), ({"output": OutputKind.SIMPLEX}, False), ({"coupling": Coupling.JOINT}, False)],
)
def test_who_decides(options, decides):
    model = Model(name="m", net=Net().eval(), classes=4, **options)
    (pair,) = NetworkCopies(model, CopyMethod("rough", rough=True))._pairs
    assert pair[1].decides is decides
    partial = wrap(Net().eval(), name="m", classes=3, class_map=[3, 0, 1])
    assert NetworkCopies(partial, CopyMethod("rough", rough=True))._pairs[0][1].columns == (3, 0, 1)


class Sharp(Net):
    """Its scores in bfloat16 are off by a tenth, its gradient is not."""

    def forward(self, x):
        y = self.conv(x)
        return self.dense(self.norm(y).relu().flatten(1)) * (1.0 if y.dtype is torch.float32 else 1.1)


def test_scores_that_bfloat16_moves_far_are_not_believed():
    name, reasons = chosen(Sharp().eval())
    assert ROUGH not in name
    assert any("its outputs differ" in text for key, text in reasons.items() if ROUGH in key)


def test_features_are_differentiated_so_too():
    net = Featured().eval()
    rough = prepared_copy(net, CopyMethod("rough", rough=True))
    leaf = X.clone().requires_grad_(True)
    features = rough.features(leaf)
    assert torch.equal(features.detach(), net.features(X).detach())
    assert features.grad_fn is not None
    assert rough.feature_dim == 512


def test_it_is_used_only_where_it_is_asked_for():
    for engine in ("auto", "eager"):
        assert ROUGH not in chosen(Net().eval(), engine)[0]
    name, reasons = chosen(Net().eval())
    assert ROUGH in name
    assert reasons == {}


@pytest.mark.parametrize(("net", "reason"), [(Casting(), "float32 alone"), (Coarse(), "its outputs differ")])
def test_what_does_not_bear_it_is_asked_as_without_it(net, reason):
    name, reasons = chosen(net.eval())
    assert ROUGH not in name
    assert any(reason in text for key, text in reasons.items() if ROUGH in key)


def test_a_run_says_so_and_breaks_as_many():
    net = Net().eval()
    data = image_set(X, net(X).argmax(dim=1), classes=4)
    records = {}
    for engine in ("auto", "bfloat16"):
        subject, attack = wrap(net, name="m", classes=4), PGD(steps=5)
        result = benchmark([subject], data, attacks={"a": attack}, eps=0.1, engine=engine)
        records[engine] = next(one for one in result.records if one.attack.label == "a")
    assert ROUGH in records["bfloat16"].provenance.engine.used
    assert ROUGH not in records["auto"].provenance.engine.used
    assert records["bfloat16"].key != records["auto"].key
    count = {engine: list(record.columns.status).count("broken") for engine, record in records.items()}
    assert 0 < count["auto"] < len(X)
    assert abs(count["auto"] - count["bfloat16"]) <= 1


def test_a_joint_graph_head_takes_it():
    net = Featured().eval()
    template = image_set(X[:16], torch.arange(16) % 4, classes=4, split="train")
    head = wnll_head(net, template, name="g", m=5, n=3, protocol="joint")
    data = image_set(X[16:], torch.arange(8) % 4, classes=4)
    result = benchmark([head], data, attacks={"a": FGSM()}, eps=0.02, engine="bfloat16")
    engines = {one.provenance.engine.used for one in result.records if one.attack.label == "a"}
    assert all(ROUGH in engine for engine in engines)


def test_only_this_engine_is_in_keys(monkeypatch):
    net = Net()
    for engine in ("auto", "eager", "compiled", "graphs"):
        assert "gradients" not in contents(net, monkeypatch, engine=engine)
    assert contents(net, monkeypatch, engine="bfloat16")["gradients"] == "bfloat16"


def test_an_engine_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="`bfloat16`"):
        Settings(engine="bf16")
