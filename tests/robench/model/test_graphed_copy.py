"""CUDA graphs of a copy give numbers of the network, to keep; where they do not, the copy is not used.

On the processor, with a stand-in that acts as CUDA graphs do; `tests/gpu` has the same on a card.
"""

import random

import pytest
import torch
from torch import nn

from attacks.gradient.fgsm import FGSM
from attacks.gradient.pgd import PGD
from robench import benchmark, image_set, wnll_head, wrap
from robench.attack.craft import craft
from robench.attack.norms import LINF
from robench.attack.threat import ThreatModel
from robench.model import captured_pass, graphed_copy
from robench.model.another_way import stray_of
from robench.model.copy_methods import GRAPH_METHODS, CopyMethod
from robench.model.fast_copy import prepared_copy
from robench.model.interface import Model
from robench.model.prepared import PreparedModel
from tests.robench.model.folding_networks import AfterAWhile, Base, Hooked, LargeBatches, TwoNames, Viewed, X

GRAPHED = CopyMethod("graphs", graphs=True)
GRAPHS = "folded, channels-last, CUDA graphs"
AUTO = "folded, channels-last"


def chosen(net, engine="graphs"):
    copies = PreparedModel(model := Model(name="m", net=net, classes=4), engine=engine)
    return copies.choose(X, [model.source("exact")]), copies.reasons


def reason(net):
    """Return why no graph of a network is used; the copies of `auto` are."""
    name, reasons = chosen(net)
    assert name == chosen(net, "auto")[0]
    texts = [text for key, text in reasons.items() if "graphs" in key and "no CUDA graph" in text]
    assert len(texts) == 1  # no other copy is tried in vain
    return texts[0]


def asked(net, x, weights=(1.0, 2.0, 3.0, 4.0)):
    leaf = x.clone().requires_grad_(True)
    outputs = net(leaf)
    loss = (outputs * torch.tensor(weights)).sum()
    return outputs, loss, leaf


def answer(net, x):
    outputs, loss, leaf = asked(net, x)
    return outputs.detach(), torch.autograd.grad(loss, leaf)[0]


def assert_close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_without_a_card_the_copies_of_auto_answer_and_one_reason_is_told():
    name, reasons = chosen(Base())
    assert name == AUTO
    assert reasons == {GRAPHS: "it could not be made: ValueError: no CUDA graph: the network is on cpu"}


def test_images_elsewhere_are_a_reason_too():
    class Weightless(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :4] * 2

    net = prepared_copy(Weightless().eval(), GRAPHED)
    with pytest.raises(RuntimeError, match="the images are on cpu"):
        answer(net, X)


@pytest.mark.parametrize("engine", ["auto", "eager", "compiled", "bfloat16"])
def test_it_is_tried_only_where_it_is_asked_for(card, monkeypatch, engine):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    assert "graphs" not in chosen(Base(), engine)[0]
    assert card.captures == []


@pytest.mark.parametrize("kind", [Base, Viewed])
def test_the_copy_that_auto_takes_is_captured(card, kind):
    assert chosen(kind())[0] == f"{chosen(kind(), 'auto')[0]}, CUDA graphs"
    assert card.captures == [16, 12, 8]
    assert set(card.waiting[::2]) == {"error"}
    assert set(card.waiting[1::2]) == {0}


def test_every_number_of_images_has_the_networks_answer_from_few_captures(card):
    net, twin = Base(), prepared_copy(Base(), GRAPHED)
    for count in (20, *range(2, 20), 20, 3):
        for ours, theirs in zip(answer(twin, X[:count]), answer(net, X[:count]), strict=True):
            assert_close(ours, theirs)
    assert card.captures == [24, 8, 12, 16]
    assert set(card.replays) == {24, 8, 12, 16}


