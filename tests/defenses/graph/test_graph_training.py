"""Training through graph heads: the gradient against central differences, templates, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from defenses.graph.layer import GraphLayer, GraphLoss
from defenses.graph.options import stages_of
from defenses.training.objective import BatchContext
from model_zoo.datasets import Digits
from robench import plugins
from robench.data.images import image_set
from robench.data.loading import select
from robench.errors import ConfigError, InputError, JobError, PluginError
from robench.model.interface import Coupling, predictions
from robench.randomness import Randomness
from robench.recipe import build
from tests.attacks.wnll.graph_toys import network as digits_network
from tests.defenses.toys import EPS, context, network, recipe, same, toy

HEADS = ("gll", "laplace", "wnll", "poisson", "p_laplace")
OPTIONS = {"gll": {"m": 6}, "p_laplace": {"m": 6, "n": 3, "p": 4.0}}
SMALL = {"epochs": 2, "per_class": 8, "template": 30, "validation": 0.2, "batch_size": 20}


def options_of(head, **options):
    return recipe(
        "graph_natural", head=head, head_options=OPTIONS.get(head, {"m": 6, "n": 3}), **(SMALL | options)
    )


def smooth(seed=0):
    """Features without kinks, batch-norm or dropout, in float64, with a linear branch."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)

        class Smooth(nn.Module):
            def __init__(self):
                super().__init__()
                self.backbone = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Tanh(), nn.Linear(6, 4))
                self.linear = nn.Linear(4, 2)

            def forward(self, x):
                return self.linear(self.backbone(x))

        return Smooth().double()


def blurred(count=60):
    """Two classes that overlap, so that u is not saturated."""
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(count) % 2
    images = 0.5 + 0.06 * (2 * labels - 1)[:, None] + 0.2 * torch.randn(count, 16, generator=generator)
    return image_set(images.clamp(0, 1).view(count, 1, 4, 4), labels, name="blurred", split="train")


@pytest.mark.parametrize("head", HEADS)
def test_the_gradient_is_that_of_the_loss_through_queries_and_template(head):
    """Central differences in every parameter of the features; the linear branch gets its own loss only."""
    net, data = smooth(), blurred()
    layer = GraphLayer(net, data, options=options_of(head), context=context())
    rng = Randomness(0, data.indices[:12])
    template = layer.template(rng)
    rows = layer.queries(template, rng)
    x, y = data.batch(rows)
    x = x.double()

    def value():
        return layer.loss(layer.joint_model(template), x, y)[0]

    value().backward()
    parameters = [p for name, p in net.named_parameters() if name.startswith("backbone")]
    direction = [
        torch.randn(p.shape, generator=torch.Generator().manual_seed(7), dtype=p.dtype) for p in parameters
    ]
    slope = sum((p.grad * d).sum() for p, d in zip(parameters, direction, strict=True))
    ends = []
    with torch.no_grad():
        for step in (1e-6, -1e-6):
            for p, d in zip(parameters, direction, strict=True):
                p.add_(step * d)
            ends.append(value())
            for p, d in zip(parameters, direction, strict=True):
                p.sub_(step * d)
    torch.testing.assert_close(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-7)
    assert abs(float(slope)) > 1e-4

    z = net.backbone(x).detach()
    branch = nn.functional.cross_entropy(net.linear(z), y)
    (expected,) = torch.autograd.grad(branch, net.linear.weight)
    torch.testing.assert_close(net.linear.weight.grad, expected)


def test_without_the_gradient_to_the_template_it_would_be_another_one():
    net, data = smooth(), blurred()
    layer = GraphLayer(net, data, options=options_of("gll"), context=context())
    rng = Randomness(0, data.indices[:12])
    model = layer.joint_model(layer.template(rng))
    x, y = data.batch(slice(0, 12))
    loss, u = layer.loss(model, x.double(), y)
    loss.backward()
    whole = net.backbone[1].weight.grad.clone()
    net.zero_grad()
    around = model.neighbourhood
    points = around.features(around.memory().images.double()).detach()
    rows = around.classify(around.features(x.double()), points)
    torch.testing.assert_close(rows, u)
    (-(rows.gather(1, y[:, None]) + 1e-8).log().mean()).backward()
    assert (net.backbone[1].weight.grad - whole).abs().max() > 1e-3 * whole.abs().max()


