"""Heads side by side: counted by hand, published way and everything apart, p-values corrected together."""

import dataclasses

import pytest

from reports.paper.claims import Claims, verdicts
from reports.paper.comparisons import comparisons
from reports.paper.models import our_models
from reports.paper.shortfalls import shortfalls
from robench.errors import ConfigError
from robench.record.measures.statistics import holm, mcnemar
from tests.reports.paper.made import B, M, R, card, details, record

SOFT, WNLL = details(checkpoint="w"), details("wnll", training="wnll_pgd", checkpoint="w")


def pairs(records, trainings=()):
    return {(p.protocol, p.attack): p for p in comparisons(our_models(records, list(trainings) or [card()]))}


def run(soft=(R, R, B, B), graph=(R, R, R, B), honest=(B, B, R, B)):
    return [
        record("cnn", "clean", [R] * 4, of=SOFT),
        record("graph", "clean", [R] * 4, of=WNLL),
        record("cnn", "fgsm", list(soft), of=SOFT),
        record("graph", "fgsm", list(graph), of=WNLL, gradient="straight_through"),
        record("graph", "fgsm", list(honest), of=WNLL, gradient="kernel"),
    ]


def test_the_published_way_is_through_the_papers_gradient_and_the_other_is_everything():
    both = pairs(run())
    paper, honest = both["published", "fgsm"], both["honest", ""]
    assert (paper.softmax_right, paper.other_right, paper.only_other) == (2, 3, 1)
    assert paper.gap == 25.0
    assert (honest.softmax_right, honest.other_right) == (2, 1)
    assert (honest.only_softmax, honest.only_other) == (2, 1)
    assert honest.gap == -25.0
    assert both["clean", ""].gap == 0.0


def test_transferred_images_count_in_everything_and_not_in_the_published_way():
    records = [*run(), record("cnn", "fgsm", [B, B, B, B], of=SOFT, source="graph", gradient="kernel")]
    both = pairs(records)
    assert both["published", "fgsm"].softmax_right == 2
    assert both["honest", ""].softmax_right == 0


def test_p_values_are_mcnemars_and_corrected_together():
    both = list(pairs(run(soft=[B] * 40, graph=[R] * 40, honest=[R] * 40)).values())
    plain = [mcnemar(p.only_softmax, p.only_other) for p in both]
    assert [p.p for p in both] == plain
    assert [p.corrected for p in both] == holm(plain)


def test_networks_trained_on_other_images_or_of_another_kind_are_no_pair():
    other = details("wnll", training="wnll_pgd", checkpoint="v")
    records = [record("cnn", "clean", [R] * 4, of=SOFT), record("graph", "clean", [R] * 4, of=other)]
    assert not pairs(records, [card("w"), card("v", images=1000)])
    elsewhere = details("wnll", architecture="vgg11", checkpoint="w")
    assert not pairs([records[0], record("graph", "clean", [R] * 4, of=elsewhere)])
    assert pairs(records, [card("w"), card("v")])


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({}, 1),
        ({"training": "pgd_training"}, 1),
        ({"training": "graph_pgd"}, 1),
        ({"training": "wnll_natural"}, 0),  # on clean images, the other on attacked ones
        ({"training": "trades"}, 0),
        ({"inference": [{"defense": "jpeg"}]}, 0),
    ],
)
def test_networks_trained_otherwise_or_behind_a_defense_are_no_pair(change, count):
    other = {**WNLL, **change}
    assert (
        len(pairs([record("cnn", "clean", [R] * 4, of=SOFT), record("graph", "clean", [R] * 4, of=other)]))
        == count
    )


def test_only_images_that_both_met_are_compared():
    records = [
        record("cnn", "clean", [R] * 4, of=SOFT, total=8),
        record("graph", "clean", [R] * 4, of=WNLL, start=2, total=8),
    ]
    assert pairs(records)["clean", ""].n == 2


@pytest.mark.parametrize(
    ("soft", "graph", "answer"),
    [
        ([B] * 40, [R] * 40, "the claim holds here"),
        ([R] * 40, [B] * 40, "the opposite holds here"),
        ([R, B] * 20, [R, B] * 20, "undecided: no difference beyond chance"),
    ],
)
def test_a_verdict_says_what_the_numbers_say(soft, graph, answer):
    records = [
        record("cnn", "fgsm", soft, of=SOFT),
        record("graph", "fgsm", graph, of=WNLL, gradient="straight_through"),
        record("cnn", "clean", [R] * 40, of=SOFT),
        record("graph", "clean", [R] * 40, of=WNLL),
    ]
    lines = verdicts(comparisons(our_models(records, [card()])))
    (sentence,) = [line for line in lines if "published way: fgsm" in line]
    assert answer in sentence
    assert sentence.startswith("graph against cnn")


def test_markdown_has_a_row_for_each_and_nothing_to_compare_is_refused():
    text = Claims().render(run())
    assert "| published way: fgsm, Linf 0.3 | cnn | graph | 0 | 50.0 | 75.0 |" in text
    assert "- graph against cnn, everything that was run, Linf 0.3: -25.0 points; undecided" in text
    with pytest.raises(ConfigError, match="a softmax model and another head"):
        Claims().render([record("cnn", "fgsm", [R, B], of=SOFT)])


