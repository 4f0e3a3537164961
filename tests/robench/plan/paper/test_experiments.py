"""The experiments parse at every scale, and at full scale they are what the paper says."""

import math
from pathlib import Path

import pytest

from reports.paper.published import tables
from robench import plugins
from robench.errors import ConfigError
from robench.plan.config import parse
from robench.plan.paper.data_sets import PaperData
from robench.plan.paper.documents import DOCUMENTS, document
from robench.plan.paper.experiments import EXPERIMENTS
from robench.plan.paper.names import row_name
from robench.plan.paper.scales import SCALES
from robench.plan.yaml_writer import write_text
from robench.recipe import build, options_of


def plan_of(name, scale, **data):
    experiment = EXPERIMENTS[name]
    text = write_text(experiment.configuration(scale, PaperData(name=experiment.data_set, **data), 3))
    return parse(text, file=Path(f"{name}.yaml"))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_parses_at_every_scale(name, scale):
    plan = plan_of(name, scale)
    assert plan.name == f"{name}-{scale}"
    assert plan.seed == 3
    assert plan.data.split == "test"
    assert all(model.train is None or model.train.data.split == "train" for model in plan.models)


def test_every_table_of_the_paper_has_experiments():
    assert {document(number).number for number in tables()} == set(tables())
    assert {f"figure{n}" for n in range(3, 11)} <= set(DOCUMENTS)
    for entry in DOCUMENTS.values():
        assert set(entry.experiments) <= set(EXPERIMENTS)
        assert not entry.figure or entry.figure in plugins.names("figures")


def slots_of(number):
    return [slot for row in tables()[number].slots for slot in row]


@pytest.mark.thorough
@pytest.mark.parametrize("number", ["1", "3", "4", "5", "6", "7", "8", "9", "11"])
def test_at_full_scale_trainings_are_the_papers(number):
    trainings = {}
    for name in document(number).experiments:
        for model in plan_of(name, "full").models:
            if model.train:
                images = model.train.data.labelled or model.train.data.limit
                defense = model.train.defense
                recipe = build(plugins.find("defenses", defense.name), defense.options, where="here")
                trainings[model.architecture.name, defense.name, images] = options_of(recipe)
    for slot in slots_of(number):
        method = slot.training[slot.head]
        images = slot.training_images if slot.images_exact else None
        options = [
            o for (a, m, n), o in trainings.items()
            if a == slot.architecture and m == method and images in {None, n}
        ]  # fmt: skip
        assert options, slot
        for key, value in slot.training_settings.items():
            ours = {o[key] for o in options}
            assert all(x == value or (isinstance(x, float) and math.isclose(x, value)) for x in ours), (
                slot,
                key,
            )


@pytest.mark.parametrize("number", ["6", "7", "8", "9", "10"])
def test_at_full_scale_attacks_and_graphs_are_the_papers(number):
    (name,) = document(number).experiments
    plan = plan_of(name, "full")
    attacks = [(t.norm, t.eps, a.attack) for t in plan.threats for a in t.attacks]
    for slot in slots_of(number):
        if slot.attack != "clean":
            options = [
                options_of(build(plugins.find("attacks", a.name), a.options, where="here"))
                for norm, eps, a in attacks
                if a.name == slot.attack
                and norm == slot.norm
                and (eps == slot.eps or math.isclose(eps, slot.eps))
            ]
            settings = {**slot.options, **slot.settings}
            assert any(all(math.isclose(o[k], v) for k, v in settings.items()) for o in options), slot
        if slot.head == "WNLL":
            heads = [m.head.options for m in plan.models if m.head.name == "wnll"]
            assert any(all(h.get(k, v) == v for k, v in slot.graph.items()) for h in heads), slot


def test_softmax_and_its_twin_differ_in_the_stages_of_the_graph_alone():
    for name in ("robust-mnist", "robust-cifar10"):
        for scale in SCALES:
            softmax, same, twin = plan_of(name, scale).models[:3]
            common = {
                k: v for k, v in twin.train.defense.options.items() if k in softmax.train.defense.options
            }
            assert common == softmax.train.defense.options
            assert (softmax.architecture, softmax.train.data) == (twin.architecture, twin.train.data)
            assert same.features_of == softmax.name
            assert same.head == twin.head


@pytest.mark.thorough
def test_natural_heads_train_as_long_and_on_the_same_images():
    for scale in SCALES:
        models = {model.name: model for model in plan_of("natural-cifar10", scale).models}
        for name, model in models.items():
            if model.train and model.train.defense.name == "natural":
                network, _, images = name.rpartition("-")
                wnll = models[f"{network}-WNLL-{images}"].train
                svm = models[f"{network}-SVM-{images}"].train
                assert model.train.data == wnll.data == svm.data
                assert svm.defense.options["epochs"] == model.train.defense.options["epochs"]
                linear = 2 * wnll.defense.options["epochs"]
                assert (
                    abs(linear - model.train.defense.options["epochs"])
                    <= 2 * wnll.defense.options["wnll_epochs"]
                )


def test_images_of_a_file_keep_the_papers_name():
    plan = plan_of("robust-cifar10", "quick", train_on="cifar10-jpeg", test_on="exact/test.npz")
    assert plan.data.dataset.options == {
        "path": "exact/test.npz",
        "holds": "test",
        "title": "CIFAR-10 (test.npz)",
    }
    assert plan.models[0].train.data.dataset.name == "cifar10-jpeg"


@pytest.mark.parametrize("name", ["8", "table8", "Table 8", "TABLE-8"])
def test_a_table_may_be_written_in_several_ways(name):
    assert document(name).name == "table8"


@pytest.mark.parametrize("name", ["table12", "figure1", "", "tabel8"])
def test_what_the_paper_does_not_have_is_refused(name):
    with pytest.raises(ConfigError, match="a table or figure of Wang & Osher 2019"):
        document(name)


def test_networks_are_called_as_in_the_paper():
    labels = {row for number in tables() for row in tables()[number].rows}
    networks = {slot.architecture for number in ("3", "8") for slot in slots_of(number)}
    assert {row_name(network) for network in networks} <= labels
