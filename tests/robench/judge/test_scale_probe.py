"""Scores of another size name the same classes: what cross-entropy misses on them is measured and told."""

import functools
import re

import pytest
import torch

from reports.board.attack_kinds import SCALE_FREE_ATTACKS
from reports.board.leaderboard import boards
from robench import plugins
from robench.api import benchmark, make_attack
from robench.judge.output_probes import lead_of
from robench.judge.probes import probe
from robench.judge.scale_probe import CLOSE, scale_dependence
from robench.model.interface import Model, OutputKind
from tests.robench.judge import gallery, masked_gradients

EPS = 0.1


@functools.cache
def network():
    return masked_gradients.trained("relu").net


def scaled(factor, change=lambda z: z, **declared):
    net = gallery.Through(network(), lambda z: change(factor * z))
    return Model(name=f"x{factor}", net=net.eval(), classes=10, **declared)


@functools.cache
def images():
    return masked_gradients.digits()[2]


def right_of(model):
    x, y = images().batch(slice(0, 64))
    right = model.net(x).argmax(1) == y
    return x[right], y[right]


def test_a_tenth_of_the_scores_is_told_and_the_scores_themselves_are_not():
    x, y = images().batch(slice(0, 64))
    assert probe(scaled(1.0), x, y) == ()
    (finding,) = probe(scaled(0.1), x, y)
    assert finding.code == "flat-output"
    assert "multiplied by 8" in finding.evidence
    low, high = map(float, re.search(r"such differences: from (\S+) to (\S+)\)", finding.evidence).groups())
    assert 1 / 512 <= low < EPS < high < 0.8


@pytest.mark.parametrize(
    ("factor", "change"), [(0.4, lambda z: z), (1.0, lambda z: z**3 / 100), (1.0, lambda z: (z / 5) ** 5)]
)
def test_smaller_and_bent_scores_are_told(factor, change):
    x, y = images().batch(slice(0, 64))
    model = scaled(factor, change)
    assert torch.equal(model.net(x).argmax(1), network()(x).argmax(1))
    assert [finding.code for finding in probe(model, x, y)] == ["flat-output"]


def test_probabilities_are_measured_by_their_logarithms():
    model = scaled(0.1, lambda z: z.softmax(1), output=OutputKind.SIMPLEX)
    finding = scale_dependence(model, *right_of(model))
    plain = scale_dependence(scaled(0.1), *right_of(model))
    assert plain is not None
    assert finding == plain


def test_sound_scores_that_lead_far_are_not_told():
    x, y = gallery.data().batch(slice(0, 64))
    net = gallery.sound()
    assert lead_of(net(x).detach(), OutputKind.LOGITS) > CLOSE
    assert scale_dependence(Model(name="m", net=net, classes=4), x, y) is None


def test_the_lead_is_the_median_over_images():
    outputs = torch.tensor([[3.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 9.0, 3.0]])
    assert lead_of(outputs, OutputKind.LOGITS) == pytest.approx(3.0)  # of 3, 0.5 and 7.5


SCALE_FREE = (
    "apgd_targeted", "autoattack", "deepfool", "economical_autoattack", "fab", "fab_targeted", "fmn",
)  # fmt: skip


def test_the_attacks_without_a_scale_are_known_by_their_identity():
    assert {plugins.find("attacks", name).info.identity for name in SCALE_FREE} == SCALE_FREE_ATTACKS


def row(*attacks, factor=0.1):
    plugins = {name: make_attack(name, **options) for name, options in attacks}
    result = benchmark(
        [scaled(factor)], images().subset(slice(0, 100)), attacks=plugins, norm="Linf", eps=EPS
    )
    assert result.failures == ()
    return boards(result.records)[0].rows[0]


def test_pgd_alone_gets_no_rank_and_a_loss_without_scale_lifts_the_finding():
    alone = row(("pgd", {"steps": 20}))
    assert (alone.unlifted, alone.rank) == (("flat-output",), None)
    beside = row(("pgd", {"steps": 20}), ("apgd", {"steps": 20, "loss": "dlr"}))
    assert "flat-output" in beside.findings
    assert "flat-output" not in beside.unlifted
    assert beside.attacks["apgd"].count < alone.attacks["pgd"].count
    assert "flat-output" not in row(("pgd", {"steps": 20}), ("fab", {"steps": 3})).unlifted


