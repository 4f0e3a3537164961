"""HopSkipJump: the distance to a hyperplane from labels alone, its parts by hand, and foolbox on digits."""

import math

import pytest
import torch

from attacks.minimal.fmn import FMN
from attacks.query.hopskipjump import HopSkipJump, bisect, boundary_normal
from attacks.query.noise import Noise
from attacks.query.spsa import SPSA
from robench.attack.norms import L2, LINF
from robench.attack.oracle import Oracle
from robench.attack.protocol import Knowledge
from robench.attack.threat import Goal, ThreatModel
from robench.conformance import check_attack, failures
from robench.errors import ConfigError
from robench.model.interface import Model
from robench.randomness import Randomness
from tests.attacks.digits import digits_cnn, distance_of
from tests.attacks.test_truths import closed_form, grey
from tests.truths import Lambda, attacked, broken, classify, images, linear, random_linear, small_net

norms = pytest.mark.parametrize("norm", [LINF, L2], ids=lambda n: n.name)
QUICK = HopSkipJump(steps=4, samples=25)


@pytest.mark.thorough
def test_it_keeps_the_laws():
    assert not failures(check_attack(HopSkipJump(steps=1, samples=4)))


@pytest.mark.thorough
@norms
def test_it_comes_within_a_few_percent_of_a_hyperplane(norm):
    model, x = random_linear(classes=2, seed=5, centred=True), grey(12)
    y = classify(model, x)
    x_adv, oracle, _ = attacked(HopSkipJump(steps=9, samples=30), model, x, y, norm=norm, eps=math.inf)
    ratio = norm.size(x_adv - x).double() / closed_form(model, x, y, norm)
    assert broken(model, x_adv, y).all()
    assert ratio.min() > 1 - 1e-4
    assert ratio.median() < 1.05
    assert ratio.max() < 1.10
    assert oracle.ledger.backwards.tolist() == [0] * 12


@pytest.mark.thorough
def test_several_classes_are_followed_to_the_boundary_it_started_at():
    """It is a local search: what it can promise is the distance to the class it ended in."""
    model, x = random_linear(classes=3, seed=5), grey(10)
    y = classify(model, x)
    x_adv, _, _ = attacked(HopSkipJump(steps=8, samples=30), model, x, y, norm=L2, eps=math.inf)
    answers = classify(model, x_adv)
    assert (answers != y).all()
    to_that_class = closed_form(model, x, y, L2, answers)
    assert ((L2.size(x_adv - x).double() / to_that_class).median()) < 1.05


@norms
def test_bisection_ends_at_the_boundary(norm):
    model = linear(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([0.7, 0.0]))  # crosses at x_1 = 0.7
    x, far = torch.full((1, 1, 1, 2), 0.5), torch.tensor([0.9, 0.6]).view(1, 1, 1, 2)
    threat = ThreatModel(norm=norm, eps=math.inf)
    oracle = Oracle(model, x, torch.zeros(1, dtype=torch.int64), threat)
    near = bisect(oracle, far).flatten().tolist()
    # On the line under L2; under Linf the cube of side 0.2 cuts off the first pixel, and the second has room.
    assert near == pytest.approx([0.7, 0.55 if norm is L2 else 0.6], abs=1e-3)
    assert near[0] >= float(torch.tensor(0.7))  # the boundary itself is a tie, which is no answer


@pytest.mark.thorough
def test_the_estimated_normal_is_the_hyperplanes():
    model, x = random_linear(classes=2, seed=5, centred=True), torch.full((10, 1, 4, 4), 0.5)
    y = torch.zeros(10, dtype=torch.int64)
    threat = ThreatModel(norm=L2, eps=math.inf)
    oracle = Oracle(model, x, y, threat)
    rng, look = Randomness(0, torch.arange(10)), torch.full((10,), 0.01)
    normal = boundary_normal(oracle, x, look, rng, samples=400).flatten(1)
    weight = model.net[1].weight.detach()
    cosine = torch.nn.functional.cosine_similarity(normal, (weight[1] - weight[0])[None])
    # Sample n unit vectors, signed: the cosine is about sqrt(2 n / (2 n + pi d)) for d pixels.
    assert float(cosine.mean()) == pytest.approx(math.sqrt(800 / (800 + math.pi * 16)), abs=0.02)


