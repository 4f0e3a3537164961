"""The economical cascade: closed forms, laws, what it must not lose, and what it spends."""

import math
from dataclasses import replace

import pytest
import torch

from attacks.ensemble.autoattack import AutoAttack
from attacks.ensemble.cascade_stages import CascadeStages
from attacks.ensemble.economical_autoattack import EconomicalAutoAttack
from attacks.gradient.apgd import APGD
from attacks.minimal.fab import FAB
from attacks.query.square import Square
from reports.text.bibliography import read_entries
from robench.attack.losses import score_margin
from robench.attack.norms import NORMS
from robench.attack.oracle import Oracle
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError
from robench.model.interface import Model
from robench.randomness import Randomness
from robench.recipe import build
from tests.attacks.toys import EPS, LAWS, distances, two_pixels
from tests.robench.judge import gallery
from tests.truths import Lambda, attacked, broken, classify, images, joint, random_linear, small_net

norms = pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
slow = pytest.mark.slow
FULL = EconomicalAutoAttack()
SMALL = EconomicalAutoAttack(
    first_steps=2,
    steps=4,
    fab_steps=3,
    rounds=2,
    near_steps=4,
    near_tries=2,
    least_queries=10,
    queries=40,
    end_steps=4,
    refine_queries=40,
    fab_classes=2,
)


@pytest.mark.thorough
@pytest.mark.parametrize("norm", ["Linf", pytest.param("L2", marks=slow), pytest.param("L1", marks=slow)])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws(law, norm):
    law(SMALL, norm)


@pytest.mark.thorough
@norms
def test_it_breaks_exactly_the_images_whose_ball_reaches_over_a_linear_boundary(norm):
    model = random_linear(classes=2, shape=(1, 4, 4), centred=True)
    x = images(40, (1, 4, 4), 0, 0.45, 0.55)
    y = classify(model, x)
    distance = distances(model, x, y, norm)
    eps = float(distance.median())
    x_adv, oracle, _ = attacked(replace(FULL, queries=400), model, x, y, norm=NORMS[norm], eps=eps, drop=True)
    sure = (distance - eps).abs() > 1e-3 * eps
    inside = broken(model, x_adv, y, x, oracle.threat)
    assert torch.equal(inside[sure], (distance < eps)[sure])
    assert int(sure.sum()) > 30
    # An image twice as far as the radius gets the first ascent and a look at its one class, measured twice.
    hopeless = distance > 2.01 * eps
    if norm == "L2":
        assert bool(hopeless.any())
        assert int(oracle.ledger.backwards[hopeless].max()) <= FULL.first_steps + 1 + 2


@pytest.mark.thorough
@norms
def test_it_breaks_what_brute_force_breaks_and_nothing_else(norm):
    model, x, y, truth = two_pixels(norm, 0.12)
    x_adv, oracle, _ = attacked(
        replace(FULL, queries=400), model, x, y, norm=NORMS[norm], eps=0.12, drop=True
    )
    breaks = broken(model, x_adv, y, x, oracle.threat)
    assert int((truth != breaks).sum()) <= 1  # the grid may miss a sliver


@norms
@pytest.mark.parametrize("drop", [True, False])
def test_it_is_never_weaker_than_its_first_stage(norm, drop):
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    options = {"norm": NORMS[norm], "eps": EPS[norm], "drop": drop}
    x_adv, oracle, _ = attacked(SMALL, model, x, y, **options)
    breaks = broken(model, x_adv, y, x, oracle.threat)
    assert torch.equal(breaks, oracle.broken)
    # Cut down to the first stage by a budget that ends with it.
    passes = 2 * (SMALL.first_steps + (3 if norm == "L1" else 1))
    threat = ThreatModel(norm=NORMS[norm], eps=EPS[norm], budget=passes)
    _, early, _ = attacked(SMALL, model, x, y, threat=threat, drop=drop)
    assert not (early.broken & ~breaks).any()
    assert 5 < int(early.broken.sum()) < 35


@pytest.mark.thorough
def test_it_leaves_standing_what_the_standard_cascade_does_for_a_tenth_of_its_passes():
    model, x = small_net(seed=1, width=32), images(60)
    y = classify(model, x)
    standard = AutoAttack(attacks=("apgd-ce", "apgd-t", "fab-t"))
    _, much, _ = attacked(standard, model, x, y, eps=0.03, drop=True)
    _, little, _ = attacked(replace(FULL, queries=FULL.least_queries), model, x, y, eps=0.03, drop=True)
    assert 10 < int(much.broken.sum()) < 50
    assert torch.equal(much.broken, little.broken)
    assert int(little.ledger.backwards.sum()) < int(much.ledger.backwards.sum()) / 5


