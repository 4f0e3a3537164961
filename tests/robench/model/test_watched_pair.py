"""A folded copy notices in every pass whether it is still the network it was made from."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional

from attacks.gradient.pgd import PGD
from robench.api import benchmark, make_attack, wrap
from robench.data.images import image_set
from robench.model.another_way import AnotherWayError, went_another_way
from robench.model.copy_methods import CopyMethod
from robench.model.fast_copy import prepared_copy
from tests.robench.model.folding_networks import (
    AfterAWhile,
    Base,
    BrightImages,
    LargeBatches,
    LargeBatchesNormed,
    X,
    answers,
    bits,
    conv,
    same,
)

OTHER_WAYS = [LargeBatches, LargeBatchesNormed, AfterAWhile, BrightImages]


@pytest.mark.parametrize("kind", [LargeBatches, LargeBatchesNormed])
def test_a_pass_that_goes_another_way_raises_and_the_next_one_answers(kind):
    net = kind()
    twin = prepared_copy(net, CopyMethod("folded", fold=True))
    few, alone = answers(net, X[:17]), answers(net, X[:1])
    for _ in range(2):
        with pytest.raises(AnotherWayError):
            twin(X)
        for x, (outputs, gradient) in ((X[:17], few), (X[:1], alone)):
            theirs = answers(twin, x)
            torch.testing.assert_close(theirs[0], outputs, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(theirs[1], gradient, rtol=1e-3, atol=1e-4)


def test_a_pass_that_was_broken_off_leaves_nothing_behind():
    twin = prepared_copy(Base(), CopyMethod("folded", fold=True))
    expected = twin(X)
    handle = twin.nb.register_forward_pre_hook(lambda _m, _i: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        twin(X)
    handle.remove()
    assert torch.equal(twin(X), expected)


def test_a_convolution_that_is_used_twice_before_its_batch_norm_raises():
    class Twice(LargeBatches):
        def other_way(self, h):
            self.block[0](h)
            return self.block(h)

    twin = prepared_copy(Twice(), CopyMethod("folded", fold=True))
    with pytest.raises(AnotherWayError, match="convolution was used without"):
        twin(X)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", OTHER_WAYS)
def test_an_attack_is_run_again_on_a_plainer_copy(kind):
    """Verdicts are those of the network as it is, and the record says why not of the folded copy."""
    labels = kind()(X[:17]).argmax(dim=1).tolist()
    labels = torch.tensor([*labels, *[0] * (len(X) - 17)])
    data, records = image_set(X, labels, classes=4), {}
    for engine in ("auto", "eager"):
        net = kind()
        before = bits(net)
        attack = PGD(steps=20, restarts=4)
        result = benchmark(
            [wrap(net, name="m", classes=4)], data, attacks={"pgd": attack}, eps=0.1, engine=engine
        )
        if kind is not AfterAWhile:  # which counts its passes itself
            same(before, bits(net))
        records[engine] = next(r for r in result.records if r.attack.label == "pgd")
    assert records["auto"].columns.status == records["eager"].columns.status
    reasons = records["auto"].provenance.engine.not_used
    assert "folded" in reasons, reasons
    if kind in (LargeBatches, LargeBatchesNormed):
        assert "is folded into" in reasons["folded"]


@dataclass(frozen=True)
class GivesUp:
    """PGD that takes any error for the end, as code around a network often does."""

    info = PGD.info
    inner: PGD

    def __call__(self, oracle, rng):
        try:
            return self.inner(oracle, rng)
        except Exception:  # noqa: BLE001 - what this attack is about
            return oracle.x.clone()


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["caught", "torchattacks/pgd", "art/pgd"])
@pytest.mark.parametrize("kind", [LargeBatches, LargeBatchesNormed])
def test_an_error_that_an_attack_or_a_library_catches_is_not_lost(kind, name):
    def attack():
        options = {"steps": 20}
        return GivesUp(PGD(**options)) if name == "caught" else make_attack(name, **options)

    labels = kind()(X).argmax(dim=1)
    data, status = image_set(X, labels, classes=4), {}
    for engine in ("auto", "eager"):
        models = [wrap(kind(), name="m", classes=4)]
        result = benchmark(models, data, attacks={"a": attack()}, eps=0.1, engine=engine)
        record = next(r for r in result.records if r.attack.label == "a")
        status[engine] = record.columns.status
        if engine == "auto":
            assert "is folded into" in record.provenance.engine.not_used["folded"]
    assert status["auto"] == status["eager"]
    assert "broken" in status["eager"]


def test_the_reason_is_recognised_where_another_error_was_raised_from_it():
    def raised(outer):
        try:
            try:
                raise AnotherWayError("x")
            except AnotherWayError as error:
                raise outer("library") from (error if outer is ValueError else None)
        except (ValueError, KeyError) as error:
            return error

    assert went_another_way(raised(ValueError))
    assert went_another_way(raised(KeyError))
    assert not went_another_way(ValueError("x"))


def test_copies_of_a_folded_copy_are_not_used():
    """Who copies layers may write to them: a copy of a pair answers nothing."""
    twin = copy.deepcopy(prepared_copy(LargeBatches(), CopyMethod("folded", fold=True)))
    with pytest.raises(AnotherWayError, match="not what was folded"):
        twin(X[:5])


class ReadsItsWeights(LargeBatches):
    """Large batches are computed with the very weights of the layers: the same function."""

    def other_way(self, h):
        conv, norm = self.block[0], self.block[1]
        h = functional.conv2d(h, conv.weight, conv.bias, conv.stride, conv.padding)
        return functional.batch_norm(
            h, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )


class PastTheInstance(LargeBatches):
    def other_way(self, h):
        return nn.BatchNorm2d.forward(self.block[1], nn.Conv2d.forward(self.block[0], h))


class BuiltAnew(LargeBatches):
    def other_way(self, h):
        with torch.random.fork_rng():
            other = copy.deepcopy(type(self)().block).eval()
        other.load_state_dict(self.block.state_dict())
        return other(h)


@pytest.mark.parametrize("kind", [ReadsItsWeights, PastTheInstance, BuiltAnew])
def test_whoever_reads_the_weights_of_folded_layers_gets_their_own(kind):
    net = kind()
    twin = prepared_copy(net, CopyMethod("folded", fold=True))
    for x in (X, X[:5]):
        torch.testing.assert_close(twin(x), net(x), rtol=1e-4, atol=1e-4)
    assert {k: v.tolist() for k, v in net.state_dict().items()} == {
        k: v.tolist() for k, v in twin.state_dict().items()
    }


class WritesBetween(LargeBatches):
    def other_way(self, h):
        between = self.block[0](h)
        between.mul_(1.5)
        return self.block[1](between)


class KeepsWhatIsBetween(LargeBatches):
    def other_way(self, h):
        between = self.block[0](h)
        return self.block[1](between) + between


class SeesItByAHook(LargeBatches):
    def other_way(self, h):
        between = []
        handle = self.block[0].register_forward_hook(lambda _m, _i, o: between.append(o))
        h = self.block(h)
        handle.remove()
        return torch.cat([h[:, :1], h[:, 1:] + between[0][:, 1:]], dim=1)


class AnotherEps(LargeBatches):
    def other_way(self, h):
        norm = self.block[1]
        eps, norm.eps = norm.eps, 1.0
        try:
            return self.block(h)
        finally:
            norm.eps = eps


class OtherWeights(LargeBatches):
    def other_way(self, h):
        weights = {name: 1.5 * value for name, value in self.block.named_parameters()}
        return torch.func.functional_call(self.block, weights, (h,))


class MovesItsMean(LargeBatches):
    def other_way(self, h):
        mean = self.block[1].running_mean
        before = mean.clone()
        mean += 0.3
        h = self.block(h)
        mean.copy_(before)
        return h


class OwnStatistics(LargeBatches):
    def other_way(self, h):
        self.block[1].train()
        h = self.block(h)
        self.block[1].eval()
        return h


@pytest.mark.parametrize(
    "kind",
    [WritesBetween, KeepsWhatIsBetween, SeesItByAHook, AnotherEps, OtherWeights, MovesItsMean, OwnStatistics],
)
def test_a_pass_in_which_folding_is_wrong_raises(kind):
    net = kind()
    twin = prepared_copy(net, CopyMethod("folded", fold=True))
    torch.testing.assert_close(twin(X[:5]), net(X[:5]), rtol=1e-4, atol=1e-4)
    with pytest.raises(AnotherWayError):
        twin(X)


def test_what_is_between_may_be_asked_for_its_form():
    class AsksForTheForm(LargeBatches):
        def other_way(self, h):
            between = self.block[0](h)
            assert between.shape == (len(between), *h.shape[1:])
            assert between.dtype is torch.float32
            assert between.size(0) == len(h)
            return self.block[1](between)

    net = AsksForTheForm()
    twin = prepared_copy(net, CopyMethod("folded", fold=True))
    torch.testing.assert_close(twin(X), net(X), rtol=1e-4, atol=1e-4)


class Pools(nn.Module):
    """Pools what it rectifies; asked about many images, it uses what it rectified elsewhere too."""

    def __init__(self, padding=0):
        super().__init__()
        self.conv, self.relu, self.pool = conv(1, 6, 0), nn.ReLU(), nn.MaxPool2d(2, padding=padding)
        self.eval()

    def forward(self, x):
        h = self.relu(self.conv(x))
        if type(x) is torch.Tensor and len(x) > 17:
            return h.flatten(1)
        return self.pool(h).flatten(1)


@pytest.mark.parametrize("padding", [0, 1])
def test_the_largest_rectified_value_is_the_largest_value_rectified(padding):
    net = nn.Sequential(*Pools(padding).children(), nn.Flatten()).eval()
    twin = prepared_copy(net, CopyMethod("channels-last", channels_last=True))
    plain = prepared_copy(net, CopyMethod("plain"))
    for layer, own in zip(twin, plain, strict=True):  # only the order is looked at, not the layout
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = own.weight.data
    assert "forward" in twin[1].__dict__
    x = torch.cat([X, torch.full_like(X[:1], torch.nan), torch.zeros_like(X[:1])])
    answers = []
    for one in (twin, plain):
        leaf = x.clone().requires_grad_(True)
        outputs = one(leaf)
        weights = torch.linspace(-1, 1, outputs[0].numel())
        answers.append((outputs, *torch.autograd.grad((outputs * weights).sum(), leaf)))
    for first, second in zip(*answers, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


def test_a_rectified_value_that_is_used_elsewhere_is_refused():
    twin = prepared_copy(Pools(), CopyMethod("channels-last", channels_last=True))
    assert "forward" in twin.relu.__dict__
    with pytest.raises(AnotherWayError):
        twin(X)
