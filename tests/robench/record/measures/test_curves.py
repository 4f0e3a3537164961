"""Accuracy curves: by hand, as monotone laws, and against separate runs and closed forms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api import benchmark, make_attack
from robench.data.images import ImageSet
from robench.record.measures.curves import (
    curve_of,
    over_eps,
    over_passes,
    over_points,
    over_tries,
    smallest_perturbations,
)
from robench.record.measures.statistics import wilson, wilson_band
from robench.record.schema import Columns
from tests.attacks.toys import distances
from tests.records import record_of
from tests.truths import classify, images, joint, random_linear, small_net

R, B, M, F = "robust", "broken", "misclassified", "failed"
UNKNOWN = [0] * 4


def record(status, *, points=UNKNOWN, first=UNKNOWN, tries=UNKNOWN, first_try=UNKNOWN, forwards=UNKNOWN,
           passes=UNKNOWN, size=None, eps=0.1, norm="Linf", minimises=False, index=(0, 1, 2, 3)):  # fmt: skip
    n = len(status)
    size = [0.0] * n if size is None else size
    columns = Columns(
        index=list(index), label=[1] * n, clean=[0 if s == M else 1 for s in status],
        adversarial=[2 if s == B else 1 for s in status], status=list(status), linf=size,
        l2=[10 * s for s in size], forwards=[float(f) for f in forwards], backwards=[0.0] * n,
        first_success=list(first), points=list(points), tries=list(tries), first_passes=list(passes),
        first_try=list(first_try),
    )  # fmt: skip
    return record_of(
        key="k", target={"name": "a"}, source={"name": "a", "gradient_source": "exact"},
        attack={"label": "x", "minimises": minimises}, threat={"norm": norm, "eps": eps},
        dataset={"name": "toy", "split": "test"}, seed=0, columns=columns, provenance={},
    )  # fmt: skip


def test_a_curve_by_hand():
    curve = curve_of({0: 0.0, 1: 3.0, 2: 1.0, 3: math.inf, 4: 3.0}, end=7)
    assert (curve.x, curve.robust, curve.n, curve.end) == ((0.0, 1.0, 3.0), (4, 3, 1), 5, 7.0)
    assert [curve.standing(x) for x in (0, 0.9, 1, 2.9, 3, 100)] == [4, 4, 3, 3, 1, 1]
    assert [curve.reached(share) for share in (0.2, 0.21, 0.4, 0.5, 0.8, 0.81)] == [
        0.0,
        1.0,
        1.0,
        3.0,
        3.0,
        None,
    ]
    assert curve.band() == tuple(pytest.approx(wilson(k, 5)) for k in (4, 3, 1))
    assert curve.up_to(2.0).x == (0.0, 1.0)
    assert curve.up_to(2.0).end == 2.0


@settings(deadline=None)
@given(st.integers(1, 400))
def test_the_band_is_the_wilson_interval_of_every_count(n):
    counts = sorted({0, 1, n // 3, n // 2, n - 1, n})
    for count, ends in zip(counts, wilson_band(counts, n), strict=True):
        assert ends == pytest.approx(wilson(count, n), abs=1e-12)
    assert wilson_band([0], 0) == ((0.0, 1.0),)


@settings(deadline=None)
@given(st.lists(st.one_of(st.just(math.inf), st.floats(0, 100)), min_size=1), st.integers(2, 9))
def test_a_curve_never_rises_and_thinning_stays_on_it(values, most):
    curve = curve_of(dict(enumerate(values)), end=0)
    assert list(curve.robust) == sorted(curve.robust, reverse=True)
    assert list(curve.x) == sorted(set(curve.x))
    for x, robust in zip(curve.x, curve.robust, strict=True):
        assert robust == sum(value > x for value in values)
    thin = curve.thinned(most)
    assert len(thin.x) <= most
    assert {thin.x[0], thin.x[-1]} == {curve.x[0], curve.x[-1]}
    assert all(curve.standing(x) == robust for x, robust in zip(thin.x, thin.robust, strict=True))


def test_points_by_hand_over_two_gradient_sources():
    first = record([R, B, B, M], points=[5, 5, 5, 5], first=[0, 4, 0, 1])
    second = record([R, B, R, M], points=[9, 9, 9, 9], first=[0, 2, 3, 1])  # 2: the judge did not agree
    assert over_points([first]).x == (
        0.0,
        4.0,
        6.0,
    )  # image 2 fell to the last point, which was not asked about
    both = over_points([first, second])
    assert (both.x, both.robust, both.end) == ((0.0, 2.0, 6.0), (3, 2, 1), 9.0)


def test_what_was_not_seen_gives_no_curve():
    library = record([R, B, R, M], forwards=[7] * 4)
    assert over_points([library]) is None
    assert over_tries([library]) is None
    assert over_points([record([R] * 4)]) is None  # nothing broke, and nothing tells how much was tried
    assert over_points([]) is None
    assert over_passes([]) is None
    assert over_passes([[library]]).x == (0.0, 7.0)  # a library: at its end
    assert (
        over_passes([[record([R, B, R, M], forwards=[7] * 4, first=[0, 2, 0, 1])]]) is None
    )  # earlier version
    assert over_eps([record([B] * 4, norm="L1", minimises=True)]) is None
    assert over_eps([record([B] * 4)]) is None  # nobody looked for small ones


def test_tries_by_hand():
    one = record([B, B, B, R], points=[9] * 4, tries=[3, 3, 3, 3], first_try=[1, 3, 0, 0])
    curve = over_tries([one])
    assert (curve.x, curve.robust, curve.end) == ((0.0, 1.0, 3.0), (4, 3, 1), 3.0)


def test_passes_add_up_over_cells_until_an_image_breaks():
    first = [record([R, B, R, M], forwards=[10, 4, 10, 10], first=[0, 2, 0, 1], passes=[0, 3, 0, 1])]
    second = [record([R, R, B, M], forwards=[20] * 4, first=[0, 0, 4, 1], passes=[0, 0, 8, 1])]
    third = [record([F, B, B, M], forwards=[5] * 4)]
    curve = over_passes([first, second])
    assert (curve.x, curve.robust, curve.end) == ((0.0, 3.0, 18.0), (3, 2, 1), 30.0)
    assert over_passes([first, second, third]).x == (0.0, 3.0, 18.0, 35.0)


def test_passes_are_those_of_each_image_in_whatever_order_the_shards_come():
    none = {"points": [0, 0], "tries": [0, 0], "first_try": [0, 0]}
    late = record([R, B], forwards=[10, 4], first=[0, 2], passes=[0, 3], index=(4, 6), **none)
    early = record([B, R], forwards=[7, 10], first=[1, 0], passes=[1, 0], index=(1, 2), **none)
    overlap = record([B, R], forwards=[5, 5], first=[1, 0], passes=[2, 0], index=(2, 5), **none)
    apart = over_passes([[late, early]])
    assert (apart.x, apart.robust, apart.n, apart.end) == ((0.0, 1.0, 3.0), (4, 3, 2), 4, 10.0)
    assert over_passes([[early, late]]) == apart
    both = over_passes([[late, early], [overlap]])
    assert (both.x, both.robust, both.n) == ((0.0, 1.0, 3.0, 12.0), (5, 4, 3, 2), 5)


def test_sizes_are_the_smallest_over_attacks_and_radii():
    far = record([B, B, R, M], size=[0.3, 0.05, 9.0, 9.0], eps="inf", minimises=True)
    near = record([B, R, B, M], size=[0.1 + 1e-7, 9.0, 0.1, 9.0], eps=0.1)
    assert smallest_perturbations([far, near]) == {0: 0.1, 1: 0.05, 2: 0.1, 3: 0.0}
    curve = over_eps([far, near])
    assert (curve.x, curve.robust, curve.end) == ((0.0, 0.05, 0.1), (3, 2, 0), math.inf)
    euclidean = record([B, B, R, M], size=[0.3, 0.05, 9.0, 9.0], norm="L2", eps=1e9, minimises=True)
    assert over_eps([euclidean]).x == (0.0, 0.5, 3.0)


def test_an_exact_curve_ends_where_small_perturbations_were_looked_for():
    search = record([B, R, R, M], size=[0.02, 0.0, 0.0, 0.0], eps=0.1, minimises=True)
    beyond = record([R, B, R, M], size=[0.0, 0.4, 0.0, 0.0], eps=0.4)
    other = record([R] * 4, eps=0.4, index=(4, 5, 6, 7))
    curve = over_eps([search, beyond, other])
    assert (curve.x, curve.robust, curve.n, curve.end) == ((0.0, 0.02), (3, 2), 4, 0.1)


def data_of(model, x, y):
    names = tuple("abcd"[: model.classes])
    indices = torch.arange(len(x))
    return ImageSet(images=x, labels=y, indices=indices, name="toy", split="test", classes=names)


def white_box(model, x, y, attack, *, eps, **options):
    attacks = attack if isinstance(attack, dict) else {"attack": attack}
    results = benchmark([model], data_of(model, x, y), attacks=attacks, eps=eps, **options)
    assert not results.failures
    return [r for r in results.records if r.attack.label != "clean"]


def standing(records):
    """Image to whether it stands against all these records, as a leaderboard counts."""
    breaks = {i for r in records for i, s in zip(r.columns.index, r.columns.status, strict=True) if s != R}
    return {i for r in records for i in r.columns.index} - breaks


@pytest.fixture(scope="module")
def toy():
    model, x = small_net(seed=1), images(60)
    y = classify(model, x)
    y[:5] = (y[:5] + 1) % 4  # wrong from the start
    return model, x, y


@pytest.mark.thorough
@pytest.mark.parametrize("transfer", [True, False], ids=["kept", "dropped"])
def test_with_a_fixed_step_size_one_pass_tells_every_shorter_run(toy, transfer):
    model, x, y = toy
    twin = small_net(seed=1)
    object.__setattr__(twin, "name", "twin")

    def run(steps):
        attack = {"attack": make_attack("ifgsm", steps=steps, step_size=0.005)}
        results = benchmark([model, twin], data_of(model, x, y), attacks=attack, eps=0.08, transfer=transfer)
        own = (r for r in results.records if r.target.name == r.source.name == model.name)
        return [r for r in own if r.attack.label != "clean"]

    curve = over_points(run(30))
    assert curve.standing(0) == 55
    for steps in (1, 2, 5, 9, 20, 30):  # k steps from the clean image have tried k + 1 points
        assert curve.standing(steps + 1) == len(standing(run(steps)))
    assert len({curve.standing(k) for k in range(32)}) > 5


@pytest.mark.thorough
def test_after_fewer_restarts_stands_what_a_run_with_fewer_leaves(toy):
    model, x, y = toy
    curves = {}
    for restarts in (1, 2, 4):
        attack = make_attack("pgd", steps=1, step_size=0.02, restarts=restarts)
        records = white_box(model, x, y, attack, eps=0.05, transfer=False)
        curves[restarts] = over_tries(records)
        assert curves[restarts].standing(restarts) == len(standing(records))
    for fewer in (1, 2):
        assert curves[4].standing(fewer) == curves[fewer].standing(fewer)
    assert curves[4].standing(4) < curves[4].standing(1)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["fab", "apgd_targeted", "square", "graph_adaptive", "autoattack"])
def test_every_attack_with_fresh_starts_tells_them(toy, name):
    model, x, y = toy
    options = {
        "fab": {"steps": 5, "restarts": 3}, "apgd_targeted": {"steps": 4, "classes": 3},
        "square": {"queries": 20, "restarts": 3}, "graph_adaptive": {"steps": 3, "restarts": 2},
        "autoattack": {"scale": 0.03},
    }[name]  # fmt: skip
    records = white_box(model, x, y, make_attack(name, **options), eps=0.04)
    curve = over_tries(records)
    expected = {"graph_adaptive": 3, "autoattack": 1 + 3 + 3 + 1}.get(name, 3)
    assert curve.end == expected
    assert curve.robust[-1] == len(standing(records))


@pytest.mark.thorough
@pytest.mark.parametrize("wrap", [lambda model: model, joint], ids=["independent", "joint"])
@pytest.mark.parametrize("transfer", [True, False], ids=["kept", "dropped"])
def test_every_curve_ends_at_the_number_of_the_table(toy, wrap, transfer):
    model, x, y = toy
    attacks = {
        "fgsm": make_attack("fgsm"), "pgd": make_attack("pgd", steps=6, restarts=2),
        "square": make_attack("square", queries=30), "noise": make_attack("noise"),
    }  # fmt: skip
    records = white_box(wrap(model), x, y, attacks, eps=0.05, transfer=transfer, shard=25)
    cells = [[r for r in records if r.attack.label == label] for label in attacks]
    assert over_passes(cells).robust[-1] == len(standing(records))
    for cell in cells:
        for curve in (over_points(cell), over_tries(cell), over_passes([cell])):
            assert curve.robust[-1] == len(standing(cell))
            assert curve.n == 60
    costs = dict.fromkeys(range(60), 0.0)
    for r in records:
        for i, forwards, backwards in zip(
            r.columns.index, r.columns.forwards, r.columns.backwards, strict=True
        ):
            costs[i] += forwards + backwards
    assert over_passes(cells).end == max(costs[i] for i in standing(records))


@pytest.mark.parametrize("batch_size", [60, 30])
def test_a_library_is_overheard_at_each_point_and_what_it_had_cost(toy, batch_size):
    model, x, y = toy
    attack = make_attack("torchattacks/pgd", steps=4)
    records = white_box(model, x, y, attack, eps=0.05, batch_size=batch_size)
    (record,) = records
    columns = record.columns
    pairs = list(zip(columns.first_success, columns.first_passes, strict=True))
    assert len({first for first, _ in pairs if first}) > 2
    # One forward a point; a backward follows each but the one that is asked about.
    assert all(passes == max(2 * first - 1, 0) for first, passes in pairs)
    curve = over_passes([records])
    assert set(curve.x) <= {0.0, 1.0, 3.0, 5.0, 7.0, curve.end}
    assert (curve.robust[0], curve.robust[-1]) == (55, len(standing(records)))
    assert over_points(records).robust[-1] == curve.robust[-1]


@pytest.mark.parametrize(("norm", "name"), [("Linf", "deepfool"), ("L2", "deepfool")])
def test_on_a_linear_model_the_curve_over_eps_is_that_of_the_distances(norm, name):
    model = random_linear(centred=True)
    x = images(40, (1, 4, 4), low=0.4, high=0.6)
    y = classify(model, x)
    y[:3] = (y[:3] + 1) % 3
    truth = distances(model, x, y, norm)
    records = white_box(model, x, y, make_attack(name, overshoot=0.001), eps=math.inf, norm=norm)
    curve = over_eps(records)
    assert curve.standing(0) == 37
    for eps in truth[3:].tolist():
        inside = int((truth > eps * 1.002).sum())
        assert curve.standing(eps * 1.003) == inside
        assert curve.standing(eps * 0.998) >= inside
    middle = float(truth.clamp_min(0).sort().values[19])
    assert curve.reached(0.5) == pytest.approx(middle, rel=2e-3)
    torch.testing.assert_close(curve.x[-1], float(truth.max()), rtol=2e-3, atol=0)