@pytest.fixture(scope="module")
def masks():
    return {name: model for name, (model, _) in gallery.broken(gallery.sound()).items()}


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["rounded", "saturated", "argmax-only", "wavy"])
def test_a_mask_that_stops_the_gradients_does_not_stop_it(masks, name):
    """It breaks what the standard cascade breaks, give or take what the luck of a blind search decides."""
    model = masks[name]
    x, y = gallery.data(32).batch(slice(None))
    options = {"eps": 0.19, "drop": True}
    queries = 600
    cheap = replace(FULL, queries=queries, least_queries=100)
    _, ours, _ = attacked(cheap, model, x, y, **options)
    standard = AutoAttack(attacks=("apgd-ce", "square"), scale=queries / 5000)
    _, theirs, _ = attacked(standard, model, x, y, **options)
    assert int(theirs.broken.sum()) >= 5
    assert int(ours.broken.sum()) >= int(theirs.broken.sum()) - 2


@pytest.mark.thorough
def test_square_goes_on_where_it_finds_more_than_the_gradients():
    inner, x = small_net(seed=1), images(30)
    rough_model = Model(name="masked", net=Lambda(lambda x: inner.net((x * 64).round() / 64)), classes=4)
    y = classify(rough_model, x)
    _, short, _ = attacked(replace(FULL, least_queries=2, queries=2), rough_model, x, y, eps=0.06, drop=True)
    _, full, _ = attacked(
        replace(FULL, least_queries=20, queries=400), rough_model, x, y, eps=0.06, drop=True
    )
    assert int(full.broken.sum()) > int(short.broken.sum()) + 5
    assert not int(full.ledger.forwards.max()) < 200


def cascade_at(model, x, eps, norm="Linf"):
    """Return a cascade after one step of ascent and a look at the boundaries, and its oracle."""
    oracle = Oracle(model, x, classify(model, x), ThreatModel(norm=NORMS[norm], eps=eps), drop=True)
    cascade = CascadeStages(oracle)
    cascade.open(1, Randomness(0, torch.arange(len(x)), ("open",)))
    cascade.aim(3)
    return cascade, oracle


@pytest.mark.thorough
def test_a_search_from_the_worst_points_only_gains_and_breaks_more():
    """The plain way beside it is not to search: every loss is at least what it was, and more images fall."""
    model, x = small_net(seed=1), images(60)
    cascade, oracle = cascade_at(model, x, 0.05)
    before, earlier = cascade.worst.value.clone(), oracle.broken.clone()
    cascade.refine(300, 0.05, math.inf, Randomness(0, torch.arange(len(x)), ("refine",)))
    assert (cascade.worst.value >= before).all()
    assert (cascade.worst.value > before)[~earlier].any()
    fresh = oracle.broken & ~earlier
    assert fresh.any()
    points = cascade.worst.points
    assert float((points - x).abs().max()) <= 0.05 + 1e-6
    assert float(points.min()) >= 0
    assert float(points.max()) <= 1
    assert (classify(model, oracle.best) != classify(model, x))[fresh].all()


def test_only_close_calls_are_searched_and_only_where_windows_are_repainted():
    model, x = small_net(seed=1), images(60)
    cascade, oracle = cascade_at(model, x, 0.02)
    nearest = cascade._distances.amin(dim=0) / 0.02
    near = float(nearest[~oracle.broken].median())
    passes = oracle.ledger.forwards.clone()
    cascade.refine(20, 0.05, near, Randomness(0, torch.arange(len(x)), ("refine",)))
    searches = oracle.ledger.forwards > passes
    assert torch.equal(searches, (nearest <= near) & ~(oracle.broken & ~searches))
    assert searches.any()
    assert not searches.all()
    other, quiet = cascade_at(model, x, 0.5, "L2")
    passes = quiet.ledger.forwards.clone()
    other.refine(20, 0.05, math.inf, Randomness(0, torch.arange(len(x)), ("refine",)))
    assert torch.equal(quiet.ledger.forwards, passes)


def test_close_calls_climb_from_where_the_search_ended():
    """The plain way beside it is Square alone, with the same random numbers: its points are all there too."""
    model, x = small_net(seed=1), images(60)
    rng = Randomness(0, torch.arange(len(x)), ("square",))
    cascade, oracle = cascade_at(model, x, 0.03)
    near = float(cascade._distances.amin(dim=0)[~oracle.broken].median()) / 0.03
    close = (cascade._distances.amin(dim=0) <= near * 0.03) & ~oracle.broken
    earlier, passes = oracle.broken.clone(), oracle.ledger.backwards.clone()
    cascade.search(4, 60, 10, near, rng)
    alone, plain = cascade_at(model, x, 0.03)
    alone.worst.replace(Square(queries=60).search(plain, score_margin, rng))
    only_square = plain.broken & close
    assert not (only_square & ~oracle.broken).any()
    assert int((oracle.broken & ~earlier).sum()) > int(only_square.sum())
    gains = close & ~oracle.broken & ~plain.broken
    assert gains.any()
    assert (cascade.worst.value >= alone.worst.value)[gains].all()
    climbers = oracle.ledger.backwards > passes
    assert climbers.any()
    assert not (climbers & ~close).any()
    assert torch.equal(climbers, close & ~only_square)


