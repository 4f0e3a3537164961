"""The published C&W against the same procedure written with really shared memory, step by step in place."""

import math

import pytest
import torch

from attacks.wnll.wnll_published_cw import WNLLPublishedCW, targets
from robench.attack.craft import check_attack
from robench.attack.norms import L1, L2
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError
from robench.judge.verdict import judge, with_count_as_proposed
from robench.model.interface import Memory
from robench.randomness import Randomness
from robench.recipe import build
from robench.run.craft_and_judge import craft_unit, judge_unit
from robench.run.crafting import Board, Crafting
from robench.run.evaluated_model import EvaluatedModel
from robench.run.jobs import crafting_job
from robench.run.settings import Settings
from robench.run.shards import Shard
from tests.attacks.wnll.graph_toys import TEST, X, Y, network, published, wnll
from tests.truths import attacked, classify, images, small_net

STEPS, RATE = 12, 0.02
ATTACK = WNLLPublishedCW(steps=STEPS, learning_rate=RATE)
ANYWHERE = ThreatModel(norm=L2, eps=math.inf)


def run(attack, model, x=X, y=Y, threat=ANYWHERE):
    return attacked(attack, model, x, y, threat=threat, norm=L2, eps=math.inf)


def by_the_letter(model, x, *, steps, rate, scale, in_place):
    """Template and test images as one tensor, written in place by the optimiser."""
    around = model.neighbourhood
    memory = around.memory()
    count = len(memory.labels)
    whole = torch.cat([memory.images, x])
    variable = torch.nn.Parameter(whole.detach() if in_place else whole.clone())
    assert (variable.data_ptr() == whole.data_ptr()) is in_place
    first, second = torch.zeros_like(whole), torch.zeros_like(whole)

    def scores(pixels):
        z = around.features(pixels)
        u = around.classify(z[count:].detach(), z[:count].detach())
        return around.linear(z[count:]), u

    with torch.no_grad():
        answers = scores(whole)[1].argmax(1)
    rows = torch.cat([memory.labels, answers])
    least, best = math.inf, whole.clone()
    for step in range(1, steps + 1):
        logits, u = scores(variable)
        total = (variable - whole).pow(2).sum()
        surrogate = u + logits - logits.detach()
        for k in range(len(x)):
            total = total + 10 * torch.clamp(surrogate[k, answers[k]] - surrogate[k, rows[k]], min=0)
        (slope,) = torch.autograd.grad(total, variable)
        first.mul_(0.9).add_(slope, alpha=0.1)
        second.mul_(0.999).addcmul_(slope, slope, value=0.001)
        size = rate * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        variable.data.addcdiv_(first, second.sqrt().add_(1e-8), value=-size)
        if float(total.detach()) < least:
            least, best = float(total.detach()), variable.data.clone()
    return (whole + scale * (best - whole))[count:]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("scale", [0.01, 1.0, 0.4])
@pytest.mark.parametrize("head", [wnll, published], ids=["paper", "published"])
def test_it_is_the_procedure_by_the_letter(head, scale, shared):
    model = head("joint") if head is wnll else head()
    attack = WNLLPublishedCW(steps=STEPS, learning_rate=RATE, shared_memory=shared, noise_scale=scale)
    ours, _, _ = run(attack, model)
    want = by_the_letter(model, X, steps=STEPS, rate=RATE, scale=scale, in_place=shared)
    torch.testing.assert_close(ours, want, rtol=0, atol=1e-4)
    assert float((ours - X).abs().max()) > 0.01 * scale


def test_targets_are_the_classes_of_the_first_rows():
    model = wnll("joint")
    labels = model.neighbourhood.memory().labels
    rng = Randomness(0, torch.arange(70), ())
    answers = torch.full((70,), 3)
    assert torch.equal(targets(model, answers[:20], rng), labels[:20])
    assert torch.equal(targets(model, answers, rng), torch.cat([labels, answers[:10]]))
    free = targets(small_net(classes=4), answers, rng)
    assert set(free.tolist()) == {0, 1, 2, 3}


