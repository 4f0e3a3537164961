"""Accuracies on the held-out part against closed forms; watching changes no weight."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from defenses.natural import CleanLoss, Natural
from defenses.training.averaging import EVALUATION_BATCH
from defenses.training.objective import Stage
from defenses.training.split import split
from defenses.training.validation import validate
from robench.data.images import image_set
from tests.defenses.toys import RECIPES, ROBUST, context, network, recipe, same, toy


def linear_stage(**options):
    """Two scores w x + b and 0: an image of class 0 withstands a ball of radius r iff w x + b > r |w|*."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(16, generator=generator)
    net[1].weight.data = torch.stack([w, torch.zeros(16)])
    net[1].bias.data = torch.tensor([-0.5 * float(w.sum()), 0.0])
    x = 0.5 + 0.1 * torch.randn(60, 1, 4, 4, generator=generator).clamp(-2, 2)
    data = image_set(x, torch.arange(60) % 2, classes=2)
    recipe = Natural(epochs=1, **options)
    stage = Stage(network=net, objective=CleanLoss(net), options=recipe, training_set=data)
    margin = (x.flatten(1) @ w - 0.5 * w.sum()) * (1 - 2 * data.labels)
    return stage, data, margin.detach(), w


@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2)])
def test_the_robust_accuracy_of_a_linear_network_is_its_closed_form(norm, dual):
    eps = 0.03 if norm == "Linf" else 0.09
    stage, data, margin, w = linear_stage(monitor_eps=eps, monitor_norm=norm, monitor_steps=20)
    accuracy = validate(stage, data, seed=3, layout=torch.contiguous_format)
    reach = eps * float(w.norm(dual))
    assert float((margin.abs() - reach).abs().min()) > 1e-3  # no image on the edge
    assert accuracy.natural == int((margin > 0).sum()) / 60
    assert accuracy.monitored == int((margin > reach).sum()) / 60
    assert 0 < accuracy.monitored < accuracy.natural
    assert accuracy.own is None
    assert accuracy.score == accuracy.natural
    assert accuracy.row() == {
        "validation_accuracy": accuracy.natural,
        "validation_robust_accuracy": accuracy.monitored,
        "validation_images": 60,
    }


def test_without_a_radius_there_is_no_robust_accuracy_not_even_where_nothing_is_right():
    stage, data, _, _ = linear_stage()
    assert set(validate(stage, data, seed=0, layout=torch.contiguous_format).row()) == {
        "validation_accuracy",
        "validation_images",
    }
    stage.network[1].bias.data = torch.tensor([99.0, 0.0])
    wrong = data.subset(data.labels == 1)
    assert validate(stage, wrong, seed=0, layout=torch.contiguous_format).row() == {
        "validation_accuracy": 0.0,
        "validation_images": 30,
    }


@pytest.mark.parametrize("name", RECIPES)
def test_every_defense_can_be_watched_and_watching_changes_no_weight(name):
    options = {"epochs": 1, "warmup_epochs": 0.0} if name in ("pgd_training", "wnll_pgd") else {"epochs": 1}
    if name.startswith("wnll"):
        options["wnll_epochs"] = 1
    if name == "ibp_training":
        options["natural_epochs"] = 0.5
    data, nets, rows = toy(60), [network() for _ in range(2)], []
    for net, watch in zip(nets, ({}, {"monitor_eps": 0.1, "monitor_steps": 2}), strict=True):
        rows.append(recipe(name, **options, **watch)(net, data, context=context()))
    assert same(*nets)
    plain, with_monitor = rows
    assert all(row["validation_robust_accuracy"] <= row["validation_accuracy"] for row in with_monitor)
    assert ("validation_robust_accuracy" in plain[-1]) == (name in (*ROBUST, "ensemble", "ibp_training"))
    if name in ROBUST:
        own = [row["validation_own_accuracy"] for row in with_monitor]
        assert own == [row["validation_robust_accuracy"] for row in plain]
    column = "train_robust_accuracy" if name in (*ROBUST, "ensemble") else "train_accuracy"
    assert column in plain[-1]


def test_an_ensemble_is_chosen_by_transfer_and_watched_by_pgd():
    rows = recipe("ensemble", epochs=1)(network(), toy(60), context=context())
    assert [("validation_robust_accuracy" in row) for row in rows] == [False, False, True]
    assert rows[-1]["validation_own_accuracy"] >= rows[-1]["validation_robust_accuracy"]


@pytest.mark.parametrize(
    "name", ["pgd_training", "trades", "mart", "fast", "free", "ensemble", "ibp_training"]
)
def test_every_batch_of_the_held_out_part_is_judged_in_evaluation_mode(name):
    data, net = toy(800), network()
    options = {"epochs": 1, "validation": 0.75, "keep": "last", "learning_rate": 0.003}
    options |= {"natural_epochs": 0.2, "ramp_epochs": 0.2}  # of those that have them
    names = inspect.signature(type(recipe(name))).parameters
    defense = recipe(name, **{option: value for option, value in options.items() if option in names})
    row = defense(net, data, context=context())[-1]
    _, rest = split(data, 0.75, context().seed)
    x, y = rest.batch(slice(None))
    assert len(x) > 2 * EVALUATION_BATCH
    with torch.no_grad():
        accuracy = float((net.eval()(x).argmax(dim=1) == y).double().mean())
    assert row["validation_accuracy"] == pytest.approx(accuracy, abs=1e-12)