def test_the_number_of_images_alone_decides_what_they_are_padded_to():
    rows = [graphed_copy.sizes(count)[1] for count in range(2, 1025)]
    assert sorted({*rows}) == [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]
    for count in range(2, 1025):
        fewest, size = graphed_copy.sizes(count)
        assert fewest <= count <= size
        assert graphed_copy.sizes(fewest)[1] == size
        assert fewest == 2 or graphed_copy.sizes(fewest - 1)[1] == fewest - 1


def test_numbers_that_were_handed_out_are_not_overwritten(card):
    net, twin = Base(), prepared_copy(Base(), GRAPHED)
    pairs = {count: answer(twin, X[:count]) for count in (16, 8, 11, 5)}
    for _ in range(2):
        answer(twin, X.flip(0)[:16])
        answer(twin, X.flip(0)[:8])
    for count, pair in pairs.items():
        for ours, theirs in zip(pair, answer(net, X[:count]), strict=True):
            assert_close(ours, theirs)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 2, 1, 0), (1, 0, 1, 2, 0, 0)])
def test_backward_passes_may_come_later_in_any_order_and_twice(card, order):
    net, twin = Base(), prepared_copy(Base(), GRAPHED)
    batches = [X[:16], X.flip(0)[:16], X[:9]]
    passes = [asked(twin, batch) for batch in batches]
    for place in order:
        _, loss, leaf = passes[place]
        assert_close(torch.autograd.grad(loss, leaf, retain_graph=True)[0], answer(net, batches[place])[1])


def test_no_pass_is_done_twice_where_each_is_differentiated_at_once(card):
    twin = prepared_copy(Base(), GRAPHED)
    answer(twin, X[:16])
    before = len(card.replays)
    for _ in range(5):
        answer(twin, X[:16])
    assert len(card.replays) == before + 5


def test_gradients_can_be_differentiated(card):
    class Smooth(Base):
        def forward(self, x):
            return self.fc(self.body(x).tanh().flatten(1))

    def curvature(net):
        _, loss, leaf = asked(net, X[:6])
        (slope,) = torch.autograd.grad(loss, leaf, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), leaf)[0]

    assert_close(curvature(prepared_copy(Smooth(), GRAPHED)), curvature(Smooth()))
    assert card.captures == [8]


def test_everything_else_is_a_pass_of_the_copy(card):
    net, twin = Base(), prepared_copy(Base(), GRAPHED)
    answer(twin, X[:8])
    before = len(card.replays)
    with torch.no_grad():
        assert_close(twin(X), net(X))
    assert_close(twin(X), net(X).detach())
    assert_close(answer(twin, X[:1])[1], answer(net, X[:1])[1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert twin(X.clone().requires_grad_(True)).dtype is torch.bfloat16
    net.train(), twin.train()
    for count in (8, 16):  # the latter has no capture yet
        for ours, theirs in zip(answer(twin, X[:count]), answer(net, X[:count]), strict=True):
            assert_close(ours, theirs)
    assert len(card.replays) == before
    assert card.captures == [8]


def test_hooks_and_weights_of_later_are_heeded(card):
    twin = prepared_copy(Base(), GRAPHED)
    first = answer(twin, X[:8])
    replays, calls = len(card.replays), []
    hook = twin.b.register_forward_hook(lambda *_: calls.append(1))
    assert_close(answer(twin, X[:8]), first)
    assert calls
    hook.remove()
    twin.b.forward = lambda x: 0 * x
    assert not torch.allclose(answer(twin, X[:8])[0], first[0])
    del twin.b.forward
    assert len(card.replays) == replays
    assert_close(answer(twin, X[:8]), first)
    assert len(card.replays) == replays + 1
    with torch.no_grad():
        twin.fc.bias.add_(1.0)
    assert_close(answer(twin, X[:8])[0], first[0] + 1.0)
    assert len(card.replays) == replays + 1


class Centred(Base):
    """Images share their mean: rows that pad change the others."""

    def body(self, x):
        return super().body(x - x.mean(dim=0))


class Scaled(Base):
    """Goes by the number of images."""

    def body(self, x):
        return super().body(x) * (1.0 if len(x) < 10 else 2.0)


class Writing(Base):
    """Writes into its images."""

    def body(self, x):
        return super().body(x.mul_(0.5))


def test_a_network_may_write_into_its_images(card):
    net, twin, x = Writing(), prepared_copy(Writing(), GRAPHED), X[:9].clone()
    for _ in range(2):
        leaf = x.clone().requires_grad_(True)
        assert_close(twin(leaf), net(x.clone()))
        assert torch.equal(leaf, x)
    assert card.captures == [12]


class Random(Base):
    """Draws from a generator, which its scores hardly show."""

    draw = staticmethod(lambda: float(torch.rand(())))

    def body(self, x):
        return super().body(x) + 1e-9 * self.draw()


class Drawing(Random):
    """Draws from Python's generator."""

    draw = staticmethod(random.random)


class Parts(Base):
    """Answers with more than one tensor."""

    def forward(self, x):
        return {"logits": super().forward(x)}


class Constant(Base):
    """Its answer has no gradient."""

    def forward(self, x):
        return super().forward(x).detach()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (TwoNames, "no CUDA graph: RuntimeError"),
        (Hooked, "its layers have hooks"),
        (AfterAWhile, "a pass changes `passes`"),
        (Random, "it draws random numbers"),
        (Drawing, "it draws random numbers"),
        (Centred, "rows, its "),
        (Scaled, "no CUDA graph: of 9 images in 12 rows"),
    ],
)
def test_a_network_without_a_graph_is_asked_as_auto_asks_it(card, kind, text):
    assert text in reason(kind())


