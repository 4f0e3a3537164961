"""Every training defense: it learns a toy problem, and a resumed run ends with the same bits."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from robench import plugins
from robench.attack.norms import LINF
from robench.attack.threat import ThreatModel
from robench.errors import ConfigError
from robench.model.defense import Defense
from robench.randomness import Randomness
from tests.defenses.toys import EPS, RECIPES, ROBUST, check_resumption, context, network, recipe, toy


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.thorough
@pytest.mark.parametrize("name", RECIPES)
def test_it_learns_and_a_stopped_run_resumes_to_the_same_bits(name, tmp_path):
    defense, states = recipe(name), torch.get_rng_state()
    assert isinstance(defense, Defense)
    net, history = check_resumption(defense, toy(), tmp_path)
    assert torch.equal(states, torch.get_rng_state())
    assert history[-1]["validation_accuracy"] > 0.9
    assert ("validation_robust_accuracy" in history[-1]) == (name in (*ROBUST, "ensemble", "ibp_training"))
    if name in ROBUST:
        assert history[-1]["validation_robust_accuracy"] > 0.7
    assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


@pytest.mark.thorough
def test_recipes_import_without_torch():
    modules = ", ".join(sorted({plugins.find("defenses", name).__module__ for name in RECIPES}))
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("trades", {"beta": 0.0}, "beta"),
        ("mart", {"weight": -1.0}, "weight"),
        ("free", {"replays": 0}, "replays"),
        ("svm", {"margin": 0.0}, "margin"),
        ("manifold_mixup", {"layers": ["input"]}, "features"),
        ("distillation", {"temperature": 0.0}, "temperature"),
        ("wnll_natural", {"n": 7}, "from 2 to m"),
        ("wnll_pgd", {"passes": 0}, "passes"),
        ("ensemble", {"others": 0}, "others"),
        ("natural", {"average_decay": 1.0}, "average_decay"),
        ("natural", {"average": "mean"}, "average"),
    ],
)
def test_options_that_mean_nothing_are_refused(name, options, match):
    with pytest.raises(ConfigError, match=match):
        recipe(name, **options)


@pytest.mark.parametrize(
    ("name", "match"), [("manifold_mixup", "features"), ("wnll_natural", "Set `buffer`")]
)
def test_a_network_without_the_layers_is_refused(name, match):
    with pytest.raises(ConfigError, match=match):
        recipe(name)(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), toy(), context=context())


def linear_problem():
    """A network whose gradient in x is known: two scores w x and -w x."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    w = torch.tensor([1.0, -2.0, 0.5, 0.0])
    net[1].weight.data = torch.stack([w, -w])
    return net, w.sign().view(1, 1, 2, 2)


def test_fast_takes_one_step_of_1_25_eps_from_a_random_start():
    from defenses.fast import _FastLoss
    from defenses.training.inner_attack import InnerAttack, model_of
    from defenses.training.objective import BatchContext

    net, sign = linear_problem()
    objective = _FastLoss(InnerAttack(model=model_of(net, 2), norm="Linf"), recipe("fast"))
    x, y, images = torch.full((3, 1, 2, 2), 0.5), torch.tensor([0, 0, 1]), torch.arange(3)
    images_attacked = objective.attacked(x, y, BatchContext(1.0, Randomness(0, images)))
    start = ThreatModel(eps=EPS).sample(x, Randomness(0, images))
    ascent = torch.cat([-sign, -sign, sign])  # away from the label
    expected = x + (start + 1.25 * EPS * ascent - x).clamp(-EPS, EPS)
    torch.testing.assert_close(images_attacked, expected)


def test_free_moves_on_from_the_perturbation_before():
    from defenses.free import _FreeLoss
    from defenses.training.inner_attack import InnerAttack, model_of

    net, sign = linear_problem()
    objective = _FreeLoss(InnerAttack(model=model_of(net, 2), norm="Linf"), recipe("free", step_size=0.1))
    x, inputs = torch.full((2, 1, 2, 2), 0.5), []
    net.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach().clone()))
    for y in ([0, 1], [0, 1], [1, 1]):
        objective.loss(x, torch.tensor(y), None)[0].backward()
    ends = objective.state()["delta"]
    away = torch.cat([-sign, sign])
    for point, delta in zip(inputs, (0.0, 0.1, EPS), strict=True):
        torch.testing.assert_close(point, x + delta * away)
    torch.testing.assert_close(ends, torch.cat([-(EPS - 0.1) * sign, EPS * sign]))


