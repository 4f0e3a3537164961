"""Training by name and the WNLL head from Python: what they do, and what they refuse."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

import robench
from robench.errors import ConfigError, InputError, JobError, PluginError
from robench.model import DefenseInfo


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


@pytest.fixture(scope="module")
def images():
    return robench.load_data("digits", split="train", limit=300)


def right(net, data):
    x, y = data.batch(slice(None))
    return float((net(x).argmax(dim=1) == y).float().mean())


@pytest.mark.thorough
def test_training_is_in_place_learns_and_repeats(images):
    net, reports = network(), []
    options = {"epochs": 6, "batch_size": 10}
    training = robench.train(net, images, "natural", **options, progress=reports.append)
    assert training.network is net
    assert right(net, images) > 0.5 > right(network(), images)
    assert len(training.to_frame()) == len(training.history) == 6
    assert training.history[-1] in reports
    again = network()
    torch.manual_seed(5)
    robench.train(again, images.batch(slice(None)), "natural", **options)
    assert torch.equal(net[1].weight, again[1].weight)
    best = [row["epoch"] for row in training.history if row["best"]][-1]
    assert repr(training).startswith(f"Training(natural of Sequential; epoch {best:.0f} of 6 kept, loss")
    assert "<table>" in training._repr_html_()


def test_a_training_of_a_file(images, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def ones(network, images, value=1.0):\n"
        "    with torch.no_grad():\n"
        "        network[1].weight.fill_(value)\n"
    )
    net = network()
    training = robench.train(net, images, f"{tmp_path}/mine.py:ones", value=2.0)
    assert bool((net[1].weight == 2).all())
    assert training.history == ({"epoch": 1.0},)


def ones(network, images, value=1.0):
    with torch.no_grad():
        network[1].weight.fill_(value)


@dataclass(frozen=True, kw_only=True)
class Ones:
    """A whole plugin."""

    info: ClassVar[DefenseInfo] = DefenseInfo(title="Ones", paper="none")
    value: float = 1.0

    def __call__(self, network, data, *, context):
        ones(network, data, self.value)
        return [{"epoch": 1.0, "loss": 0.5}]


@pytest.mark.parametrize(
    ("defense", "options", "name"),
    [(ones, {"value": "4/2"}, "ones"), (Ones, {"value": 2.0}, "Ones"), (Ones(value=2.0), {}, "Ones")],
)
def test_a_training_is_a_function_a_class_or_made_with_its_options(images, defense, options, name):
    net = network()
    training = robench.train(net, images, defense, **options)
    assert bool((net[1].weight == 2).all())
    assert (training.defense, training.doubts) == (name, ())
    assert repr(training).startswith(f"Training({name} of Sequential; epoch 1")


def test_what_a_function_raises_is_told_with_its_line(images):
    def mine(network, images):
        return {}["nope"]

    with pytest.raises(JobError) as refusal:
        robench.train(network(), images, mine)
    line = mine.__code__.co_firstlineno + 1
    assert str(refusal.value).endswith(
        f"expected weights, got KeyError: 'nope' (at {__file__}, line {line})."
    )
    assert isinstance(refusal.value.__cause__, KeyError)


def peaked(network, images):
    with torch.no_grad():
        network[1].weight.fill_(2)
    return [{"epoch": 1, "loss": 0.5, "best": 1}, {"epoch": 2, "loss": 0.25, "best": 0}]


def test_the_line_of_a_training_is_of_the_epoch_whose_weights_are_kept(images):
    training = robench.train(network(), images, peaked)
    assert repr(training) == "Training(peaked of Sequential; epoch 1 of 2 kept, loss 0.5)"
    assert "; epoch 1 of 2 kept" in training._repr_html_()


def idle(network, images, epochs=1):
    pass


def test_a_training_that_changes_nothing_is_in_doubt_unless_it_has_no_epoch(images):
    training = robench.train(network(), images, idle)
    assert training.doubts == ("the training changed none of 4 parameters",)
    assert "changed none" in repr(training)
    assert "changed none" in training._repr_html_()
    assert robench.train(network(), images, idle, epochs=0).doubts == ()


def test_a_wnll_head_answers_with_the_simplex_of_the_networks_features(images):
    net = network().train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    model = robench.wnll_head(net, images, m=10, n=5, name="mine")
    x, _ = images.batch(slice(0, 5))
    assert torch.allclose(model(x).sum(dim=1), torch.ones(5))
    assert (model.name, model.classes, model.template) == ("mine", 10, True)
    assert model.details["template"] == 300
    assert net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def to_nan(network, images):
    with torch.no_grad():
        network[1].weight[3, 5] = float("nan")


def to_infinity(network, images):
    with torch.no_grad():
        network[3].bias.fill_(float("inf"))


def resized(network, images):
    network[3] = nn.Linear(16, 5)


def spoilt(network, images):
    network[3] = nn.Linear(4, 10)


X, Y = torch.rand(20, 1, 8, 8), torch.arange(20) % 10
NONSENSE = [
    (lambda d: robench.train(network(), robench.load_data("digits", limit=9)), InputError, 'split="train"'),
    (lambda d: robench.train(network(), X), InputError, "a pair of images and labels"),
    (lambda d: robench.train(network(), (X * 255, Y)), InputError, "255"),
    (lambda d: robench.train(network(), (X, Y.clamp_max(3) * 2)), InputError, "class 1"),
    (lambda d: robench.train(network(), (X[..., :4], Y)), InputError, r"images of shape \(2, 1, 8, 4\)"),
    (lambda d: robench.train(network()[:2], (X, Y + 10)), InputError, "outputs|class 0"),
    (lambda d: robench.train(network().requires_grad_(False), d), InputError, r"requires_grad_\(True\)"),
    (lambda d: robench.train(nn.Linear, d), InputError, "the class Linear"),
    (lambda d: robench.train(lambda x: x, d), InputError, "a torch.nn.Module"),
    (lambda d: robench.train(network(), d, "trade"), PluginError, "Did you mean 'trades'"),
    (lambda d: robench.train(network(), d, to_nan), JobError, "got NaN or infinity in 1 of 4 .*1.weight"),
    (lambda d: robench.train(network(), d, to_infinity), JobError, "1 of 4 parameters: 3.bias"),
    (lambda d: robench.train(network(), d, resized), JobError, "10 outputs, as before its training, got 5"),
    (lambda d: robench.train(network(), d, spoilt), JobError, "10 outputs, as before, got RuntimeError"),
    (lambda d: robench.train(network(), d, lambda net: None), ConfigError, r"\(network, images\), or"),
    (lambda d: robench.train(network(), d, 3), InputError, "the name of a training defense, or a function"),
    (lambda d: robench.train(network(), d, Ones(), value=1), InputError, "no options beside"),
    (lambda d: robench.train(network(), d, ones, valu=1), ConfigError, "Did you mean 'value'"),
    (lambda d: robench.train(network(), d, "jpeg"), ConfigError, "a defense of training"),
    (lambda d: robench.train(network(), d, "trades", epochs=1), ConfigError, "eps, which has no default"),
    (lambda d: robench.train(network(), d, epoch=3), ConfigError, "Did you mean 'epochs'"),
    (lambda d: robench.wnll_head(network(), robench.load_data("digits", limit=90)), InputError, "train"),
    (lambda d: robench.wnll_head(lambda x: x, d), InputError, "the module itself"),
    (lambda d: robench.wnll_head(network(), d, k=3), ConfigError, "option of WNLL"),
    (lambda d: robench.wnll_head(network(), d, m=3, n=8), ConfigError, "2 <= n <= m"),
    (lambda d: robench.wnll_head(network(), d, m=400), InputError, "at least m = 400"),
    (lambda d: robench.wnll_head(nn.Flatten(), d, m=10, n=5), InputError, "nn.Linear"),
    (lambda d: robench.make_attack(robench.make_attack("pgd"), steps=3), InputError, "no options beside"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_refused_in_a_sentence(images, call, kind, text):
    with pytest.raises(kind, match=text):
        call(images)


@pytest.mark.parametrize(
    "outputs", [[-1, 0, 1], [0, 1.5, 2], [0, True, 2], torch.tensor([-3, 0, 1]), [0, 1, "2"]]
)
def test_a_class_map_of_what_counts_no_outputs_is_refused(outputs):
    with pytest.raises(InputError, match="number of an output, from 0, for each class"):
        robench.wrap(network(), name="net", classes=3, class_map=outputs)


@pytest.mark.parametrize("outputs", [[0, 1], [0, 1, 1], torch.tensor([2, 1, 2])])
def test_a_class_map_names_as_many_different_outputs_as_there_are_classes(outputs):
    with pytest.raises(InputError, match="a class_map of 3 different outputs"):
        robench.wrap(network(), name="net", classes=3, class_map=outputs)


def test_a_class_map_of_integers_of_any_type_is_taken():
    model = robench.wrap(network(), name="net", classes=3, class_map=torch.tensor([4, 0, 2]))
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(model(x), network()(x)[:, [4, 0, 2]])
    assert model.details["class_map"] == [4, 0, 2]


def test_a_network_of_more_outputs_than_many_labels_show_is_not_trained(images):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 20))
    with pytest.raises(InputError, match="expected 10 outputs, one for each class that the 300 labels show"):
        robench.train(net, images, "natural", epochs=1)
