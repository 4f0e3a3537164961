"""Attacks that do what they must not, on a network with modes, buffers and dropout: what counts is right."""

import hashlib
import random
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from reports.board.leaderboard import boards
from robench.api import benchmark, make_attack
from robench.attack.losses import cross_entropy
from robench.attack.protocol import AttackInfo
from robench.data.images import image_set
from robench.errors import InputError
from robench.model.interface import Model
from robench.model.tested_network import networks_under_test

EPS = 0.1
N = 12


class Moody(nn.Module):
    """Convolution, batch norm and dropout, in training mode but for one part."""

    def __init__(self, classes=3, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
            self.drop, self.last = nn.Dropout(0.5), nn.Linear(64, classes)
        self.train()
        self.norm.eval()

    def forward(self, x):
        return self.last(self.drop(torch.tanh(self.norm(self.conv(x))).flatten(1)))


def model(net=None):
    return Model(name="net", net=net or Moody(), classes=3)


def data(n=N, *, wrong=0):
    """Images that the network gets right, but for the first few."""
    x = torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = Moody().eval()(x).argmax(dim=1)
    y[:wrong] = (y[:wrong] + 1) % 3
    return image_set(x, y, classes=3)


def state(net):
    """Every parameter and buffer in one hash, every mode and every gradient flag."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict(keep_vars=True).items()):
        digest.update(name.encode() + tensor.detach().numpy().tobytes())
    flags = [(p.requires_grad, p.grad is None) for p in net.parameters()]
    return digest.hexdigest(), [part.training for part in net.modules()], flags


def generators():
    return torch.get_rng_state().tolist(), str(np.random.get_state()), str(random.getstate())


def run(attack, net=None, *, images=None, **options):
    values = {"eps": EPS, "seed": 3, **options}
    return benchmark([model(net)], images or data(), attacks={"one": attack}, **values)


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A sign step; derived classes spoil something."""

    info: ClassVar[AttackInfo] = AttackInfo(title="one", paper="", norms=("Linf",))

    def __call__(self, oracle, rng):
        return self.spoiled(oracle, self.step(oracle))

    def step(self, oracle):
        x = oracle.x
        gradient = oracle.gradient(cross_entropy, x)
        return oracle.threat.project(x, x + oracle.threat.eps * gradient.sign())

    def spoiled(self, oracle, point):
        return point


class TrainsAndRaises(Attack):
    """Switches to training, lets batch norm and weights drift, and raises half-way."""

    def spoiled(self, oracle, point):
        oracle.model.net.train()
        oracle.model.net(oracle.x)
        with torch.no_grad():
            for part in networks_under_test(oracle.model.net):
                for parameter in part.parameters():
                    parameter.add_(1.0)
                    parameter.requires_grad_(False)
        torch.manual_seed(99)
        raise RuntimeError("half-way")


class TrainsOnly(Attack):
    """Leaves the network in training mode."""

    def spoiled(self, oracle, point):
        oracle.model.net.train()
        return point


class WritesWeights(Attack):
    """Makes the network wrong about everything."""

    def spoiled(self, oracle, point):
        with torch.no_grad():
            for parameter in oracle.model.net.parameters():
                parameter.zero_()
        return point


class WritesImages(Attack):
    """Moves the clean images instead of the adversarial ones."""

    def spoiled(self, oracle, point):
        oracle.x.copy_(point)
        return oracle.x


class WritesLabels(Attack):
    """Calls every image another class."""

    def spoiled(self, oracle, point):
        oracle.y.add_(1).remainder_(3)
        return point


@pytest.mark.parametrize("attack", [Attack(), TrainsAndRaises(), TrainsOnly(), WritesWeights()])
@pytest.mark.parametrize("engine", ["auto", "eager"])
def test_the_network_and_all_generators_are_as_before(attack, engine):
    net = Moody()
    before, chance = state(net), generators()
    run(attack, net, engine=engine)
    assert state(net) == before
    assert generators() == chance


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (TrainsAndRaises(), "half-way"),
        (WritesWeights(), "changed"),
        (WritesImages(), "changed in place"),
        (WritesLabels(), "changed in place"),
    ],
)
def test_it_fails_alone_and_the_next_attack_is_not_harmed(attack, reason):
    options = {"eps": EPS, "seed": 3}
    alone = benchmark([model()], data(), attacks={"sound": Attack()}, **options)
    both = benchmark([model()], data(), attacks={"bad": attack, "sound": Attack()}, **options)
    (failure,) = both.failures
    assert reason in failure
    assert failure.startswith("bad on net")
    sound = [next(r for r in outcome.records if r.attack.label == "sound") for outcome in (alone, both)]
    assert sound[0].columns == sound[1].columns


