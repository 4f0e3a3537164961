"""Both WNLL trainings: halves, stages and rates of Algorithm 1, the gradient of Eq. 13, the attacks of 3."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import pytest
import torch

from defenses.training.split import halves, split
from defenses.wnll.options import stage_options
from defenses.wnll.stage import WNLLStage
from robench import plugins
from robench.attack.losses import cross_entropy
from robench.attack.protocol import AttackInfo
from robench.data.loading import select
from robench.errors import ConfigError, InputError
from robench.model.interface import Coupling
from robench.randomness import Randomness
from tests.defenses.toys import EPS, context, network, recipe, same, toy


def snapshots(defense, data):
    """Train, and return (stage, weights) after every epoch."""
    net, states = network(), []

    def progress(row):
        if "step" not in row:
            states.append((row["stage"], {k: v.clone() for k, v in net.state_dict().items()}))

    defense(net, data, context=context(progress=progress))
    return net, states


def test_a_wnll_stage_moves_the_buffer_and_nothing_else():
    defense = recipe("wnll_natural", keep="last", validation=0.0, wnll_learning_rate=0.1)
    _, states = snapshots(defense, toy())
    assert [stage for stage, _ in states] == [1, 1, 2, 2, 3, 3, 4, 4]
    for (_, before), (stage, after) in pairwise(states):
        parts = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
        assert parts == ({"backbone", "buffer", "linear"} if stage in (1, 3) else {"buffer"})


def test_the_gradient_is_that_of_eq_13():
    net, data = network().eval(), toy()
    stage = WNLLStage(net, data.subset(slice(40, 100)), options=recipe("wnll_natural"), context=context())
    x, y = data.batch(slice(0, 40))
    model = stage.training_model(Randomness(0, data.indices[:40]))
    loss, u = stage.loss(model, x, y)
    loss.backward()
    with torch.no_grad():
        torch.testing.assert_close(u, model.net(x))
        h = net.backbone(x)
        before = net.buffer[0](h)
        slope = (u - torch.eye(2)[y]) / len(x) @ net.linear.weight * (before > 0)
    assert loss.item() == pytest.approx(
        -u[torch.arange(40), y].clamp_min(1e-38).log().mean().item(), rel=1e-4
    )
    torch.testing.assert_close(net.buffer[0].weight.grad, slope.T @ h)
    torch.testing.assert_close(net.buffer[0].bias.grad, slope.sum(0))


def test_rates_fall_to_a_fifth_and_lengths_are_those_of_each_stage():
    options = plugins.find("defenses", "wnll_natural")(epochs=400, schedule="multistep", milestones=(50, 100))
    plan = [stage_options(options, number) for number in (0, 1)]
    assert options.passes == 2
    assert [(a.learning_rate, b.learning_rate) for a, b in plan] == [
        pytest.approx((0.05, 0.0005)),
        pytest.approx((0.01, 0.0001)),
    ]
    assert [(a.epochs, a.batch_size, a.schedule) for a, _ in plan] == [(400, 128, "multistep")] * 2
    assert [(b.epochs, b.batch_size, b.schedule) for _, b in plan] == [(5, 2000, "constant")] * 2
    robust = recipe("wnll_pgd", epochs=3, warmup_epochs=3.0, wnll_epochs=1)
    assert [o.warmup_epochs for number in (0, 1) for o in stage_options(robust, number)] == [3, 0, 0, 0]


@dataclass(frozen=True)
class Spy:
    """One step of ascent that notes what it was given."""

    info: ClassVar[AttackInfo] = AttackInfo(title="Spy", paper="", norms=("Linf",))
    seen: ClassVar[list] = []

    def __call__(self, oracle, x, y, *, threat, rng):
        self.seen.append((oracle, x, rng.images.tolist()))
        return threat.project(x, x + threat.eps * oracle.gradient(cross_entropy, x).sign())


def test_stage_2_attacks_through_wnll_with_a_clean_template_apart_from_its_images(monkeypatch):
    templates, real, data = [], plugins.find, toy()

    def find(kind, name, **where):
        plugin = real(kind, name, **where)
        if (kind, name) != ("heads", "wnll"):
            return plugin

        @dataclass(frozen=True, kw_only=True)
        class Watched(plugin):
            def __call__(self, net, *, training_data, **others):
                templates.append(training_data())
                return (
                    super(plugin, self).__call__(net, training_data=training_data, **others)
                    if False
                    else (plugin.__call__(self, net, training_data=training_data, **others))
                )

        return Watched

    monkeypatch.setattr(plugins, "find", find)
    Spy.seen.clear()
    recipe("wnll_pgd", inner=Spy(), passes=1)(network(), data, context=context())
    training = [(oracle, x, rows) for oracle, x, rows in Spy.seen if not oracle.track]
    linear = [rows for oracle, _, rows in training if oracle.source.name == "exact"]
    graph = [(oracle, x, rows) for oracle, x, rows in training if oracle.source.name == "straight_through"]
    assert len(linear) == 2 * 5
    assert len(graph) == 2 * 2
    assert len(linear) + len(graph) == len(training)
    validation_set = set(split(data, 0.2, 1)[1].indices.tolist())
    half = set(templates[0].indices.tolist())
    for oracle, x, rows in graph:
        assert oracle.model.coupling is Coupling.JOINT
        assert oracle.threat.eps == EPS
        assert torch.equal(x, data.batch(torch.tensor(rows))[0])
        assert half.isdisjoint(rows)
    assert all(set(t.indices.tolist()) == half for t in templates)
    assert validation_set.isdisjoint(half)
    assert {row for _, _, rows in graph for row in rows} | half | validation_set == set(range(len(data)))
    oracles = [oracle for oracle, _, _ in Spy.seen if oracle.track and oracle.source.name != "exact"]
    assert {oracle.model.coupling for oracle in oracles} == {Coupling.INDEPENDENT}


@pytest.mark.parametrize(
    ("rows", "words"), [(range(0, 60, 2), "none of class 1"), (range(10), "at least m = 6 images, got 5")]
)
def test_data_that_some_stage_cannot_use_are_refused_before_the_first(rows, words):
    defense, progress_rows = recipe("wnll_natural", validation=0.0, keep="last"), []
    few = toy(60).subset(torch.tensor(list(rows)))
    with pytest.raises(InputError, match=words):
        defense(network(), few, context=context(progress=progress_rows.append))
    with pytest.raises(InputError, match=words):
        defense.check(few, seed=1)
    assert not progress_rows
    defense.check(toy(12), seed=1)


def test_a_template_smaller_than_m_is_refused_with_the_options():
    with pytest.raises(ConfigError, match="at least m"):
        recipe("wnll_natural", template=5)


def test_the_step_is_descent_on_the_buffer():
    """One WNLL step of plain SGD from a known state, by hand."""
    options = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "validation": 0.0, "keep": "last"}
    defense = recipe("wnll_natural", passes=1, wnll_epochs=1, wnll_batch_size=99, epochs=1, **options)
    net, states = snapshots(defense, toy())
    by_hand = network()
    by_hand.load_state_dict(states[0][1])
    data, rate = toy(), defense.wnll_learning_rate
    training, template = halves(data, 1, 0)
    stage = WNLLStage(by_hand.eval(), template, options=stage_options(defense, 0)[1], context=context())
    order = torch.randperm(len(training), generator=order_of(epoch=1))
    rng = Randomness(1, training.indices[order], ("training", 1)).split("objective")
    model = stage.training_model(rng)
    stage.loss(model, *training.batch(order))[0].backward()
    with torch.no_grad():
        for parameter in by_hand.buffer.parameters():
            parameter.sub_(rate * parameter.grad)
    assert same(by_hand, net)


def order_of(epoch):
    from robench.randomness import seed_from

    return torch.Generator().manual_seed(seed_from(1, "order", epoch))


def test_networks_without_a_linear_branch_are_refused():
    from defenses.wnll.stage import buffer_parameters

    net = network()
    net.linear = None
    with pytest.raises(ConfigError, match="linear branch"):
        buffer_parameters(net)
    assert len(buffer_parameters(network())) == 2


@pytest.mark.parametrize("subset", ["first", "balanced"])
def test_few_images_first_or_balanced_are_enough(subset):
    few = select(toy(), limit=24, subset=subset, seed=0)
    options = {"passes": 2, "epochs": 4, "validation": 0.0, "keep": "last"}
    history = recipe("wnll_natural", **options)(network(), few, context=context())
    assert history[-1]["train_accuracy"] > 0.9
    for number in range(2):
        for half in halves(few, 1, number):
            assert set(half.labels.tolist()) == {0, 1}
