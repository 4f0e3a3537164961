"""The published evaluation, piece by piece: each thing it does differently, and that it leaves no trace."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from attacks.gradient.ifgsm import IFGSM
from attacks.wnll.published_protocol import PublishedLoss, own_rows, training_rows
from attacks.wnll.wnll_published import WNLLPublished, WNLLPublishedTraining
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError
from robench.model.interface import OutputKind
from robench.recipe import build
from tests.attacks.wnll.graph_toys import X, Y, network, published, wnll
from tests.truths import attacked, broken, classify, images, small_net

EPS, STEPS, STEP = 0.05, 4, 0.02
PUBLISHED = WNLLPublished(steps=STEPS, step_size=STEP)
HONEST = replace(PUBLISHED, loss="minus_log_u", perturb_template=False)
TRAINING = WNLLPublishedTraining(steps=STEPS, step_size=STEP)


def watched(model):
    """The same model, and the template features it is asked to classify with, one entry a graph."""
    templates = []

    def classify_and_note(z, template):
        templates.append(template)
        return model.net.classify(z, template)

    return replace(model, neighbourhood=replace(model.neighbourhood, classify=classify_and_note)), templates


@pytest.mark.parametrize("protocol", ["joint", "independent"])
def test_with_the_honest_loss_and_a_still_template_it_is_straight_through(protocol):
    model = wnll(protocol)
    y = classify(model, X)
    ours, oracle, last = attacked(HONEST, model, X, y, eps=EPS)
    plain = IFGSM(steps=STEPS, step_size=STEP)
    _, other, want = attacked(plain, model, X, y, eps=EPS, source=model.source("straight_through"))
    assert torch.equal(last, want)
    assert torch.equal(ours, last)  # the last point counts
    assert oracle.ledger.backwards.tolist() == other.ledger.backwards.tolist()
    for attack in (PUBLISHED, replace(PUBLISHED, perturb_template=False), TRAINING):
        assert not torch.equal(attacked(attack, model, X, y, eps=EPS)[2], want)


def test_the_published_loss_takes_u_for_logits():
    u = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3]], requires_grad=True)
    y, template = torch.tensor([0, 2]), torch.tensor([1, 0, 2])
    loss = PublishedLoss(template, own_rows)
    values = loss(u, y, OutputKind.LOGITS)
    torch.testing.assert_close(values, F.cross_entropy(u, y, reduction="none"))
    (slope,) = torch.autograd.grad(values.sum(), u)
    torch.testing.assert_close(slope, u.softmax(1) - F.one_hot(y, 3))
    one_hot = F.one_hot(template, 3).float()
    torch.testing.assert_close(loss.slope, one_hot.softmax(1) - one_hot)
    honest = loss(u, y, OutputKind.SIMPLEX)
    torch.testing.assert_close(honest, -u[torch.arange(2), y].log())
    torch.testing.assert_close(loss.slope, -one_hot)


def test_training_rows_by_hand():
    scores = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.6, 0.3, 0.1], [0.2, 0.1, 0.7], [0.1, 0.6, 0.3]])
    labels = torch.tensor([0, 1, 2, 2, 0])  # rows 2 and 4 are wrong
    rows, their = training_rows(scores, labels)
    assert their.tolist() == [2, 0, 0, 1, 2]
    torch.testing.assert_close(rows, torch.stack([scores[2], scores[4], *torch.eye(3)]))
    same, whose = own_rows(scores, labels)
    assert same is scores
    assert whose is labels


def test_each_row_s_gradient_goes_into_another_image():
    """Two template rows, three images of which the second is wrong: every row moves one place down."""
    template = torch.tensor([0, 1])
    y = torch.tensor([2, 0, 1])
    u = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1]], requires_grad=True)
    loss = PublishedLoss(template, training_rows)
    values = loss(u, y, OutputKind.LOGITS)
    (slope,) = torch.autograd.grad(values.sum(), u)
    wrong = u[1].detach().softmax(0) - F.one_hot(y[1], 3)

    def sure(label):
        row = F.one_hot(torch.tensor(label), 3).float()
        return row.softmax(0) - row

    torch.testing.assert_close(loss.slope, torch.stack([wrong, sure(0)]))  # the template gets the images' row
    torch.testing.assert_close(
        slope, torch.stack([sure(1), sure(2), sure(1)])
    )  # template 1, image 0, image 2
    assert float(values[0].detach()) == pytest.approx(math.log(math.e + 2) - 1)


def test_the_template_moves_along_inside_its_ball_and_the_first_step_is_the_published_gradient():
    model, templates = watched(wnll("joint"))
    before = model.neighbourhood.memory()
    y = classify(model, X)
    attacked(PUBLISHED, model, X, y, eps=EPS)
    assert len(templates) == STEPS
    torch.testing.assert_close(templates[0], before.points)
    assert all(not torch.allclose(a, b) for a, b in itertools.pairwise(templates))
    around = model.neighbourhood
    leaf = before.images.clone().requires_grad_()
    one_hot = F.one_hot(before.labels, 10).float()
    slope = one_hot.softmax(1) - one_hot
    (gradient,) = torch.autograd.grad(around.linear(around.features(leaf)), leaf, grad_outputs=slope)
    step = (before.images + STEP * gradient.sign()).clamp(0, 1)
    torch.testing.assert_close(templates[1], around.features(step).detach(), rtol=1e-3, atol=1e-4)


def test_the_template_is_clean_again_bit_for_bit():
    for attack in (PUBLISHED, TRAINING):
        model = wnll("joint")
        before, outputs, fingerprint = model.neighbourhood.memory(), model.net(X), model.fingerprint()
        clean = before.images.clone(), before.points.clone()
        attacked(attack, model, X, eps=EPS)
        after = model.neighbourhood.memory()
        for old, new in zip(clean, (after.images, after.points), strict=True):
            assert torch.equal(old, new)
        assert torch.equal(before.images, clean[0])
        assert torch.equal(model.net(X), outputs)
        assert model.fingerprint() == fingerprint


def test_the_last_point_counts_even_where_an_earlier_one_was_better():
    model = wnll("joint")
    y = classify(model, X)
    attack = WNLLPublished(steps=7, step_size=EPS * 2)  # overshoots: every other step comes back
    proposal, oracle, last = attacked(attack, model, X, y, eps=EPS)
    assert torch.equal(proposal, last)
    assert not oracle.broken.any()
    assert oracle.ledger.first_success.tolist() == [0] * len(X)


@pytest.mark.parametrize("attack", [PUBLISHED, TRAINING], ids=lambda a: type(a).__name__)
def test_the_same_bits_again_and_points_inside_the_ball(attack):
    model = published()
    x_adv, oracle, _ = attacked(attack, model, X, Y, eps=EPS)
    again, _, _ = attacked(attack, model, X, Y, eps=EPS)
    assert torch.equal(x_adv, again)
    assert oracle.threat.admits(X, x_adv).all()
    assert not torch.equal(x_adv, X)


def test_template_passes_are_booked_and_a_budget_is_kept():
    model = wnll("joint")  # 60 template images for 24: three passes a step more
    _, oracle, _ = attacked(PUBLISHED, model, X, Y, eps=EPS)
    assert set(oracle.ledger.forwards.tolist()) == set(oracle.ledger.backwards.tolist()) == {4 * STEPS}
    _, oracle, last = attacked(PUBLISHED, model, X, Y, threat=ThreatModel(eps=EPS, budget=17))
    assert int((oracle.ledger.forwards + oracle.ledger.backwards).max()) == 16
    assert not torch.equal(last, X)


def test_a_linear_head_is_attacked_by_plain_ifgsm():
    model, x = small_net(seed=1), images(30)
    y = classify(model, x)
    _, _, last = attacked(PUBLISHED, model, x, y, eps=EPS)
    _, _, want = attacked(IFGSM(steps=STEPS, step_size=STEP), model, x, y, eps=EPS)
    assert torch.equal(last, want)
    assert broken(model, last, y).any()


def test_what_it_cannot_attack_is_refused():
    with pytest.raises(ConfigError, match="linear branch"):
        attacked(PUBLISHED, wnll("joint", net=network(raw=True)), X, Y, eps=EPS)
    with pytest.raises(ConfigError, match="untargeted"):
        attacked(PUBLISHED, wnll("joint"), X, Y, threat=ThreatModel(eps=EPS, goal=Goal.TARGETED))
    with pytest.raises(ConfigError, match="finite radius"):
        attacked(PUBLISHED, wnll("joint"), X, Y, eps=math.inf)
    for options in ({"steps": 0}, {"step_size": 0.0}, {"loss": "log"}):
        with pytest.raises(ConfigError):
            build(WNLLPublished, options, where="test.yaml:1")
    with pytest.raises(ConfigError):
        build(WNLLPublishedTraining, {"steps": 0}, where="test.yaml:1")
