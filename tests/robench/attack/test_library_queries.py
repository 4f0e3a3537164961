"""What a library was seen to do: an adversarial point it let go of is judged, and told."""

import pytest
import torch

from robench.attack.craft import CraftSettings, craft
from robench.attack.library_model import lent
from robench.attack.losses import cross_entropy
from robench.attack.oracle import Oracle
from robench.attack.protocol import AttackInfo
from robench.attack.threat import Goal, ThreatModel
from robench.judge.attack_findings import ledger_findings
from robench.judge.verdict import judge
from robench.model.interface import Model
from robench.randomness import Randomness
from robench.record.schema import Status
from tests.robench.judge import gallery
from tests.truths import joint

DATA = gallery.data(40)
X, Y = DATA.batch(slice(None))
MODEL = Model(name="sound", net=gallery.sound(), classes=4)
THREAT = ThreatModel(eps=0.25)


class Library:
    """Asks about some points, as many at a time as the batch size, and returns others."""

    def __init__(self, asked, returned, *, gradient=False, minimises=False):
        self.asked, self.returned, self.gradient = asked, returned, gradient
        self.info = AttackInfo(title="Toy", paper="none", norms=("Linf",), library="toy", minimises=minimises)

    def __call__(self, oracle, rng):
        with lent(oracle, rng) as module:
            for points in self.asked:
                for piece in torch.split(points, oracle.batch_size):
                    part = piece.clone().requires_grad_(self.gradient)
                    scores = module(part)
                    if self.gradient:
                        torch.autograd.grad(scores.sum(), part)
        return self.returned


def strong():
    """Points that break all images, by a step along the gradient's sign."""
    oracle = Oracle(MODEL, X, Y, THREAT)
    return THREAT.project(X, X + 0.25 * oracle.gradient(cross_entropy, X).sign())


def run(attack, *, model=MODEL, batch_size=250, threat=THREAT):
    settings = CraftSettings(batch_size=batch_size)
    result = craft(model, attack, X, Y, threat=threat, indices=DATA.indices, settings=settings)
    verdict = judge(model, X, Y, result.x_adv, threat=threat)
    return result, verdict, [f.code for f in ledger_findings(result.ledger, verdict.status)]


def count(verdict):
    return sum(status is Status.BROKEN for status in verdict.status)


BREAKS = int((MODEL.net(strong()).argmax(1) != Y).sum())


def test_the_points_break_something():
    assert 20 < BREAKS <= 40


def test_an_adversarial_point_that_was_let_go_is_judged_and_said():
    for size in (250, 10):
        result, verdict, codes = run(Library([strong(), X], X), batch_size=size)
        assert count(verdict) == BREAKS
        assert codes == ["silent-success"]
        assert int(result.ledger.silent.sum()) == BREAKS


def test_an_image_that_was_wrong_from_the_start_was_not_broken_on_the_way():
    # One step of a sound library may well bring a misclassified image back to its label.
    y = Y.clone()
    y[:5] = (Y[:5] + 1) % 4
    right = torch.stack([X[label == Y][-1] for label in y[:5]])
    threat = ThreatModel(eps=1.0)
    library = Library([X], torch.cat([right, X[5:]]), gradient=True)
    result = craft(MODEL, library, X, y, threat=threat, indices=DATA.indices)
    verdict = judge(MODEL, X, y, result.x_adv, threat=threat)
    assert [s is Status.MISCLASSIFIED for s in verdict.status] == [True] * 5 + [False] * 35
    assert ledger_findings(result.ledger, verdict.status) == ()


def test_what_the_library_returns_is_kept_where_it_is_adversarial():
    # The smaller point it asked about must not be put in the place of the one it chose.
    small = THREAT.project(X, X + 0.24 * (strong() - X).sign())
    for minimises in (False, True):
        result, _, codes = run(Library([small, strong()], strong(), minimises=minimises))
        assert codes == []
        breaks = MODEL.net(strong()).argmax(1) != Y
        assert torch.equal(result.x_adv[breaks], strong()[breaks])