@pytest.mark.parametrize(("kind", "text"), [(Parts, "not one tensor"), (Constant, "has no gradient")])
def test_answers_that_cannot_be_captured_are_refused(card, kind, text):
    twin = prepared_copy(kind(), GRAPHED)
    with pytest.raises(RuntimeError, match=text):
        twin(X[:8].clone().requires_grad_(True))
    assert text in stray_of(twin)  # kept, for an attack may catch the error
    assert card.captures == []


def refused(monkeypatch, place, name, value):
    """Return why a copy is not used where a part of it is done wrongly."""
    monkeypatch.setattr(place, name, value)
    return chosen(Base())[1].get(GRAPHS, "")


def test_the_proof_finds_numbers_that_are_overwritten(card, monkeypatch):
    assert "its outputs differ" in refused(monkeypatch, captured_pass, "own", lambda x: x)
    monkeypatch.setattr(graphed_copy, "difference", lambda one, two: "")  # the check of each capture
    assert "through exact, its gradients differ" in refused(monkeypatch, captured_pass, "own", lambda x: x)


def test_the_proof_finds_values_of_other_images(card, monkeypatch):
    def backward(self, x, number, gradient):
        whole = captured_pass.padded(gradient, self._rows)
        (slope,) = torch.autograd.grad(self._values.outputs, self._values.images, whole)
        return slope[: len(x)].clone()

    assert "its gradients " in refused(monkeypatch, captured_pass.CapturedPass, "backward", backward)


def test_the_proof_finds_rows_that_change_places(card, monkeypatch):
    def padded(x, rows):
        return torch.cat([torch.zeros_like(x[:1]).expand(rows - len(x), *x.shape[1:]), x])

    doubt = refused(monkeypatch, captured_pass, "padded", padded)
    assert "rows, its outputs differ" in doubt


def record(net, data, attack=PGD, engine="graphs", **options):
    result = benchmark(
        [wrap(net, name="m", classes=4)], data, attacks={"a": attack(**options)}, eps=0.1, engine=engine
    )
    return next(one for one in result.records if one.attack.label == "a")


