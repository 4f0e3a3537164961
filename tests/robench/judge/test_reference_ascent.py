"""Ten plain steps of PGD after an attack that nobody watched: what it left wrongly is told."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch.nn.functional import cross_entropy

import robench
from attacks.gradient.fgsm import FGSM
from attacks.gradient.pgd import PGD
from attacks.query.square import Square
from robench import benchmark, image_set, make_attack
from robench.attack.losses import cross_entropy as own_cross_entropy
from robench.attack.protocol import AttackInfo
from tests.robench.model.test_rough_gradient import Featured
from tests.truths import classify, images, joint, small_net

MODEL = small_net(seed=1)
X = images(120)
Y = classify(MODEL, X)
DATA = image_set(X, Y, classes=4)
EPS = 0.1
CODE = "weaker-than-pgd"


def signs(model, x, y, eps, *, steps=20, sign=1.0):
    """PGD as a user writes it."""
    point = x.clone()
    for _ in range(steps):
        point = point.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(cross_entropy(model(point), y, reduction="sum"), point)
        point = point.detach() + sign * eps / 4 * gradient.sign()
        point = point.clamp(x - eps, x + eps).clamp(0, 1)
    return point.detach()


def forgetful(model, x, y, eps):
    """Asks for gradients and goes nowhere."""
    for _ in range(10):
        point = x.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(cross_entropy(model(point), y, reduction="sum"), point)
        _ = point.detach() + eps * gradient.sign()
    return point.detach()


def tiny(model, x, y, eps):
    """Divides the radius by 255 once more."""
    return signs(model, x, y, eps / 255)


def downhill(model, x, y, eps):
    """Has the sign wrong."""
    return signs(model, x, y, eps, sign=-1.0)


def findings(attack, model=MODEL, data=DATA, **options):
    """Return the codes that an attack alone brings, and whether its row has a rank."""
    result = benchmark({"net": model}, data, attacks={"a": attack}, **{"eps": EPS, **options})
    codes = {f.code for r in result.records if not r.attack.is_clean for f in r.findings}
    return codes, result.leaderboard()["rank"].notna().any()


@pytest.mark.parametrize("attack", [forgetful, tiny, downhill])
def test_an_own_attack_that_leads_nowhere_puts_its_row_in_doubt(attack):
    codes, has_rank = findings(attack)
    assert CODE in codes
    assert not has_rank


def test_an_own_attack_that_is_one_does_not():
    codes, has_rank = findings(signs)
    assert CODE not in codes
    assert has_rank


WEAK = [
    Square(queries=20),
    make_attack("spsa", steps=1, samples=2),
    make_attack("torchattacks/NIFGSM", alpha=1e-5),
]


@pytest.mark.parametrize("attack", WEAK)
def test_so_does_a_sound_attack_with_weak_options(attack):
    codes, has_rank = findings(attack)
    assert CODE in codes
    assert not has_rank


@dataclass(frozen=True, kw_only=True)
class Shy:
    """A plugin of somebody's package, which climbs a ball of its own and is seen doing so."""

    info: ClassVar[AttackInfo] = replace(PGD.info, identity="", title="Shy")

    def __call__(self, oracle, rng):
        point = oracle.x
        for _ in range(20):
            step = oracle.gradient(own_cross_entropy, point).sign()
            point = (point + 1e-4 * step).clamp(oracle.x - 4e-4, oracle.x + 4e-4).clamp(0, 1)
        return point


def test_a_class_of_somebody_else_is_not_trusted_for_what_it_climbs():
    codes, has_rank = findings(Shy())
    assert CODE in codes
    assert not has_rank


def test_a_proper_attack_beside_it_lifts_the_doubt():
    result = benchmark({"net": MODEL}, DATA, attacks={"own": forgetful, "pgd": PGD()}, eps=EPS)
    codes = {f.code for r in result.records if not r.attack.is_clean for f in r.findings}
    assert CODE in codes
    (line,) = result.leaderboard().to_dict("records")
    assert line["rank"] == 1
    assert CODE in line["lifted_findings"].split()


@pytest.mark.parametrize(
    ("attack", "options"),
    [
        (PGD(steps=1, step_size=1e-4), {}),  # watched: `not-converged` is its business
        (FGSM(), {}),  # one gradient: `weak-attacks-only` is
        (forgetful, {"eps": 1e-5}),  # nothing falls to anybody
        (Square(queries=20), {"knowledge": []}),  # this attacker has no gradient
        (Square(queries=15), {"budget": 15}),  # nor so many passes
    ],
)
def test_it_is_not_asked_where_it_proves_nothing(attack, options):
    assert CODE not in findings(attack, **options)[0]


def test_a_joint_graph_is_climbed_as_one_batch():
    model = joint(small_net(seed=1))
    assert CODE in findings(tiny, model, data=image_set(X, classify(model, X), classes=4))[0]


def test_a_network_without_a_gradient_is_left_alone():
    model = robench.wrap(lambda x: MODEL.net(x).detach(), name="net", classes=4)
    assert CODE not in findings(forgetful, model)[0]


def test_the_network_and_chance_are_as_before():
    torch.manual_seed(7)
    before, weights = torch.get_rng_state(), [p.clone() for p in MODEL.net.parameters()]
    findings(tiny)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(old, new) for old, new in zip(weights, MODEL.net.parameters(), strict=True))


def test_robench_attack_tells_it():
    outcome = robench.attack(MODEL.net, X, Y, forgetful, eps=EPS)
    assert CODE in str(outcome.findings)


def test_an_attacker_who_does_not_see_the_template_is_not_held_to_one_who_does():
    net, x = Featured().eval(), torch.rand(120, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    heads = [
        robench.wnll_head(
            net,
            image_set(x[at : at + 20], torch.arange(20) % 4, classes=4, split="train"),
            name="g",
            m=5,
            n=3,
        )
        for at in (0, 20)
    ]
    data = image_set(x, classify(heads[0], x), classes=4)
    options = {"model": heads[0], "data": data, "eps": 0.3, "sources": {"net": ["straight_through"]}}
    secret = {"knowledge": ["weights", "randomness"], "stand_ins": {"net": heads[1]}}
    weak = make_attack("spsa", steps=1, samples=2)
    for attack in (tiny, weak):
        assert CODE in findings(attack, **options)[0]
        assert CODE not in findings(attack, **options, **secret)[0]