def test_a_point_outside_of_the_ball_is_no_success():
    far = (X + 2 * (strong() - X)).clamp(0, 1)
    _, verdict, codes = run(Library([far], X))
    assert (count(verdict), codes) == (0, [])


def test_a_network_that_computes_in_float64_is_overheard_too():
    double = gallery.Through(gallery.sound().double(), lambda z: z.float(), lambda x: x.double())
    model = Model(name="double", net=double, classes=4)
    result, verdict, codes = run(Library([strong(), X], X), model=model)
    assert result.x_adv.dtype == torch.float32
    assert (count(verdict), codes) == (BREAKS, ["silent-success"])


def test_when_a_library_met_a_point_is_not_known_where_some_were_let_pass():
    ledger = run(Library([X, X[:7], strong(), X], X))[0].ledger
    assert int(ledger.silent.sum()) == BREAKS
    for column in (ledger.points, ledger.first_success, ledger.first_passes):
        assert not column.any()


def test_questions_about_a_part_of_the_batch_are_let_pass():
    result, verdict, codes = run(Library([strong()[:7]], X))
    assert (count(verdict), codes, int(result.ledger.silent.sum())) == (0, [], 0)


def test_a_library_that_climbs_is_followed_and_one_that_minimises_is_not():
    path = [X + share * (strong() - X) for share in (0.0, 0.1, 0.2, 0.3)]
    result, _, codes = run(Library(path, X, gradient=True))
    assert (result.ledger.gradients == 4).all()
    assert "not-converged" in codes
    long_path = [*path, *[path[-1]] * 20]
    assert run(Library(long_path, path[-1], gradient=True))[2] == []
    assert run(Library(path, path[-1], gradient=True, minimises=True))[2] == []


@pytest.mark.thorough
def test_gradients_that_are_zero_or_no_number_are_overheard():
    # Else a library's attack that got nowhere would lift what one of our own met.
    for function, code in ((torch.round, "zero-gradient"), (not_a_number_back, "nonfinite")):
        network = Model(name="masked", net=gallery.Through(gallery.sound(), function), classes=4)
        for size in (250, 10):
            result, _, codes = run(Library([X, X], X, gradient=True), model=network, batch_size=size)
            assert result.ledger.gradients.tolist() == [2] * 40
            assert codes == [code]


def not_a_number_back(z):
    return z + 0 * (z - z.detach()).abs().sqrt()  # the root's slope at 0 is infinite


def test_the_loss_that_is_followed_is_the_cross_entropy_of_each_images_own_label():
    result, _, _ = run(Library([X, strong()], X, gradient=True), batch_size=10)
    rise = cross_entropy(MODEL.net(strong()), Y, MODEL.output) - cross_entropy(MODEL.net(X), Y, MODEL.output)
    assert torch.allclose(result.ledger.rise.float(), rise, atol=1e-5)


def test_a_targeted_goal_is_overheard_as_such():
    threat = ThreatModel(eps=0.25, goal=Goal.TARGETED)
    goal = (Y + 1) % 4
    oracle = Oracle(MODEL, X, goal, threat)
    towards = threat.project(X, X + 0.25 * oracle.gradient(cross_entropy, X).sign())
    hit = MODEL.net(towards).argmax(1) == goal
    result, _, _ = run(Library([towards], X), threat=threat)
    assert hit.any()
    assert torch.equal(result.ledger.silent, hit)


def test_a_joint_batch_is_proposed_whole():
    model = joint(MODEL)
    oracle = Oracle(model, X, Y, THREAT)
    library = Library([strong()], X)
    last = library(oracle, Randomness(0, DATA.indices))
    proposal = oracle.proposal(last)
    assert torch.equal(proposal, strong())
    assert torch.equal(oracle.ledger.silent, oracle.broken)