def test_a_run_says_so_has_the_same_verdicts_and_shares_its_captures(card):
    net = Base()
    data = image_set(X, net(X).argmax(dim=1), classes=4)
    ours, other = record(net, data, steps=8), record(Base(), data, engine="auto", steps=8)
    assert ours.provenance.engine.used == GRAPHS
    assert ours.provenance.engine.not_used == {}
    assert ours.columns.status == other.columns.status
    assert "broken" in ours.columns.status
    assert ours.key == other.key  # they differ by rounding alone, as other copies do
    assert sorted(card.captures) == sorted({*card.captures})
    assert len(card.replays) > 8


def test_a_graph_that_fails_half_way_is_replaced(card):
    net = LargeBatches()
    data = image_set(X, net(X).argmax(dim=1), classes=4)
    engine = record(net, data, steps=2).provenance.engine
    assert engine.used == "channels-last"
    assert "what a convolution gave was used" in engine.not_used[GRAPHS]
    assert "of 17 images in 24 rows" in engine.not_used["channels-last, CUDA graphs"]


def test_out_of_memory_in_a_capture_halves_the_batch(card, monkeypatch):
    def graphed(question, sample_args, **options):
        if len(sample_args[0]) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return card.graphed(question, sample_args, **options)

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", graphed)
    net = Base()
    model, y = Model(name="m", net=net, classes=4), net(X).argmax(dim=1)
    copies = PreparedModel(model, engine="graphs")
    result = craft(
        model, PGD(steps=2), X, y, threat=ThreatModel(norm=LINF, eps=0.1), indices=torch.arange(len(X)),
        prepared=copies,
    )  # fmt: skip
    assert result.engine == GRAPHS
    assert 0 < result.micro_batch <= 10
    assert max(card.captures) <= 10


def test_captures_are_few_however_many_sizes_are_asked(card, monkeypatch):
    monkeypatch.setattr(graphed_copy, "MOST_CAPTURES", 2)
    net, twin = Base(), prepared_copy(Base(), GRAPHED)
    for count in (8, 9, 12, 15, 20):
        assert_close(answer(twin, X[:count])[1], answer(net, X[:count])[1])
    assert card.captures == [8, 12]


class Featured(Base):
    """Offers its features as our networks do."""

    feature_dim = 384

    def features(self, x):
        return self.body(x).relu().flatten(1)

    def forward(self, x):
        return self.fc(self.features(x))


def test_features_are_replayed_too_and_a_joint_graph_head_takes_them(card):
    net, twin = Featured(), prepared_copy(Featured(), GRAPHED)
    assert_close(answer(twin, X[:6]), answer(net, X[:6]))
    assert card.captures == [8]  # its forward asks for features on the way: no capture inside another
    assert_close(twin.features(X[:6].clone().requires_grad_(True)), net.features(X[:6]))
    assert card.captures == [8, 8]
    template = image_set(X[:12], torch.arange(12) % 4, classes=4, split="train")
    head = wnll_head(net, template, name="g", m=5, n=3, protocol="joint")
    data = image_set(X[12:], torch.arange(8) % 4, classes=4)
    result = benchmark([head], data, attacks={"a": FGSM()}, eps=0.02, engine="graphs")
    engines = {one.provenance.engine.used for one in result.records if one.attack.label == "a"}
    assert engines
    assert all("CUDA graphs" in engine for engine in engines), engines


def test_the_methods_are_those_of_auto_without_winograds():
    names = [method.name for method in GRAPH_METHODS]
    assert names[0] == GRAPHS
    assert not any("Winograd" in name for name in names)


def test_it_is_proven_again_at_points_of_an_attack(card, monkeypatch):
    copies = PreparedModel(model := Model(name="m", net=Base(), classes=4), engine="graphs")
    sources = [model.source("exact")]
    assert copies.choose(X, sources) == GRAPHS
    assert copies.confirm(GRAPHS, X[:8], sources)
    monkeypatch.setattr(captured_pass, "own", lambda x: 1.01 * x)
    assert not copies.confirm(GRAPHS, X[:8], sources)
    assert "its outputs differ" in copies.reasons[GRAPHS]