def test_an_image_that_gets_its_own_class_is_never_moved():
    model = wnll("joint")
    own = classify(model, X) == model.neighbourhood.memory().labels[: len(X)]
    assert 0 < int(own.sum()) < len(X)
    x_adv, oracle, _ = run(ATTACK, model)
    assert torch.equal((x_adv != X).flatten(1).any(1), ~own)
    assert (oracle.ledger.zero_gradient[own] == STEPS).all()  # a finding, should they survive


def test_it_leaves_the_box_and_the_judge_projects_and_says_so():
    model = wnll("joint")
    y = classify(model, X)
    x_adv, _, _ = run(ATTACK, model, y=y)
    assert float(x_adv.min()) < 0
    assert float(x_adv.max()) > 1
    honest = judge(model, X, y, x_adv, threat=ANYWHERE)
    (finding,) = [finding for finding in honest.findings if finding.code == "inadmissible"]
    assert f"pixels {float(x_adv.min()):.6g} to {float(x_adv.max()):.6g}" in finding.evidence
    answers = classify(model, x_adv.clamp(0, 1))
    assert honest.adversarial.tolist() == answers.tolist()
    both = with_count_as_proposed(honest, model, y, batch_size=250)
    right, rightly = int((classify(model, x_adv) == y).sum()), int((answers == y).sum())
    assert right != rightly  # else the text could have them mixed up
    (finding,) = [finding for finding in both.findings if finding.code == "inadmissible"]
    count = f"as proposed {right} of {len(X)} would be classified correctly, as projected {rightly}"
    assert finding.evidence.endswith(count)
    assert both.status == honest.status


@pytest.mark.thorough
def test_a_run_says_how_many_fell_as_published():
    model = wnll("joint")
    with pytest.raises(ConfigError, match="L1"):
        check_attack(ATTACK, ThreatModel(norm=L1, eps=1.0))
    shard = next(Shard.split(TEST.subset(slice(0, 20)), 20))
    entry = EvaluatedModel(model=model, fingerprint="f")
    board = Board(threat=ANYWHERE, eps_text="inf", attacks={"cw": ATTACK})
    crafting = Crafting.of(board, "cw", entry, "published")
    job = crafting_job(crafting, shard, Settings())
    record = judge_unit(job.white_box, craft_unit(crafting, shard, Settings()), Settings())
    codes = {finding.code: finding.evidence for finding in record.findings}
    assert "as proposed" in codes["inadmissible"]


def test_every_pass_is_booked():
    _, oracle, _ = run(ATTACK, wnll("joint"))
    assert set(oracle.ledger.forwards.tolist()) == {STEPS + 1}
    assert set(oracle.ledger.backwards.tolist()) == {STEPS}


def test_the_model_is_untouched_and_the_same_bits_come_again():
    model = published()
    before, outputs = model.neighbourhood.memory(), model.net(X)
    assert isinstance(before, Memory)
    one, _, _ = run(ATTACK, model)
    assert torch.equal(model.net(X), outputs)
    assert torch.equal(model.neighbourhood.memory().images, before.images)
    assert torch.equal(run(ATTACK, model)[0], one)


def test_a_linear_head_is_driven_to_random_classes():
    model, x = small_net(seed=1), images(30)
    y = classify(model, x)
    x_adv, _, _ = run(ATTACK, model, x, y)
    assert (classify(model, x_adv.clamp(0, 1)) != y).any()


def test_what_it_cannot_attack_is_refused():
    with pytest.raises(ConfigError, match="linear branch"):
        run(ATTACK, wnll("joint", net=network(raw=True)))
    with pytest.raises(ConfigError, match="untargeted"):
        run(ATTACK, wnll("joint"), threat=ThreatModel(norm=L2, eps=math.inf, goal=Goal.TARGETED))
    for options in ({"steps": 0}, {"learning_rate": 0.0}, {"c": 0.0}, {"kappa": -1.0}, {"noise_scale": -1.0}):
        with pytest.raises(ConfigError):
            build(WNLLPublishedCW, options, where="test.yaml:1")