def test_only_close_calls_are_measured_anew_and_no_other_comes_back():
    model, x = small_net(seed=1), images(60)
    cascade, oracle = cascade_at(model, x, 0.02)
    standing = ~oracle.broken
    first = cascade._distances.amin(dim=0)
    near = float(first[standing].median()) / 0.02
    close = (first <= near * 0.02) & standing
    passes = oracle.ledger.backwards.clone()
    cascade.narrow(2, near)
    assert cascade._distances.shape == (2, 60)
    assert torch.equal(oracle.ledger.backwards - passes, 2 * close.long())
    assert cascade._distances[:, ~close].isinf().all()
    # Nothing moved since the first look, so the same boundaries are as far as they were.
    assert torch.allclose(cascade._distances.amin(dim=0)[close], first[close])


@pytest.mark.thorough
def test_later_rounds_are_for_images_whose_boundary_enters_the_ball():
    """Of a linear model, one is as far as it looks: what is between 1 and `near` radii gets one round."""
    model = random_linear(classes=2, shape=(1, 4, 4), centred=True)
    x = images(200, (1, 4, 4), 0, 0.45, 0.55)
    y = classify(model, x)
    distance = distances(model, x, y, "Linf")
    eps = float(distance.median())
    rounds = {}
    for count in (1, 2):
        options = {"near": 1.2, "rounds": count, "fab_classes": 1, "classes": 1}
        _, oracle, _ = attacked(replace(SMALL, **options), model, x, y, eps=eps, drop=True)
        rounds[count] = oracle.ledger.backwards
    beyond = (distance > 1.001 * eps) & (distance < 1.199 * eps)
    far = distance > 1.201 * eps
    assert int(beyond.sum()) > 5
    assert (rounds[1][beyond].min() > rounds[1][far].max()).all()
    assert torch.equal(rounds[2][beyond], rounds[1][beyond] + 1)  # one look at its only boundary
    assert torch.equal(rounds[2][far], rounds[1][far])


def test_a_search_that_starts_somewhere_starts_there():
    model, x = small_net(seed=1), images(20)
    oracle = Oracle(model, x, classify(model, x), ThreatModel(eps=0.05))
    start = (x + 0.05 * images(20, seed=3).sub(0.5).sign()).clamp(0, 1)
    rng = Randomness(0, torch.arange(20), ("square",))
    assert torch.equal(Square(queries=1).search(oracle, score_margin, rng, start=start), start)


def test_an_image_is_treated_alike_in_whatever_company():
    """Hard and easy companions change neither the verdict nor the passes spent."""
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    _, whole, _ = attacked(SMALL, model, x, y, eps=EPS["Linf"], drop=True)
    standing = (~whole.broken).nonzero().squeeze(1)
    for part in (standing, standing[:3], torch.arange(7, 20)):
        _, alone, _ = attacked(SMALL, model, x[part], y[part], eps=EPS["Linf"], drop=True, indices=part)
        assert torch.equal(alone.broken, whole.broken[part])
        assert torch.equal(alone.ledger.forwards, whole.ledger.forwards[part])
        assert torch.equal(alone.ledger.backwards, whole.ledger.backwards[part])


@pytest.mark.thorough
def test_a_joint_batch_runs_on_as_long_as_one_image_may_break():
    model, x = joint(small_net(seed=1)), images(12)
    y = classify(model, x)
    _, oracle, _ = attacked(SMALL, model, x, y, eps=0.02, drop=True)
    _, alone, _ = attacked(SMALL, small_net(seed=1), x, y, eps=0.02)
    assert len(oracle.ledger.backwards.unique()) == 1
    assert int(oracle.ledger.backwards[0]) >= int(alone.ledger.backwards.max())


