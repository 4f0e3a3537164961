"""The WNLL training suites: they parse, and compare like with like."""

from __future__ import annotations

from dataclasses import replace

import pytest

from robench.plan.config import load, locate


def suite(name):
    assert locate(name).read_text().startswith("# ")
    return {model.name: model for model in load(str(locate(name))).models}


def test_few_images_give_every_output_layer_the_same_data_network_and_epochs():
    models = suite("mnist-few-images")
    for count in (1000, 10000):
        rivals = [models[f"{kind}-{count}"] for kind in ("softmax", "svm", "wnll")]
        settings = {(m.architecture.name, m.buffer, m.train.data.limit, m.train.data.subset) for m in rivals}
        assert settings == {("small_cnn", 128, count, "first")}
        options = [m.train.defense.options for m in rivals]
        assert options[0]["epochs"] == options[1]["epochs"] == 2 * options[2]["epochs"]
        assert models[f"wnll-{count}-alone"].features_of == f"wnll-{count}"


def test_semi_supervised_models_know_the_same_thousand_labels():
    models = suite("mnist-semi-supervised")
    trainings = [model.train for model in models.values() if model.train]
    assert {(t.data.limit, t.data.labelled, t.data.subset) for t in trainings} == {(11000, 1000, "first")}
    assert [t.defense.name for t in trainings] == ["natural", "wnll_natural", "wnll_semi_supervised"]
    assert models["approach-I"].features_of == models["wnll"].features_of == "wnll-alone"
    for name in ("approach-I", "approach-II"):
        assert models[name].head.options["unlabelled"] == 10000
    plain, semi = (models[name].train.defense.options for name in ("wnll-alone", "approach-II"))
    assert {k: v for k, v in semi.items() if k != "unlabelled"} == plain


def test_the_re_evaluation_trains_its_twins_alike_and_leaves_no_gradient_source_out():
    models = suite("wnll-re-evaluation")
    softmax, twin = models["softmax"], models["trained-wnll"]
    assert (softmax.architecture, softmax.buffer, softmax.train.data) == (
        twin.architecture,
        128,
        twin.train.data,
    )
    common = {k: v for k, v in twin.train.defense.options.items() if k in softmax.train.defense.options}
    assert common == softmax.train.defense.options
    assert twin.train.defense.options["passes"] == 1  # so that both have as many epochs of the linear stage
    assert set(twin.sources) == {"linear", "straight_through", "exact", "kernel"}
    # The linear branch on the softmax features is the softmax model itself, whose images transfer.
    assert set(models["softmax-wnll"].sources) == set(twin.sources) - {"linear"}
    assert models["softmax-wnll"].head == twin.head


def test_the_published_protocol_is_measured_on_the_same_networks():
    honest, original = suite("wnll-re-evaluation"), suite("wnll-re-evaluation-published")
    for name in ("softmax", "trained-wnll"):
        assert original[name] == honest[name]
    heads = {name: (model.features_of, model.head.name) for name, model in original.items()}
    assert heads["softmax-published"] == ("softmax", "wnll_published")
    assert heads["trained-published"] == ("trained-wnll", "wnll_published")


def test_the_softmax_head_is_attacked_once_more_on_the_same_network():
    assert suite("wnll-re-evaluation-softmax")["softmax"] == suite("wnll-re-evaluation")["softmax"]


def test_the_graph_heads_share_one_network_and_one_size_of_template():
    models = suite("mnist-graph-heads")
    heads = {name: model.head for name, model in models.items() if name != "softmax"}
    assert {model.features_of for name, model in models.items() if name in heads} == {"softmax"}
    assert {head.options["template"] for head in heads.values()} == {200}
    assert {head.name for head in heads.values()} == {
        "wnll",
        "laplace",
        "poisson",
        "pwll",
        "gll",
        "p_laplace",
    }


def test_graph_heads_are_trained_adversarially_as_long_as_softmax_and_at_its_radius():
    plan = load(str(locate("mnist-gll-adversarial")))
    models = {model.name: model for model in plan.models}
    softmax = models["softmax"].train.defense.options
    through = {name: model for name, model in models.items() if name.endswith("-trained")}
    assert set(through) == {f"{head}-trained" for head in ("gll", "wnll", "laplace", "poisson", "pwll")}
    for name, model in through.items():
        options = model.train.defense.options
        assert options["linear_epochs"] + options["epochs"] == softmax["epochs"]
        assert (options["eps"], options["steps"]) == (softmax["eps"], softmax["steps"]) == (0.2, 5)
        assert options["head"] == model.head.name == name.removesuffix("-trained")
        assert model.train.data == models["softmax"].train.data
        twin = models[model.head.name]
        assert (twin.head, twin.features_of) == (model.head, "softmax")
    assert [threat.eps for threat in plan.threats] == [0.1, 0.2, 0.3]


def models_evaluated_as_gll_is(name):
    """Return the models of a suite that has images, threats, attacks and softmax network of `mnist-gll`."""
    main, other = load(str(locate("mnist-gll"))), load(str(locate(name)))
    assert (main.threats, main.data, main.shard, main.seed) == (
        other.threats, other.data, other.shard, other.seed
    )  # fmt: skip
    assert replace(other.models[0], where="") == replace(main.models[0], where="")
    return other.models


def test_the_votes_are_evaluated_as_the_other_heads_are():
    _, *others = models_evaluated_as_gll_is("mnist-gll-votes")
    assert {model.head.name for model in others} == {"p_laplace", "kernel_density", "deep_knn"}
    assert {model.features_of for model in others} == {"softmax"}


def test_networks_are_trained_through_every_graph_head_as_long_as_softmax_is():
    softmax, *others = models_evaluated_as_gll_is("mnist-gll-trained")
    assert {model.head.name for model in others} == {
        "gll", "wnll", "laplace", "poisson", "pwll", "p_laplace"
    }  # fmt: skip
    for model in others:
        options = model.train.defense.options
        assert model.name == f"{model.head.name}-trained"
        assert model.train.defense.name == "graph_natural"
        assert options["head"] == model.head.name
        assert options["head_options"] == {
            key: model.head.options[key] for key in ("m", "n") if key in model.head.options
        }
        assert options["learning_rate"] == softmax.train.defense.options["learning_rate"]
        assert options["linear_epochs"] + options["epochs"] == softmax.train.defense.options["epochs"]
        assert model.train.data == softmax.train.data


def test_gll_is_attacked_by_its_authors_attack_in_pixels():
    deviation, eps, step = 0.3081, 0.3, 0.05  # of MNIST, and of the authors' code, in units of the deviation
    plan = load(str(locate("mnist-gll")))
    first = plan.threats[0]
    assert first.eps == pytest.approx(eps * deviation, abs=1e-4)
    attack = first.attacks[0]
    assert attack.attack.name == "ifgsm"
    assert attack.attack.options["step_size"] == pytest.approx(step * deviation, abs=1e-4)
    assert attack.attack.options["steps"] == 5 * eps / step
    assert [threat.eps for threat in plan.threats[1:]] == [0.1, 0.2, 0.3]
    models = {model.name: model for model in plan.models}
    others = {"gll", "wnll", "laplace", "poisson", "pwll", "knn"}
    assert {models[name].features_of for name in others} == {"softmax"}
    assert models["gll"].head == models["gll-trained"].head
    assert {model.head.options["template"] for name, model in models.items() if name != "softmax"} == {1000}
    softmax, twin = models["softmax"].train, models["gll-trained"].train
    assert softmax.data == twin.data
    together = twin.defense.options["linear_epochs"] + twin.defense.options["epochs"]
    assert softmax.defense.options["epochs"] == together
