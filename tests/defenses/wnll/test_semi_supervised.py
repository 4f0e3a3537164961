"""Approach II: unlabelled images in the training graph, and nothing of their labels anywhere."""

from __future__ import annotations

import pytest
import torch

from defenses.training.split import halves, joined
from defenses.wnll.options import stage_options
from defenses.wnll.stage import WNLLStage
from model_zoo.graph import Graph, interpolate
from robench import plugins
from robench.data.images import image_set
from robench.errors import ConfigError, InputError
from robench.randomness import Randomness, seed_from
from robench.recipe import identity_of
from tests.defenses.toys import COMMON, WNLL, context, network, same, toy

KNOWN = 40


def defense(**options):
    kind = plugins.find("defenses", "wnll_semi_supervised")
    return kind(**(COMMON | WNLL | {"unlabelled": 25} | options))


def data():
    return toy().withholding(torch.arange(KNOWN, 100))


def hard():
    """Two classes that overlap, so that u is nowhere near one-hot and every edge of the graph counts."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(100) % 2
    images = 0.5 + 0.04 * (2 * labels - 1)[:, None] + 0.15 * torch.randn(100, 16, generator=generator)
    whole = image_set(images.clamp(0, 1).view(100, 1, 4, 4), labels, name="hard", split="train")
    return whole.withholding(torch.arange(KNOWN, 100))


def test_it_learns_from_few_labels():
    history = defense()(network(), data(), context=context())
    assert history[-1]["validation_accuracy"] > 0.8
    assert len(history) == 8


def test_labels_that_are_withheld_change_nothing():
    """Whatever the true labels of the others are, the weights are the same bits."""
    one, other = network(), network()
    defense()(one, data(), context=context())
    wrong = toy()
    wrong.labels[KNOWN:] = 1 - wrong.labels[KNOWN:]
    defense()(other, wrong.withholding(torch.arange(KNOWN, 100)), context=context())
    assert same(one, other)


def test_the_unlabelled_images_change_the_weights_of_the_buffer():
    one, other = network(), network()
    options = {"validation": 0.0, "keep": "last", "passes": 1, "wnll_learning_rate": 0.05}
    defense(**options)(one, hard(), context=context())
    variant = hard()
    variant.images[KNOWN:] = 1 - variant.images[KNOWN:]
    defense(**options)(other, variant, context=context())
    for (name, weight), expected in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(weight, expected) == (not name.startswith("buffer")), name


def test_the_graph_holds_template_batch_and_unlabelled_images_and_the_loss_the_batch_alone():
    net, whole = network().eval(), hard()
    training_set, template = halves(whole.labelled(), 1, 0)
    second = stage_options(defense(), 0)[1]
    stage = WNLLStage(net, joined(template, whole.unlabelled()), options=second, context=context())
    rng = Randomness(0, training_set.indices)
    x, y = training_set.batch(slice(None))
    model = stage.training_model(rng)
    loss, u = stage.loss(model, x, y)
    seed = seed_from(rng.torch_seed(), "template")
    order = torch.randperm(60, generator=torch.Generator().manual_seed(seed_from("unlabelled", seed)))
    others = whole.unlabelled().subset(order[:25])
    with torch.no_grad():
        queries = net.features(torch.cat([x, others.batch(slice(None))[0]]))
        anchors = net.features(template.batch(slice(None))[0])
        by_hand = interpolate(queries, anchors, template.labels, classes=2, graph=Graph(m=6, n=3)).u[: len(x)]
    torch.testing.assert_close(u, by_hand)
    right = by_hand[torch.arange(len(y)), y]
    assert loss.item() == pytest.approx(-right.clamp_min(1e-38).log().mean().item())
    without = interpolate(queries[: len(x)], anchors, template.labels, classes=2, graph=Graph(m=6, n=3)).u
    assert not torch.allclose(u, without, atol=1e-3)


def test_what_it_cannot_use_is_refused():
    with pytest.raises(InputError, match="images without a label"):
        defense()(network(), toy(), context=context())
    with pytest.raises(InputError, match="none of class 1"):
        defense().check(toy().withholding(torch.arange(1, 100)), seed=1)
    with pytest.raises(ConfigError, match="unlabelled"):
        defense(unlabelled=0)


def test_it_is_the_only_wnll_training_that_is_given_unlabelled_images():
    kinds = {name: plugins.find("defenses", name) for name in plugins.names("defenses")}
    assert [name for name, kind in kinds.items() if kind.info.uses_unlabelled] == ["wnll_semi_supervised"]
    assert "unlabelled" not in identity_of(kinds["wnll_natural"](epochs=1))