def test_free_makes_m_steps_on_each_batch_with_the_same_images():
    batches = []
    net = network()
    net.backbone[0].register_forward_hook(
        lambda part, _, out: batches.append(len(out)) if part.training else None
    )
    rows = recipe("free", epochs=1, replays=3, batch_size=40)(net, toy(), context=context())
    assert len(batches) == 3 * 2
    assert 0 < rows[0]["train_robust_accuracy"] <= 1


def test_trades_attacks_the_divergence_from_a_gaussian_start():
    from defenses.trades import _TradesLoss
    from defenses.training.inner_attack import InnerAttack, model_of
    from defenses.training.objective import BatchContext

    net, _ = linear_problem()
    options = recipe("trades", step_size=0.1)
    objective = _TradesLoss(InnerAttack(model=model_of(net, 2), norm="Linf"), options)
    x, images = torch.rand(5, 1, 2, 2) / 2 + 0.25, torch.arange(5)
    x_adv = objective.attacked_images(
        x, torch.zeros(5, dtype=torch.int64), BatchContext(1.0, Randomness(3, images))
    )
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    point = x + 0.001 * Randomness(3, images).normal(x)
    for _ in range(options.steps):
        leaf = point.clone().requires_grad_(True)
        p, q = net(x).softmax(1).detach(), net(leaf).softmax(1)
        (p * (p / q).log()).sum().backward()
        point = (x + LINF.project(point + 0.1 * leaf.grad.sign() - x, torch.full((5,), EPS))).clamp(0, 1)
    torch.testing.assert_close(x_adv, point)


def test_mixup_mixes_features_and_labels_alike():
    from defenses.manifold_mixup import _MixedLoss
    from defenses.training.objective import BatchContext

    net = network().eval()
    x, y, rng = torch.rand(6, 1, 4, 4), torch.arange(6) % 2, Randomness(5, torch.arange(6))
    for layer in ("features", "input"):
        objective = _MixedLoss(net, recipe("manifold_mixup", layers=sorted({"features", layer})))
        seed = next(s for s in range(50) if objective.draw(Randomness(s, rng.images))[2] == layer)
        share, partner, _ = objective.draw(Randomness(seed, rng.images))
        assert sorted(partner.tolist()) == list(range(6))
        assert 0 < share < 1
        loss, logits = objective.loss(x, y, BatchContext(0.5, Randomness(seed, rng.images)))
        mixture = share * x + (1 - share) * x[partner]
        z = net.features(mixture)
        if layer == "features":
            z = share * net.features(x) + (1 - share) * net.features(x[partner])
        torch.testing.assert_close(logits, net.linear(z))
        target = share * torch.eye(2)[y] + (1 - share) * torch.eye(2)[y[partner]]
        torch.testing.assert_close(loss, -(target * logits.log_softmax(1)).sum(1).mean())


def test_the_mixing_share_follows_the_beta_distribution():
    from defenses.manifold_mixup import _MixedLoss

    objective = _MixedLoss(network(), recipe("manifold_mixup"))
    shares = torch.tensor([objective.draw(Randomness(s, torch.arange(2)))[0] for s in range(400)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.05)
    assert shares.var().item() == pytest.approx(1 / 20, abs=0.012)  # 1 / (4 (2 alpha + 1))


def test_ensemble_images_come_from_every_network_and_judge_by_the_static_ones():
    from defenses.ensemble import _EnsembleLoss
    from defenses.training.objective import BatchContext

    net, other = network(), network(1).eval()
    objective = _EnsembleLoss(net, (other,), recipe("ensemble", others=1), 2)
    x, y = toy(40).batch(slice(None))
    leaf = x.clone().requires_grad_(True)
    nn.functional.cross_entropy(other(leaf), y).backward()
    expected = (x + EPS * leaf.grad.sign()).clamp(0, 1)
    torch.testing.assert_close(objective.attacked(other, x, y), expected)
    net.eval()
    assert torch.equal(objective.survives(x, y, None), net(expected).argmax(1) == y)
    calls = []
    other.register_forward_hook(lambda *_: calls.append(1))
    for seed in range(12):
        objective.loss(x, y, BatchContext(0.5, Randomness(seed, torch.arange(40))))
    assert 2 <= len(calls) <= 10