@pytest.mark.thorough
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_under_a_targeted_goal_it_reaches_what_a_long_ascent_reaches(norm):
    model, x = small_net(seed=1), images(30)
    y = (classify(model, x) + 1) % 4
    threat = ThreatModel(norm=NORMS[norm], eps=2 * EPS[norm], goal=Goal.TARGETED)
    _, ours, _ = attacked(replace(FULL, queries=200), model, x, y, threat=threat, drop=True)
    _, long, _ = attacked(APGD(loss="margin", restarts=3), model, x, y, threat=threat, drop=True)
    assert 3 < int(long.broken.sum()) < 28
    assert not (long.broken & ~ours.broken).any()


@pytest.mark.parametrize(
    "options",
    [
        {"first_steps": 0},
        {"classes": 0},
        {"far": 0},
        {"far": math.inf},
        {"near": 3},
        {"least_queries": 1},
        {"queries": 10},
        {"rounds": 0},
        {"end_steps": 0},
    ],
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        build(EconomicalAutoAttack, options, where="test.yaml:1")


def test_an_infinite_radius_is_refused():
    with pytest.raises(ConfigError, match="finite radius"):
        attacked(FULL, small_net(), images(2), threat=ThreatModel(eps=math.inf))


def test_close_calls_start_at_the_same_points_in_whatever_company(monkeypatch):
    """A class that no companion is near to leaves the random numbers of the next class as they are."""
    inner, x = small_net(seed=1), images(8)
    y = classify(inner, x)
    short = {"first_steps": 1, "steps": 1, "fab_steps": 1, "near_steps": 2, "near_tries": 1, "end_steps": 1}
    cheap = replace(SMALL, **short, rounds=1, classes=2, queries=10, refine_queries=2)

    def asked(part):
        points, calls = [], []

        def recorded(points_now):
            points.append(points_now.detach().clone())
            return inner.net(points_now)

        def distance(clean, point, linearise, threat):
            # Both classes lie within `far` at first; then the first image is near to the second class only.
            calls.append(len(calls))
            first = (clean - x[0]).flatten(1).abs().amax(dim=1) == 0
            away = calls[-1] < 2 or (calls[-1] == 2) & first
            return torch.where(torch.as_tensor(away), 1.2, 1.0).expand(len(clean)) * threat.eps

        monkeypatch.setattr("attacks.ensemble.cascade_stages.linearised_distance", distance)
        model = Model(name="recorded", net=Lambda(recorded), classes=4)
        attacked(cheap, model, x[part], y[part], eps=0.001, indices=torch.tensor(part))
        return torch.cat(points)

    alone, whole = asked([0]), asked(range(8))
    apart = (alone[:, None] - whole[None]).flatten(2).abs().amax(dim=2)
    assert float(apart.amin(dim=1).max()) < 1e-6


def test_a_joint_batch_without_a_close_call_is_spared_that_stage():
    model = joint(random_linear(classes=2, shape=(1, 4, 4), centred=True))
    x = images(6, (1, 4, 4), 0, 0.45, 0.55)
    y = classify(model, x)
    eps = float(distances(random_linear(classes=2, shape=(1, 4, 4), centred=True), x, y, "Linf").min()) / 1.6
    passes = []
    for steps in (1, 50):
        cheap = replace(SMALL, near_steps=steps, classes=1, fab_classes=1)
        _, oracle, _ = attacked(cheap, model, x, y, eps=eps)
        assert not oracle.broken.any()
        passes.append(int(oracle.ledger.backwards.max()))
    assert passes[0] == passes[1]


def test_images_of_a_joint_batch_that_fell_in_different_batches_are_not_done():
    """One batch is proposed for all, so what counts is what one batch breaks."""
    inner = random_linear(classes=2, shape=(1, 4, 4), centred=True)
    x = images(40, (1, 4, 4), 0, 0.3, 0.7)
    far = distances(inner, x, classify(inner, x), "Linf").argsort(descending=True)
    model, x = joint(inner), x[far[:2]]  # so far that neither falls by what is done to the other
    y = classify(model, x)
    threat = ThreatModel(eps=0.4)
    oracle = Oracle(model, x, y, threat)
    streams = Randomness(0, torch.arange(2), ("test",))
    both = oracle.proposal(SMALL(oracle, streams))
    assert oracle.broken.all()
    assert (classify(model, both) != y).all()
    again = Oracle(model, x, y, threat)
    for one in range(2):
        apart = x.clone()
        apart[one] = both[one]
        again.outputs(apart)
    assert again.broken.all()
    assert (classify(model, again.proposal(x)) != y).sum() == 1
    assert (classify(model, again.proposal(SMALL(again, streams))) != y).all()


def test_everything_it_is_made_of_is_to_be_cited():
    keys = {entry.key for entry in read_entries(FULL.info.bibtex)}
    parts = [entry for part in (APGD, FAB, Square) for entry in read_entries(part.info.bibtex)]
    assert {entry.key for entry in parts} | {"liu2022practical"} == keys