@pytest.mark.thorough
def test_only_labels_matter():
    inner, x = small_net(seed=1), images(6)
    y = classify(inner, x)
    hard = Model(
        name="hard", net=Lambda(lambda z: torch.eye(4)[inner.net(z).argmax(dim=1)].to(z.dtype)), classes=4
    )
    _, _, soft = attacked(QUICK, inner, x, y, norm=L2, eps=math.inf)
    _, _, proposal = attacked(QUICK, hard, x, y, norm=L2, eps=math.inf)
    assert torch.equal(soft, proposal)
    assert broken(inner, soft, y).all()


@pytest.mark.parametrize("attack", [QUICK, Noise(), SPSA()], ids=lambda a: type(a).__name__)
def test_what_takes_no_gradient_runs_once_whatever_gradient_sources_there_are(attack):
    assert attack.info.own_source in ("labels", "scores")
    assert attack.info.knowledge is not Knowledge.GRADIENT


def test_an_image_without_a_start_stays_and_costs_no_more():
    """Of a model that knows one class nothing can be broken."""
    constant = Model(name="one", net=Lambda(lambda z: torch.eye(3)[[0] * len(z)]), classes=3)
    x, y = images(4), torch.tensor([0, 0, 0, 1])
    x_adv, oracle, last = attacked(
        HopSkipJump(steps=2, samples=4, trials=7), constant, x, y, norm=L2, eps=math.inf
    )
    assert torch.equal(last, x)
    assert torch.equal(x_adv, x)
    assert oracle.ledger.forwards[:3].tolist() == [8] * 3
    assert oracle.broken.tolist() == [False, False, False, True]  # misclassified from the start


@pytest.mark.thorough
def test_a_target_is_reached():
    model, x = random_linear(classes=3, seed=7, centred=True), grey(10)
    y = classify(model, x)
    threat = ThreatModel(norm=L2, eps=math.inf, goal=Goal.TARGETED)
    x_adv, oracle, _ = attacked(QUICK, model, x, (y + 1) % 3, threat=threat)
    hit = classify(model, x_adv) == (y + 1) % 3
    assert torch.equal(hit, oracle.broken)
    assert hit.float().mean() > 0.8


@norms
def test_distances_on_digits_are_no_longer_than_foolbox_finds(norm):
    """A few steps on 12 digits scatter by some 10 % under Linf. Under L2 foolbox divides the normals of a
    batch by their common length, takes shorter steps for it, and ends a third further out."""
    foolbox = pytest.importorskip("foolbox")
    model, x, y = digits_cnn()
    x, y = x[:12], y[:12]
    own, _, _ = attacked(QUICK, model, x, y, norm=norm, eps=math.inf)
    their_model = foolbox.PyTorchModel(model.net, bounds=(0, 1))
    theirs = foolbox.attacks.HopSkipJumpAttack(
        steps=4, initial_gradient_eval_steps=25, constraint="linf" if norm is LINF else "l2"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, library, _ = theirs(their_model, x, y, epsilons=None)
    ours, other = distance_of(model, own, x, y, norm), distance_of(model, library, x, y, norm)
    assert ours.isfinite().all()
    assert float(ours.median() / other.median()) < (1.25 if norm is LINF else 1.0)
    best, _, _ = attacked(FMN(steps=40), model, x, y, norm=norm, eps=math.inf)
    assert 1 <= float(ours.median() / distance_of(model, best, x, y, norm).median()) < 2


@pytest.mark.parametrize("options", [{"steps": 0}, {"samples": 1}, {"most_samples": 0}, {"trials": 0}])
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        HopSkipJump(**options)
