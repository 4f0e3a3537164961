"""A random model's number is that of fresh noise, not of the draw an attack was lucky in."""

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import norm
from torch import nn

from defenses.inference.quilting import Quilting
from defenses.inference.smoothing import Smoothing
from reports.board.leaderboard import boards
from robench.api import benchmark, load_data, make_attack, wrap
from robench.attack.norms import LINF
from robench.attack.protocol import AttackInfo, Knowledge
from robench.attack.threat import ThreatModel
from robench.data.images import image_set
from robench.errors import ConfigError
from robench.model import noise as chance
from robench.model.interface import Model
from robench.model.noise import current_draw, noise_of
from robench.record.schema import Record
from robench.run.crafting import Board
from robench.run.evaluate import evaluate
from robench.run.evaluated_model import EvaluatedModel
from robench.run.keeper import Memory
from robench.run.settings import Settings
from robench.run.work import Work

SIGMA = 0.1


class Notes(list):
    """A list of its own kind: an evaluation puts back what plain ones held."""


class Noisy(nn.Module):
    """Two classes, split by the mean pixel at grey, behind normal noise on every pixel."""

    def __init__(self, sigma=SIGMA, through_torch=False):
        super().__init__()
        self.sigma, self.through_torch = sigma, through_torch
        self.asked = Notes()

    def forward(self, x):
        self.asked.append(current_draw())
        noise = torch.randn_like(x) if self.through_torch else noise_of(x, seed=0, use="toy").normal(x)
        score = (x + self.sigma * noise).flatten(1).mean(dim=1) - 0.5
        return torch.stack([-score, score], dim=1)


@dataclass(frozen=True, kw_only=True)
class Towards:
    """The strongest step against the mean pixel, or many random ones of which the first lucky one is kept."""

    info: ClassVar[AttackInfo] = AttackInfo(
        title="towards", paper="", norms=("Linf",), knowledge=Knowledge.SCORE
    )
    queries: int = 0

    def __call__(self, oracle, x, y, *, threat, rng):
        for _ in range(self.queries):
            oracle.outputs(threat.project(x, x + threat.eps * (2 * rng.uniform(x) - 1)))
        if self.queries:
            return x
        return threat.project(x, x + threat.eps * (1 - 2 * y.view(-1, 1, 1, 1)))


def points(n=600):
    """Images (n, 1, 2, 2) of one grey each, labelled by its side of the middle."""
    grey = torch.linspace(0.3, 0.7, n)
    return image_set(grey.view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous(), (grey > 0.5).long(), classes=2)


def right(data, eps=0.0, sigma=SIGMA):
    """P(right) of every image: the mean of four normal numbers has half their deviation."""
    margin = (data.batch(slice(None))[0].flatten(1).mean(dim=1) - 0.5).abs()
    return norm.cdf((margin.double() - eps).numpy() / (sigma / 2))


def row(models, data, attacks, **options):
    results = benchmark(models, data, attacks=attacks, **{"transfer": False, "eps": 0.02, **options})
    assert not results.failures
    return boards(results.records)[0].rows[0], results.records


def noisy(**options):
    return Model(name="noisy", net=Noisy(**options), classes=2, random=True)


@pytest.mark.thorough
def test_the_headline_is_the_closed_form():
    data = points()
    line, _ = row([noisy()], data, {"towards": Towards()}, draws=20)
    truth, clean = right(data, 0.02).mean(), right(data).mean()
    assert line.clean.value == pytest.approx(clean, abs=0.01)
    assert line.worst_case.value == pytest.approx(truth, abs=0.015)
    assert line.worst_case.low < truth < line.worst_case.high
    assert line.draws == 20


@pytest.mark.thorough
def test_luck_is_not_robustness_lost():
    data = points()
    line, _ = row([noisy()], data, {"ask": Towards(queries=40)}, eps=1e-4)
    truth = right(data).mean()
    assert line.worst_case.value == pytest.approx(truth, abs=0.015)
    assert line.one_draw.value < truth - 0.15  # forty tosses of a coin that only one of had to fall
    assert line.one_draw.n == line.worst_case.n == len(data)


@pytest.mark.thorough
def test_many_points_are_no_attack_either():
    data = points(300)
    attacks = {f"ask {n}": Towards(queries=n) for n in range(1, 9)}
    line, _ = row([noisy()], data, attacks, eps=1e-4)
    assert line.worst_case.value == pytest.approx(right(data).mean(), abs=0.02)


