"""One model's network, or one attack's misdeeds, never change another number."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from attacks.gradient.fgsm import FGSM
from attacks.gradient.pgd import PGD
from attacks.minimal.deepfool import DeepFool
from attacks.minimal.fmn import FMN
from reports.board.leaderboard import boards
from robench import benchmark, make_attack, wrap
from robench.attack.protocol import AttackInfo
from robench.model.prepared import AS_IT_IS
from tests.robench.judge.gallery import Sound, data

DATA = data(120)


def learnt(seed=0):
    """The sound network of the gallery, trained for a moment."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Sound()
    x, y = DATA.batch(slice(None))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return net.eval()


class WritesInput(nn.Module):
    def __init__(self, net, way):
        super().__init__()
        self.net, self.way = net, way

    def forward(self, x):
        with torch.no_grad():
            {"round": x.round_, "zero": x.zero_, "normalise": lambda: x.sub_(0.5).div_(0.25)}[self.way]()
        return self.net(x)


class SwitchesState(nn.Module):
    """Switches state of the whole process in every pass."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        outputs = self.net(x)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(0)
        return outputs


ATTACKS = {"fgsm": FGSM(), "pgd": PGD(steps=5), "deepfool": DeepFool(steps=5)}


def verdicts(results, name):
    return {
        (r.source.name, r.attack.label): (r.columns.status, r.columns.clean, r.columns.linf)
        for r in results.records
        if r.target.name == name and r.source.name in ("", name)
    }


@pytest.mark.thorough
@pytest.mark.parametrize("way", ["round", "zero", "normalise", "state"])
def test_a_row_is_the_same_whoever_stands_before_it(way):
    sound = learnt()
    first = SwitchesState(learnt(1)) if way == "state" else WritesInput(learnt(1), way)
    states = torch.is_grad_enabled(), torch.get_default_dtype(), torch.random.get_rng_state()
    options = {"attacks": ATTACKS, "eps": 0.1, "transfer": False}
    both = benchmark([wrap(first, name="a", classes=4), wrap(sound, name="b", classes=4)], DATA, **options)
    alone = benchmark([wrap(sound, name="b", classes=4)], DATA, **options)
    assert verdicts(both, "b") == verdicts(alone, "b")
    assert len(verdicts(both, "b")) == 4
    codes = {f.code for r in both.records if r.target.name == "a" for f in r.findings}
    assert ("changes-input" in codes) == (way != "state")
    assert "random-output" not in codes
    assert states[:2] == (torch.is_grad_enabled(), torch.get_default_dtype())
    assert torch.equal(states[2], torch.random.get_rng_state())


@dataclass(frozen=True, slots=True, kw_only=True)
class Tampers:
    """Changes what it was lent."""

    info: ClassVar[AttackInfo] = AttackInfo(title="tampers", paper="none", norms=("Linf",))
    way: str = "weights"

    def __call__(self, oracle, x, y, *, threat, rng):
        net = oracle.model.net
        if self.way == "weights":
            net.get_parameter("body.1.weight").data.zero_()
        elif self.way == "replaced":
            net.body[1] = nn.Linear(16, 32)
        elif self.way == "storage":
            parameter = net.get_parameter("body.1.weight")
            parameter.data = torch.zeros(32, 16)
        else:
            net.train()
            for parameter in net.parameters():
                parameter.grad = torch.ones_like(parameter)
                parameter.requires_grad_(True)
        return x


@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("way", ["weights", "replaced", "storage"])
def test_an_attack_that_changes_weights_fails_and_the_next_is_right(way, engine):
    net = learnt()
    model, plain = wrap(net, name="m", classes=4), {"pgd": PGD(steps=5)}
    before = {k: v.clone() for k, v in net.state_dict().items()}
    results = benchmark([model], DATA, attacks={"bad": Tampers(way=way), **plain}, eps=0.1, engine=engine)
    alone = benchmark([model], DATA, attacks=plain, eps=0.1, engine=engine)
    assert len(results.failures) == 1
    assert "leaves the network as it is" in results.failures[0]
    assert verdicts(results, "m") == verdicts(alone, "m")
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    (board,) = boards(results.records)
    (row,) = board.rows
    assert row.rank is None
    assert "failed-jobs" in row.unlifted


def test_modes_flags_and_gradients_an_attack_leaves_are_undone():
    net = learnt().train()
    net.body[1].weight.grad = torch.full_like(net.body[1].weight, 2.0)
    for parameter in net.body[3].parameters():
        parameter.requires_grad_(False)
    gradient = net.body[1].weight.grad
    results = benchmark(
        [wrap(net, name="m", classes=4)], DATA, attacks={"bad": Tampers(way="flags")}, eps=0.1, engine="eager"
    )
    assert not results.failures
    assert net.training
    assert net.body[1].weight.grad is gradient
    assert bool((gradient == 2).all())
    assert [p.requires_grad for p in net.parameters()] == [True, True, False, False]
    assert net.body[3].weight.grad is None


@pytest.mark.thorough
@pytest.mark.parametrize("attack", [FMN(steps=20), DeepFool(steps=10)])
def test_lowered_products_lose_no_image(attack):
    """On processors that have bfloat16 units, `medium` computes products of matrices in bfloat16."""
    model = wrap(learnt(), name="m", classes=4)

    def run():
        results = benchmark([model], DATA, attacks={"a": attack}, norm="L2", eps=float("inf"))
        return verdicts(results, "m"), {f.code for r in results.records for f in r.findings}

    expected = run()
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        in_low_precision = run()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert in_low_precision == expected
    assert "unconfirmed" not in expected[1]


def test_who_asks_for_it_gets_the_precision_that_is_set():
    settings = set()

    class Looks(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            settings.add(torch.get_float32_matmul_precision())
            return self.net(x)

    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        fingerprints = {}
        for precision, expected in (("float32", "highest"), ("as_set", "high")):
            model = wrap(Looks(learnt()), name="m", classes=4, precision=precision)
            fingerprints[precision] = model.fingerprint()
            settings.clear()
            assert not benchmark([model], DATA, attacks={"f": FGSM()}, eps=0.1).failures
            assert settings == {expected}
        assert fingerprints["float32"] != fingerprints["as_set"]
    finally:
        torch.set_float32_matmul_precision(before)


def test_the_record_says_what_was_asked():
    for engine in ("auto", "eager"):
        results = benchmark(
            [wrap(learnt(), name="m", classes=4)], DATA, attacks={"f": FGSM()}, eps=0.1, engine=engine
        )
        (record,) = [r for r in results.records if r.attack.label == "f"]
        assert (record.provenance.engine.used == AS_IT_IS) is (engine == "eager")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_libraries_attack_networks_of_other_types(dtype):
    """They cast images to the type of the weights they find; what they are given is float32."""
    attacks = {name: make_attack(name, steps=3) for name in ("art/pgd", "torchattacks/pgd")}
    net = learnt().to(dtype)
    results = benchmark([wrap(net, name="m", classes=4)], DATA, attacks=attacks, eps=0.2)
    assert not results.failures
    for name in attacks:
        statuses, _, sizes = verdicts(results, "m")["m", name]
        assert "broken" in statuses
        assert max(sizes) <= 0.2 + 1e-6