class Outside(Attack):
    """Leaves the ball and the box."""

    def spoiled(self, oracle, point):
        return point + 3 * (point - oracle.x)


class Double(Attack):
    """Returns float64."""

    def spoiled(self, oracle, point):
        return point.double()


class NoNumbers(Attack):
    """Returns NaN for the first half."""

    def spoiled(self, oracle, point):
        half = torch.arange(len(point)).view(-1, 1, 1, 1) < len(point) // 2
        return point.masked_fill(half, torch.nan)


class OnlyNaN(Attack):
    """Asks nothing and returns NaN."""

    def __call__(self, oracle, rng):
        return torch.full_like(oracle.x, torch.nan)


class Forgets(Attack):
    """Met the best point on the way and ends at the clean image."""

    def spoiled(self, oracle, point):
        oracle.outputs(point)
        return oracle.x.clone()


class Claims(Attack):
    """Says that it broke everything, and returns the clean images."""

    def __call__(self, oracle, rng):
        oracle.best_points.broken[:] = True
        oracle.reached[:] = True
        return oracle.x.clone()


def only(outcome):
    assert outcome.failures == ()
    return outcome.records[1]


def test_a_proposal_outside_is_judged_where_it_lands():
    sound, record = only(run(Attack())), only(run(Outside()))
    assert [finding.code for finding in record.findings] == ["inadmissible"]
    assert max(record.columns.linf) <= EPS * (1 + 1e-6)
    assert record.columns.status == sound.columns.status


def test_another_type_is_judged_as_the_images_are():
    sound, record = only(run(Attack())), only(run(Double()))
    assert record.columns == sound.columns
    assert record.findings == sound.findings


@pytest.mark.thorough
def test_no_number_is_the_clean_image():
    sound, record = only(run(Attack())), only(run(NoNumbers()))
    assert "nonfinite-proposal" in {finding.code for finding in record.findings}
    half = N // 2
    assert record.columns.status[half:] == sound.columns.status[half:]
    assert (
        record.columns.status[:half] == ["robust"] * half
    )  # it had asked about nothing but the clean images
    quiet = only(run(OnlyNaN()))
    assert quiet.columns.status == ["robust"] * N
    assert quiet.columns.linf == [0.0] * N


@pytest.mark.thorough
def test_a_better_point_on_the_way_counts():
    sound, record = only(run(Attack())), only(run(Forgets()))
    assert "broken" in sound.columns.status
    assert record.columns.status == sound.columns.status


def test_a_claim_of_success_changes_no_verdict():
    record = only(run(Claims()))
    assert set(record.columns.status) == {"robust"}


@pytest.mark.parametrize("shape", [(N, 1, 6, 7), (N - 1, 1, 6, 6), (N, 36)])
def test_another_shape_fails_the_job(shape):
    class Shaped(Attack):
        """Returns another shape."""

        def spoiled(self, oracle, point):
            return torch.zeros(shape)

    (failure,) = run(Shaped()).failures
    assert f"expected images of shape ({N}, 1, 6, 6), got {shape}" in failure