def test_the_judges_draws_are_no_attacks(monkeypatch):
    net = Noisy()
    during = {"craft": set(), "judge": set()}

    @dataclass(frozen=True, kw_only=True)
    class Expect(Towards):
        def __call__(self, oracle, x, y, *, threat, rng):
            draws = oracle.model.net.asked  # of the copy that answers here
            before = len(draws)
            for number in chance.draws(50):
                with chance.draw(number):
                    oracle.outputs(x)
            during["craft"] |= set(draws[before:])
            return x

    row([Model(name="noisy", net=net, classes=2, random=True)], points(20), {"expect": Expect()})
    assert during["craft"] == set(range(1, 51))
    assert {n for n in net.asked if n < 0} == {-1 - j for j in range(10)}


@pytest.mark.thorough
def test_records_of_random_models_round_trip_and_others_stay_what_they_were():
    _, records = row([noisy()], points(30), {"towards": Towards()}, draws=4)
    for record in records:
        assert Record.from_json(record.to_json()) == record
        assert record.draws == 4
    net = Model(name="sure", net=Noisy(sigma=0.0), classes=2)
    _, records = row([net], points(30), {"towards": Towards()}, draws=4)
    for record in records:
        assert "stood" not in json.loads(record.to_json())["columns"]
        assert Record.from_json(record.to_json()) == record


@pytest.mark.thorough
def test_others_are_asked_no_more_and_keep_their_keys():
    passes, keys = [], []
    for draws in (2, 30):
        net = Noisy(sigma=0.0)
        _, records = row([Model(name="sure", net=net, classes=2)], points(30), {"t": Towards()}, draws=draws)
        passes.append(len(net.asked))
        keys.append([record.key for record in records])
    assert passes[0] == passes[1]
    assert keys[0] == keys[1]
    groups = [row([noisy()], points(30), {"t": Towards()}, draws=draws)[1] for draws in (2, 3)]
    assert not {r.key for r in groups[0]} & {r.key for r in groups[1]}


@pytest.mark.thorough
def test_a_network_that_draws_from_the_global_generator_is_found_and_asked_again():
    data = points()
    line, records = row([wrap(Noisy(through_torch=True), name="torch", classes=2)], data, {"t": Towards()})
    assert "random-output" in line.unlifted
    assert line.worst_case.value == pytest.approx(right(data, 0.02).mean(), abs=0.015)
    assert all(record.draws == 10 for record in records)
    again = row([wrap(Noisy(through_torch=True), name="torch", classes=2)], data, {"t": Towards()})[1]
    assert [r.columns.stood for r in again] == [r.columns.stood for r in records]


def test_of_such_a_network_too_another_number_of_draws_is_judged_anew():
    model = wrap(Noisy(through_torch=True), name="torch", classes=2)
    entry = EvaluatedModel(model=model, fingerprint=model.fingerprint())
    board = Board(threat=ThreatModel(norm=LINF, eps=0.02), eps_text="0.02", attacks={"t": Towards()})
    memory = Memory()
    for draws in (3, 5):
        settings = Settings(draws=draws)
        work = Work(models=[entry], data=points(30), boards=[board], settings=settings)
        assert [outcome.record.draws for outcome in evaluate(work, memory)] == [draws, draws]


def test_a_rejected_number_of_draws():
    for draws in (1, 0, True, 2.5):
        with pytest.raises(ConfigError, match="at least 2"):
            benchmark([noisy()], points(10), attacks={}, eps=0.1, draws=draws)


@pytest.fixture(scope="module")
def trained():
    """A small digits network trained with noise, its training data, and 120 test images."""
    data, test = load_data("digits", split="train"), load_data("digits", split="test", limit=120)
    x, y = data.batch(slice(None))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = torch.optim.Adam(net.parameters(), 1e-2)
        for _ in range(150):
            optimizer.zero_grad()
            F.cross_entropy(net(x + 0.25 * torch.randn_like(x)), y).backward()
            optimizer.step()
    return wrap(net.requires_grad_(False), name="net", classes=10), data, test


@pytest.mark.thorough
@pytest.mark.parametrize(
    "recipe", [Smoothing(sigma=0.25, votes=9), Quilting(patch=4, neighbours=5, patches=500)]
)
def test_a_score_attack_in_a_tiny_ball_takes_nothing_from_a_shipped_defense(trained, recipe):
    base, data, test = trained
    model = recipe(base, training_data=lambda: data, seed=0)
    line, _ = row([model], test, {"square": make_attack("square", queries=40)}, eps=1e-4)
    assert line.worst_case.value > line.clean.value - 0.02
    assert line.one_draw.value < line.clean.value - 0.03
    assert math.isclose(line.worst_case.n, 120)
