"""Deep kNN: votes over layers and credibility against brute force, rejection, sources, what is refused."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model_zoo.catalog import DigitsCNN
from model_zoo.graph.deep_knn import conforming, layer_votes, with_rejection
from model_zoo.heads.deep_knn import DeepKNN
from model_zoo.network import Network
from robench.attack.losses import cross_entropy
from robench.errors import ConfigError, InputError
from robench.model.interface import predictions
from robench.recipe import build
from tests.attacks.wnll.graph_toys import TEST, TRAIN, headed, network

X, Y = TEST.batch(slice(0, 30))
SMALL = {"k": 5, "template": 60, "calibration": 30}


def deep(net=None, **options):
    return headed(DeepKNN(**(SMALL | options)), net)


def layers_of(net, names, x):
    """The outputs of the layers by hand: run the parts of the backbone one after the other."""
    modules, rows = dict(net.named_modules()), {}
    handles = []
    for name in names:

        def note(_part, _inputs, output, name=name):
            rows[name] = output

        handles.append(modules[name].register_forward_hook(note))
    with torch.no_grad():
        net(x)
    for handle in handles:
        handle.remove()
    return [F.normalize(rows[name].flatten(1), dim=1).double() for name in names]


def brute_votes(queries, points, labels, k):
    """Return, for each query, how many of its neighbours in all layers are of each class."""
    counts = []
    for i in range(len(queries[0])):
        votes = Counter()
        for query, near in zip(queries, points, strict=True):
            cosine = (query[i] @ near.T).tolist()
            order = sorted(range(len(near)), key=lambda t: -cosine[t])[:k]
            votes.update(labels[t] for t in order)
        counts.append([votes[c] for c in range(10)])
    return torch.tensor(counts)


def test_votes_and_credibility_are_those_of_the_definition():
    net = network()
    names = ["backbone.convolutions.1", "backbone.dense"]
    model = deep(net, layers=tuple(names))
    head = DeepKNN(**SMALL)
    template, calibration = head._draw(TRAIN, classes=10, seed=0)
    assert not set(template.indices.tolist()) & set(calibration.indices.tolist())
    points = layers_of(net, names, template.batch(slice(None))[0])
    labels = template.labels.tolist()
    want = brute_votes(layers_of(net, names, X), points, labels, 5)
    votes, u = model.net.votes(model.net.branches.features(X))
    assert torch.equal(votes, want)
    assert torch.allclose(u.sum(1), torch.ones(30, dtype=u.dtype))
    assert ((u * 11 - votes) >= -1e-6).all()
    assert ((u * 11 - votes) <= 1 + 1e-6).all()

    other = brute_votes(layers_of(net, names, calibration.batch(slice(None))[0]), points, labels, 5)
    alpha = [10 - int(row[c]) for row, c in zip(other, calibration.labels.tolist(), strict=True)]
    shares, answers = model.net.credibility(X).tolist(), u.argmax(1).tolist()
    for row, share, answer in zip(want.tolist(), shares, answers, strict=True):
        p_values = [sum(a >= 10 - votes for a in alpha) / len(alpha) for votes in row]
        assert share == pytest.approx(max(p_values))
        assert p_values[answer] == max(p_values)
        assert row[answer] == max(row)


def test_one_layer_is_the_head_knn_and_ties_go_to_the_nearer():
    points = [torch.tensor([[0.0], [1.0], [2.1], [5.0]]), torch.tensor([[0.0], [3.0], [2.0], [1.0]])]
    labels = torch.tensor([0, 0, 1, 1])
    votes, u = layer_votes([torch.tensor([[1.6]])] * 2, points, labels, classes=3, k=1)
    assert votes.tolist() == [[0, 2, 0]]
    votes, u = layer_votes([torch.tensor([[1.6]])] * 2, points, labels, classes=3, k=2)
    # layer 1: 1 (class 0? at 0.5 and 0.6), layer 2: classes 1 and 1 (2.0, 1.0)
    assert votes.tolist() == [[1, 3, 0]]
    votes, u = layer_votes([torch.tensor([[1.5]])], [points[0]], labels, classes=2, k=2)
    assert votes.tolist() == [[1, 1]]
    assert u.argmax(1).tolist() == [0]  # 1.0 is nearer than 2.1


def test_rejection_is_predicted_exactly_below_the_share():
    calibration = torch.tensor([2, 5, 5, 7, 9])
    votes = torch.tensor([1, 2, 4, 5, 8, 10])
    counts = conforming(votes, calibration)
    assert counts.tolist() == [0, 1, 1, 3, 4, 5]
    u = torch.tensor([[0.9, 0.1]]).expand(6, 2)
    for share, least in ((0.2, 0.5), (0.4, 1.5), (0.6, 2.5), (1.0, 4.5)):
        rows = with_rejection(u, counts, least)
        assert torch.allclose(rows.sum(1), torch.ones(6))
        assert torch.equal(rows.argmax(1) == 2, counts / 5 < share - 1e-9)


def test_a_model_that_rejects_answers_as_its_credibility_says():
    plain, model = deep(), deep(reject_below=0.5)
    assert not plain.rejects
    assert model.rejects
    rows = model.net(X)
    assert rows.shape == (30, 11)
    rejections = predictions(rows, model.output) == 10
    assert torch.equal(rejections, model.net.credibility(X) < 0.5)
    assert 0 < int(rejections.sum()) < 30
    assert torch.equal(rows[~rejections, :10].argmax(1), plain.net(X)[~rejections].argmax(1))


@pytest.mark.parametrize("options", [{}, {"reject_below": 0.3}, {"layers": ("backbone.dense.0",)}])
def test_sources_give_the_models_own_outputs_and_slopes(options):
    model = deep(**options)
    assert tuple(model.sources) == DeepKNN.offers
    own_rows = model.net(X)
    for source in model.sources.values():
        point = X.clone().requires_grad_()
        surrogate, own = source.surrogate(point)
        torch.testing.assert_close(own, own_rows)
        (slope,) = torch.autograd.grad(cross_entropy(surrogate, Y, source.output).sum(), point)
        assert bool(slope.isfinite().all())
        assert bool(slope.any())
    alone = torch.cat([model.net(X[i : i + 1]) for i in range(30)])
    torch.testing.assert_close(alone, own_rows)


def test_the_network_keeps_its_hooks_and_its_bits():
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    model = deep(net)
    model.net(X)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(part._forward_hooks for part in net.modules())
    assert model.details["layers"] == ["backbone.convolutions", "backbone.dense"]
    assert deep(network(buffer=16)).details["layers"][-1] == "buffer"
    assert model.fingerprint() == deep(network()).fingerprint()


def test_the_digits_are_recognised_by_votes_of_a_network_that_is_not_ours():
    foreign = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).eval()
    model = deep(foreign, template=300, calibration=60)
    assert model.details["layers"] == ["1", "2"]
    x, y = TEST.batch(slice(0, 100))
    assert float((predictions(model.net(x), model.output) == y).float().mean()) > 0.85


def test_features_that_are_no_number_cost_only_their_own_row():
    net = deep().net
    z = net.branches.features(X[:5]).detach()
    z[2, 0] = torch.nan
    assert net.classify(z).isnan().all(dim=1).tolist() == [False, False, True, False, False]
    assert net.density(z, 1.0).isnan().all(dim=1).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize(
    "options",
    [{"k": 0}, {"k": 501}, {"k": 9, "template": 5}, {"calibration": 0}, {"reject_below": 1.5}, {"tau": 0},
     {"layers": ["a", "a"]}],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        build(DeepKNN, options, where="test.yaml:1")


def test_layers_and_data_that_cannot_serve_are_refused():
    with pytest.raises(ConfigError, match=r"backbone\.dense"):
        deep(layers=("backbone.dens",))
    relu = nn.ReLU()
    twice = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 8), relu, nn.Linear(8, 8), relu, nn.Linear(8, 10)
    ).eval()
    with pytest.raises(InputError, match="2 runs"):
        deep(twice, layers=("2",))
    few = TRAIN.subset(torch.arange(20))
    with pytest.raises(InputError, match="training images"):
        DeepKNN(**SMALL).check(lambda: few, classes=10, seed=0)
    with pytest.raises(InputError, match="split"):
        DeepKNN(**SMALL).check(lambda: TEST, classes=10, seed=0)
    assert Network(DigitsCNN()(channels=1, size=(8, 8), classes=10), classes=10) is not None