def test_templates_are_drawn_anew_class_by_class_apart_from_the_mini_batch():
    data = toy()
    layer = GraphLayer(network(), data, options=options_of("gll"), context=context())
    rng = Randomness(0, data.indices[:20], ("training", 0))
    one, again = layer.template(rng), layer.template(rng)
    other = layer.template(Randomness(0, data.indices[20:40], ("training", 0)))
    assert one.labels.tolist() == [0] * 8 + [1] * 8
    assert torch.equal(one.indices, again.indices)
    assert not torch.equal(one.indices.sort().values, other.indices.sort().values)
    assert not set(one.indices.tolist()) & set(range(20))
    assert layer.queries(one, rng).tolist() == list(range(20))
    assert layer.joint_model(one).coupling is Coupling.JOINT


def test_where_there_are_too_few_others_a_half_of_the_mini_batch_becomes_template():
    data = toy(12)
    layer = GraphLayer(network(), data, options=options_of("gll"), context=context())
    rng = Randomness(0, data.indices)
    template = layer.template(rng)
    rows = layer.queries(template, rng)
    assert template.labels.tolist() == [0] * 3 + [1] * 3
    assert sorted([*template.indices.tolist(), *rows.tolist()]) == list(range(12))
    x, y = data.batch(slice(None))
    loss, u = GraphLoss(layer).loss(x, y, BatchContext(0.5, rng))
    assert u.shape == (12, 2)
    assert bool(loss.isfinite())
    assert (predictions(u)[template.indices] < 0).all()


def test_the_linear_stage_comes_first_and_the_radius_grows_in_it_only():
    robust = recipe("graph_pgd", linear_epochs=3, warmup_epochs=2.0, epochs=5, schedule="cosine")
    linear, graph = stages_of(robust)
    assert (linear.epochs, linear.schedule, linear.warmup_epochs) == (3, "constant", 2.0)
    assert (graph.epochs, graph.schedule, graph.warmup_epochs) == (5, "cosine", 0.0)
    assert stages_of(recipe("graph_natural")) == (None, recipe("graph_natural"))
    rows = []
    options_of("laplace", linear_epochs=1)(network(), toy(), context=context(progress=rows.append))
    assert [row["stage"] for row in rows if "step" not in row] == [1, 2, 2]


@pytest.mark.thorough
@pytest.mark.parametrize("head", ["pwll", "p_laplace", "wnll"])
def test_every_graph_head_is_learned_through(head):
    net = network()
    history = options_of(head, epochs=6)(net, toy(), context=context())
    assert history[-1]["validation_accuracy"] > 0.9
    assert not same(net, network())