@pytest.mark.thorough
@pytest.mark.parametrize("name", [*SCALE_FREE, "square", "pgd margin", "apgd dlr"])
def test_attacks_that_are_called_scale_free_are(name):
    plugin, _, loss = name.partition(" ")
    options = {"loss": loss} if loss else {}
    norm = "L2" if plugin == "deepfool" else "Linf"
    counts = []
    for factor in (1.0, 0.01):
        attack = {"a": make_attack(plugin, **options)}
        result = benchmark(
            [scaled(factor)],
            images().subset(slice(0, 60)),
            attacks=attack,
            norm=norm,
            eps=0.5 if norm == "L2" else EPS,
        )
        assert result.failures == ()
        (record,) = (r for r in result.records if r.attack.label == "a")
        counts.append(sum(status == "robust" for status in record.columns.status))
    assert abs(counts[0] - counts[1]) <= 1  # rounding


def test_the_finding_is_not_lifted_beside_the_radii_at_which_it_was_seen():
    """Below them too PGD is weak, by ten points and more: only an attack without a scale lifts it."""
    model = scaled(1.0, lambda z: z**3 / 100)
    low = float(re.search(r"from (\S+) to", scale_dependence(model, *right_of(model)).evidence)[1])
    attacks = {"pgd": make_attack("pgd", steps=20), "apgd": make_attack("apgd", steps=20, loss="dlr")}
    boards_of = {
        names: boards(
            benchmark(
                [model],
                images().subset(slice(0, 100)),
                attacks={name: attacks[name] for name in names},
                norm="Linf",
                eps=low / 1.25,
            ).records
        )[0].rows[0]
        for names in (("pgd",), ("pgd", "apgd"))
    }
    alone, beside = boards_of["pgd",], boards_of["pgd", "apgd"]
    assert beside.attacks["apgd"].count < alone.attacks["pgd"].count - 10
    assert "flat-output" in alone.unlifted
    assert "flat-output" not in beside.unlifted


def codes_of(model, eps, name="pgd", **options):
    """Return the codes that one attack's record has at a radius, and those that the row still stands with."""
    attack = {"a": make_attack(name, **options)}
    result = benchmark([model], images().subset(slice(0, 200)), attacks=attack, norm="Linf", eps=eps)
    (record,) = (r for r in result.records if r.attack.label == "a")
    return {f.code: f.evidence for f in record.findings}, boards(result.records)[0].rows[0].unlifted


def test_where_the_margin_breaks_hardly_more_at_the_boards_own_radius_the_doubt_is_lifted():
    model = scaled(0.4)
    evidence, doubts = codes_of(model, 0.02, steps=20)
    assert re.search(r"broke 0 of 128 images", evidence["scale-tried"])
    assert "flat-output" not in evidence
    assert doubts == ()


def test_where_it_breaks_more_the_attack_itself_has_the_doubt_with_its_figure():
    evidence, doubts = codes_of(scaled(0.1), EPS, steps=20)
    assert int(re.search(r"broke (\d+) of", evidence["flat-output"])[1]) > 10
    assert "scale-tried" not in evidence
    assert doubts == ("flat-output",)


@pytest.mark.parametrize(("name", "options"), [("fgsm", {}), ("noise", {}), ("square", {"queries": 50})])
def test_attacks_without_several_gradients_are_not_asked(name, options):
    evidence, _ = codes_of(scaled(0.1), EPS, name, **options)
    assert not {"scale-tried", "flat-output"} & set(evidence)


def test_a_sound_model_is_not_asked():
    evidence, doubts = codes_of(scaled(1.0), 0.05, steps=20)
    assert "scale-tried" not in evidence
    assert doubts == ()


def test_an_attack_that_left_nothing_is_not_asked_and_needs_no_doubt():
    evidence, doubts = codes_of(scaled(0.4), 0.5, steps=20)
    assert evidence["scale-tried"] == "it left no image standing"
    assert doubts == ()