def test_what_the_published_protocol_takes_for_robustness_is_counted():
    (soft, graph) = shortfalls(our_models([*run(), *run_elsewhere()], [card()]))
    assert (soft.model, soft.published, soft.honest, soft.n) == ("cnn", 2, 1, 4)
    assert (graph.model, graph.published, graph.honest, graph.gap) == ("graph", 3, 1, 50.0)
    assert "| graph | Linf 0.3 | 0 | 75.0 | 25.0 | 50.0 | 4 |" in Claims().render([*run(), *run_elsewhere()])


def run_elsewhere():
    return [record("cnn", "fgsm", [B, R, B, B], of=SOFT, source="graph", gradient="kernel")]


def test_each_radius_is_a_comparison_of_its_own():
    far = [
        record("cnn", "fgsm", [B] * 4, of=SOFT, eps=0.5),
        record("graph", "fgsm", [R] * 4, of=WNLL, gradient="straight_through", eps=0.5),
    ]
    both = comparisons(our_models([*run(), *far], [card()]))
    gaps = {pair.threat: pair.gap for pair in both if pair.protocol == "published"}
    assert gaps == {"Linf 0.3": 25.0, "Linf 0.5": 100.0}
    lines = [line for line in verdicts(both) if "published way: fgsm" in line]
    assert ["Linf 0.3" in line for line in lines] == [True, False]
    assert not any("median" in line for line in lines)  # of one training


def test_images_that_one_attack_has_not_judged_do_not_count_as_standing():
    # The graph's second attack was interrupted after 20 of 100 images, all of which it broke.
    records = [
        record("cnn", "clean", [R] * 100, of=SOFT),
        record("graph", "clean", [R] * 100, of=WNLL),
        record("cnn", "fgsm", [R] * 50 + [B] * 50, of=SOFT),
        record("graph", "fgsm", [R] * 50 + [B] * 50, of=WNLL, gradient="straight_through"),
        record("cnn", "ifgsm", [B] * 100, of=SOFT),
        record("graph", "ifgsm", [B] * 20, of=WNLL, gradient="straight_through", total=100),
    ]
    honest = pairs(records)["honest", ""]
    assert (honest.n, honest.softmax_right, honest.other_right) == (20, 0, 0)
    assert [(s.model, s.n, s.gap) for s in shortfalls(our_models(records, [card()]))] == []


def test_an_attack_that_only_one_of_them_met_leaves_no_answer():
    records = [*run(), record("cnn", "ifgsm", [B] * 4, of=SOFT)]
    honest = pairs(records)["honest", ""]
    assert honest.lacks == ("graph: no ifgsm",)
    assert "no answer" in verdicts([honest])[0]
    (row,) = (line for line in Claims().render(records).splitlines() if line.startswith("| everything"))
    assert "(partial)" in row


def test_data_sets_are_no_trainings_of_each_other():
    def on(name, soft, graph):
        return [
            record("cnn", "clean", soft, of=SOFT, dataset=name),
            record("graph", "clean", graph, of=WNLL, dataset=name),
        ]

    better, worse = [R] * 100, [M] * 60 + [R] * 40
    every = comparisons(our_models([*on("MNIST", worse, better), *on("SVHN", better, worse)], [card()]))
    sentences = verdicts(every)
    assert len(sentences) == 2
    assert "clean images, MNIST test: +60.0 points; the claim holds here" in sentences[0]
    assert "clean images, SVHN test: -60.0 points; the opposite holds here" in sentences[1]


def test_both_protocols_are_counted_on_the_same_images():
    records = [
        record("graph", "clean", [R] * 4, of=WNLL),
        record("graph", "fgsm", [R, R], of=WNLL, gradient="straight_through", total=4),
        record("graph", "fgsm", [R, B, R, R], of=WNLL, gradient="kernel"),
    ]
    (one,) = shortfalls(our_models(records, [card()]))
    assert (one.n, one.published, one.honest, one.gap) == (2, 2, 1, 50.0)


def test_of_a_random_model_means_over_fresh_draws_are_compared():
    def drawn(one, draws):
        return dataclasses.replace(one, columns=dataclasses.replace(one.columns, stood=draws))

    records = [
        drawn(record("graph", "clean", [R] * 4, of=WNLL), ["11"] * 4),
        drawn(record("graph", "fgsm", [R] * 4, of=WNLL, gradient="straight_through"), ["11"] * 4),
        drawn(record("graph", "fgsm", [B] * 4, of=WNLL, gradient="kernel"), ["11", "11", "11", "01"]),
        drawn(record("cnn", "clean", [R] * 4, of=SOFT), ["11"] * 4),
    ]
    models = our_models(records, [card()])
    (one,) = shortfalls(models)
    assert (one.published, one.honest) == (4.0, 3.5)
    assert not comparisons(models)