@pytest.mark.thorough
@pytest.mark.parametrize("head", ["gll", "wnll"])
def test_the_digits_are_learned(head):
    data = select(Digits()("train"), limit=600, subset="balanced", seed=0)
    defense = build(
        plugins.find("defenses", "graph_natural"),
        {
            "head": head, "head_options": {"m": 15}, "epochs": 10, "linear_epochs": 20, "batch_size": 100,
            "per_class": 10, "learning_rate": 0.05, "template": 200,
        },
        where="test",
    )  # fmt: skip
    net = digits_network()
    defense(net, data, context=context())
    model = plugins.find("heads", head)(m=15, template=200)(
        net.eval(), name="digits", classes=10, training_data=lambda: data, seed=0, device="cpu", details={}
    )
    x, y = Digits()("test").batch(slice(0, 200))
    assert float((predictions(model.net(x), model.output) == y).float().mean()) > 0.93
    # the linear branch was learned first, and stayed good on features that changed
    assert float((net(x).argmax(1) == y).float().mean()) > 0.9


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"head": "knn"}, "protocol `joint`"),
        ({"head": "linear"}, "protocol `joint`"),
        ({"head_options": {"template": 3}}, "training sets itself"),
        ({"head_options": {"m": 1}}, "m of at least 2"),
        ({"head_options": {"k": 1}}, "option of GLL"),
        ({"per_class": 0}, "per_class"),
        ({"linear_epochs": -1}, "linear_epochs"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        recipe("graph_natural", **options)


def test_a_head_that_is_not_there_is_refused_by_name():
    with pytest.raises(PluginError, match="nothing"):
        recipe("graph_natural", head="nothing")


def test_the_inner_attack_is_asked_in_the_graph_with_a_clean_template(monkeypatch):
    """Every attack of the graph's stage is on a joint batch, none of it template, through the source."""
    from defenses.training.inner_attack import InnerAttack

    questions, real = [], InnerAttack.craft

    def craft(self, x, y, rng, eps):
        memory = self.model.neighbourhood.memory().images
        questions.append((self.model.coupling, self.source.name, eps, set(rng.images.tolist())))
        assert not (x[:, None] == memory[None]).flatten(2).all(2).any()
        x_adv = real(self, x, y, rng, eps)
        assert 0 < float((x_adv - x).abs().max()) <= eps + 1e-6
        return x_adv

    monkeypatch.setattr(InnerAttack, "craft", craft)
    data = toy()
    recipe("graph_pgd", epochs=1, source="exact", warmup_epochs=0.0)(network(), data, context=context())
    assert {(coupling, name, eps) for coupling, name, eps, _ in questions} == {(Coupling.JOINT, "exact", EPS)}
    assert sum(len(rows) for *_, rows in questions) == 80  # a fifth is held out


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", ["graph_natural", "graph_pgd"])
def test_what_is_learned_from_goes_through_in_training_mode(name, mode):
    """Batch-norm counts the passes in training mode: one a step, and with `train` those of the attack too."""
    net, rows = network(), []
    options = {"attack_mode": mode, "steps": 3, "warmup_epochs": 0.0} if name == "graph_pgd" else {}
    recipe(name, epochs=2, keep="last", **options)(net, toy(), context=context(progress=rows.append))
    passes = int(net.backbone[2].num_batches_tracked)
    steps = 2 * 5  # 80 images in batches of 16
    assert passes == steps if mode == "eval" or not options else passes > steps


@pytest.mark.thorough
def test_an_inner_attack_through_exact_gradients_is_masked_where_u_is_a_corner():
    standing = {}
    for source in ("exact", "straight_through"):
        defense = recipe("graph_pgd", source=source, epochs=4)
        net = network()
        net.backbone = nn.Sequential(*net.backbone[:2], nn.ReLU())  # batch-norm and dropout apart
        history = defense(net, toy(), context=context())
        standing[source] = history[-1]["validation_robust_accuracy"]
        assert history[-1]["validation_accuracy"] > 0.9
    assert standing["exact"] < standing["straight_through"] - 0.2


def test_an_inner_attack_in_another_precision_is_refused():
    with pytest.raises(ConfigError, match="float32"):
        recipe("graph_pgd", attack_precision="bfloat16")


@pytest.mark.parametrize(
    ("rows", "words"),
    [(range(0, 60, 2), "none of class 1"), ([0, 2, 4, 1], "one of class 1"), (range(8), "4 images")],
)
def test_data_no_graph_can_be_built_from_are_refused_early(rows, words):
    defense = options_of("gll", validation=0.0, keep="last")
    few = toy(60).subset(torch.tensor(list(rows)))
    for ask in (
        lambda: defense.check(few, seed=1),
        lambda: defense(network(), few, context=context()),
    ):
        with pytest.raises(InputError, match=words):
            ask()


def test_features_that_are_no_number_end_the_training_by_name():
    net = network()
    with torch.no_grad():
        net.backbone[1].weight.fill_(float("inf"))
    with pytest.raises(JobError, match="finite training loss"):
        replace(options_of("gll"), validation=0.0, keep="last")(net, toy(), context=context())
