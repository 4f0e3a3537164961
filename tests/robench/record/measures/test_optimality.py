"""Optimality by hand, against AttackBench's formula, and on records."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.record.measures.optimality import optimality, scores
from robench.record.schema import Columns
from tests.records import changed, record_of

INF = math.inf


def attackbench(mine, best):
    """The released formula on sizes of many images, its curves joined by slopes."""

    def area(sizes):
        places, counts = np.unique(sizes, return_counts=True)
        return np.trapezoid(1 - counts.cumsum() / len(sizes), places)

    best, largest = np.array(best), max(best)
    clean = np.count_nonzero(best) / len(best)
    return 1 - (area(np.minimum(mine, largest)) - area(best)) / (clean * largest - area(best))


def test_by_hand():
    best_sizes = {0: 1.0, 1: 2.0, 2: 0.0}
    assert optimality(best_sizes, best_sizes) == 1
    assert optimality({0: 2.0, 1: INF, 2: 0.0}, best_sizes) == 0  # nothing below the largest known
    assert optimality({0: 1.5, 1: 2.0, 2: 0.0}, best_sizes) == pytest.approx(0.5)
    assert optimality({0: 1.5, 1: 7.0, 2: 0.0}, best_sizes) == pytest.approx(0.5)  # beyond it all is one
    assert optimality({2: 0.0}, best_sizes) is None
    assert optimality({0: INF}, {0: INF}) is None


def test_images_that_nothing_breaks_do_not_count():
    best_sizes = {0: 1.0, 1: 2.0, 2: INF}
    assert optimality({0: 1.5, 1: 2.0, 2: INF}, best_sizes) == pytest.approx(0.5)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_it_is_attackbenchs_up_to_the_slopes_between_corners(seed):
    draw = np.random.default_rng(seed)
    best = np.where(draw.random(2000) < 0.1, 0.0, draw.gamma(2.0, 1.0, 2000))
    mine = best * (1 + draw.random(2000))
    images = range(2000)
    own = optimality(dict(zip(images, mine, strict=True)), dict(zip(images, best, strict=True)))
    assert own == pytest.approx(attackbench(mine, best), abs=0.01)
    assert 0 <= own <= 1


def columns(sizes, *, norm):
    """Columns of images that are right at first, each broken by so much, inf for one that stands."""
    n = len(sizes)
    distances = [0.0 if size == INF else size for size in sizes]
    name = {"L2": "l2", "Linf": "linf"}.get(norm, "distance")
    return Columns(
        **{
            "index": list(range(n)), "label": [1] * n, "clean": [1] * n, "adversarial": [0] * n,
            "status": ["robust" if size == INF else "broken" for size in sizes],
            "linf": [0.5] * n, "l2": [0.5] * n, "forwards": [10.0] * n, "backwards": [5.0] * n,
            "first_success": [1] * n, name: distances,
        }
    )  # fmt: skip


def records(norm, **attacks):
    """One record for each attack: its sizes."""
    return [
        record_of(
            key=f"{norm}-{label}", target={"name": "a", "fingerprint": "f"},
            source={"name": "a", "fingerprint": "f", "gradient_source": "exact"},
            attack={"label": label, "minimises": True},
            threat={"norm": norm, "eps": "inf", "goal": "untargeted"},
            dataset={"name": "toy", "split": "test"}, seed=0, provenance={},
            columns=columns(sizes, norm=norm),
        )
        for label, sizes in attacks.items()
    ]  # fmt: skip


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1", "L0"])
def test_attacks_are_scored_against_the_best_of_all(norm):
    lines = scores(records(norm, far=[3.0, 4.0], near=[1.0, 3.0], half=[1.0, INF]))
    assert [line.attack for line in lines] == ["near", "half", "far"]
    assert [line.score for line in lines] == pytest.approx([1.0, 1.0, 0.0])
    assert lines[0].median == 2.0
    assert lines[1].median is None
    assert (lines[1].broken, lines[1].n, lines[1].nearest) == (1, 2, 0.5)
    assert {line.known_median for line in lines} == {2.0}
    assert {line.passes for line in lines} == {15.0}


def test_smaller_perturbations_may_be_known_from_elsewhere():
    mine = records("L2", near=[1.0, 3.0])
    best_sizes = {(mine[0].target.fingerprint, "L2"): {0: 0.5}}
    (line,) = scores(mine, known=best_sizes)
    assert line.score == pytest.approx(1 - 0.5 / 2.5)


def test_what_is_no_search_for_the_smallest_only_adds_to_what_is_known():
    near, other = records("L2", near=[2.0, 3.0], other=[1.0, INF])
    variant = changed(other, attack={"minimises": False}, threat={"eps": 1.0})
    (line,) = scores([near, variant])
    assert line.attack == "near"
    assert line.known_median == 2.0


def test_records_without_the_sizes_of_their_norm_are_not_scored():
    (mine,) = records("L1", near=[1.0, 3.0])
    older = replace(mine, columns=replace(mine.columns, distance=[0.0, 0.0]))
    assert scores([older]) == []


def test_attacks_of_one_label_and_other_options_are_scored_apart():
    weak, strong = records("L2", weak=[2.0, 4.0], strong=[1.0, 2.0])
    weak = changed(weak, attack={"label": "fmn", "options": {"steps": 10}})
    strong = changed(strong, attack={"label": "fmn", "options": {"steps": 1000}})
    lines = scores([weak, strong])
    assert [(line.median, line.score, line.passes) for line in lines] == [(1.5, 1.0, 15.0), (3.0, 0.0, 15.0)]
    assert len({line.attack for line in lines}) == 2
    assert all(line.attack.startswith("fmn [") for line in lines)
    assert [line.attack for line in scores([weak])] == ["fmn"]


def test_a_record_that_is_given_twice_is_one():
    (mine,) = records("L2", near=[1.0, 3.0])
    assert scores([mine, mine]) == scores([mine])


def test_other_gradient_sources_of_one_attack_are_pooled():
    one, two = records("L2", first=[1.0, 4.0], second=[2.0, 3.0])
    pair = [changed(record, attack={"label": "fmn"}) for record in (one, two)]
    (line,) = scores(pair)
    assert (line.attack, line.median, line.passes) == ("fmn", 2.0, 30.0)