class Overflows(nn.Module):
    """A network whose score or gradient is no number near the images it is asked about."""

    def __init__(self, *, forward):
        super().__init__()
        self.net, self.forward_too = Moody().eval(), forward

    def forward(self, x):
        outputs = self.net(x)
        start = data().batch(slice(None))[0]
        is_away = torch.stack([(start - one).abs().amax(dim=(1, 2, 3)).min() > 1e-3 for one in x.detach()])
        if self.forward_too:
            return outputs.masked_fill(is_away[:, None], torch.nan)
        # The square root of zero: the value is right, its derivative is not finite.
        root = torch.sqrt((x * 0).flatten(1).sum(dim=1, keepdim=True))
        return torch.cat([outputs[:, :1] + root, outputs[:, 1:]], dim=1)


@pytest.mark.thorough
@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("name", ["pgd", "apgd", "fgsm"])
def test_no_number_during_an_attack_is_told_and_is_no_robustness(forward, name):
    options = {} if name == "fgsm" else {"steps": 5}
    outcome = run(make_attack(name, **options), Overflows(forward=forward))
    record = only(outcome)
    codes = {finding.code for finding in record.findings}
    if forward:
        assert set(record.columns.status) == {"failed"}
        assert "nonfinite-output" in codes
    else:
        assert "nonfinite" in codes
        assert all(np.isfinite(record.columns.linf))


class Drawing(Moody):
    """The same with noise from a global generator, which nobody has declared."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def forward(self, x):
        return super().forward(x) + self.draw((len(x), 3))


DRAWS = {
    "none": torch.zeros,
    "torch": torch.randn,
    "numpy": lambda shape: torch.as_tensor(np.random.standard_normal(shape), dtype=torch.float32),
    "python": lambda shape: torch.tensor([[random.gauss(0, 1)] * shape[1]] * shape[0]) * torch.arange(3.0),
}


@pytest.mark.thorough
@pytest.mark.parametrize("draw", DRAWS)
def test_the_same_call_gives_the_same_bits_whatever_was_drawn_before(draw):
    attacks = {
        "pgd": make_attack("pgd", steps=3),
        "square": make_attack("square", queries=10),
        "cw": make_attack("cw", steps=3),
    }
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        chance = generators()
        models = [model(Drawing(DRAWS[draw]))]
        options = {"norm": "L2", "eps": 1.0, "seed": 3}
        results.append(benchmark(models, data(), attacks=attacks, **options).records)
        assert generators() == chance
    assert len(results[0]) == 4
    for one, two in zip(*results, strict=True):
        assert one.columns == two.columns
        assert one.findings == two.findings
        assert one.provenance.images_sha256 == two.provenance.images_sha256


def test_no_image_is_refused_and_one_is_judged():
    with pytest.raises(InputError, match="at least one image, got none"):
        image_set(torch.zeros(0, 1, 6, 6), torch.zeros(0, dtype=torch.int64), classes=3)
    outcome = run(make_attack("pgd", steps=2), images=data(1))
    assert all(len(record.columns.status) == 1 for record in outcome.records)
    (board,) = boards(outcome.records)
    for share in (board.rows[0].clean, board.rows[0].worst_case):
        assert 0 <= share.low < share.high <= 1
        assert "too-few-images" in {doubt.code for doubt in board.doubts}


@pytest.mark.parametrize(("wrong", "robust"), [(N, 0), (0, N)])
def test_all_lost_and_all_kept_have_an_interval_that_says_how_little_is_known(wrong, robust):
    (board,) = boards(run(make_attack("pgd", steps=1), images=data(wrong=wrong), eps=1e-6).records)
    share = board.rows[0].worst_case
    assert share.value == robust / N
    # Wilson's interval at 0 and at n of n: z^2 / (n + z^2) wide.
    z = 1.959963984540054
    wide = z**2 / (N + z**2)
    ends = (0, wide) if robust == 0 else (1 - wide, 1)
    assert (share.low, share.high) == pytest.approx(ends, abs=1e-9)


def test_what_was_wrong_before_is_neither_robust_nor_broken():
    for attack in (Attack(), Claims(), make_attack("pgd", steps=3)):
        record = only(run(attack, images=data(wrong=4)))
        assert record.columns.status[:4] == ["misclassified"] * 4
        assert "misclassified" not in record.columns.status[4:]
