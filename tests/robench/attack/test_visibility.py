"""What a threat withholds, no attack sees: the weights, the template, the noise."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from attacks.query.square import Square
from robench.attack.craft import CraftSettings, check_attack, craft
from robench.attack.protocol import AttackInfo, Knowledge
from robench.attack.threat import ThreatModel
from robench.attack.visibility import as_seen, check_noise, needs_stand_in
from robench.errors import ConfigError
from robench.model.interface import GradientSource, OutputKind
from robench.model.noise import draw
from robench.plan import config
from robench.record.store import Store
from robench.run.crafting import Board, Crafting
from robench.run.evaluate import evaluate
from robench.run.evaluated_model import EvaluatedModel, with_stand_in
from robench.run.execute import execute
from robench.run.keeper import Memory
from robench.run.keys import crafting_key
from robench.run.settings import Environment, Settings
from robench.run.work import Work
from tests.model_zoo.heads.test_expectation import Noisy, built, images
from tests.robench.run.test_evaluate import Line, OneStep, evaluated, points


@dataclass(frozen=True, kw_only=True)
class Chooses(OneStep):
    """The same, and chooses its source itself."""

    info: ClassVar[AttackInfo] = AttackInfo(title="chooses", paper="", norms=("Linf",), own_source="own")


@dataclass(frozen=True, kw_only=True)
class Asks:
    """Only asks for scores, and keeps the network it asked."""

    info: ClassVar[AttackInfo] = AttackInfo(
        title="asks", paper="", norms=("Linf",), knowledge=Knowledge.SCORE, own_source="scores"
    )
    asked: ClassVar[list[object]] = []

    def __call__(self, oracle, x, y, *, threat, rng):
        self.asked.append(oracle.model.net)
        oracle.outputs(x)
        return x


def threat(**options):
    return ThreatModel(eps=0.1, **options)


def graph_like(name="a", *w, stand_in=None):
    """A model with a template: `exact` needs it and `linear` does not."""
    entry = evaluated(name, *(w or (1.0, 0.0)))
    net = entry.model.net

    def itself(x):
        return net(x), net(x)

    sources = {
        "linear": GradientSource("linear", itself, OutputKind.LOGITS, template_free=True),
        "exact": GradientSource("exact", itself, OutputKind.LOGITS),
    }
    model = replace(entry.model, sources=sources, template=True)
    return EvaluatedModel(model=model, fingerprint=entry.fingerprint, stand_in=stand_in)


@pytest.mark.parametrize(
    ("attack", "source", "knowledge", "expected"),
    [
        (OneStep(), "exact", ("weights",), True),
        (OneStep(), "linear", ("weights",), False),
        (OneStep(), "exact", ("weights", "template"), False),
        (Chooses(), "own", ("weights",), True),
        (Asks(), "scores", ("weights",), False),
        (Asks(), "scores", (), False),
    ],
)
def test_only_what_needs_a_withheld_template_gets_a_stand_in(attack, source, knowledge, expected):
    model = graph_like().model
    assert needs_stand_in(model, source, attack, threat(knowledge=knowledge)) is expected
    assert not needs_stand_in(
        evaluated("plain", 1.0, 0.0).model, "exact", attack, threat(knowledge=knowledge)
    )


def test_the_stand_in_is_attacked_and_the_model_itself_is_judged():
    # The stand-in looks at the second pixel only: what breaks it does not move the first, so nothing breaks.
    other = graph_like("a", 0.0, 1.0)
    own = graph_like("a", 1.0, 0.0, stand_in=other)
    board = Board(threat=threat(knowledge=("weights",)), eps_text="0.1", attacks={"step": OneStep()})
    memory = Memory()
    list(evaluate(Work(models=[own], data=points(), boards=[board]), memory))
    by_source = {r.source.gradient_source: r for r in memory.records.values() if r.source.name}
    assert by_source["exact"].columns.status.count("broken") == 0
    assert by_source["exact"].source.stand_in == other.fingerprint
    assert by_source["exact"].white_box
    # `linear` needs no template: it is taken of the model itself, and breaks the six images near the line.
    assert by_source["linear"].columns.status.count("broken") == 6
    assert not by_source["linear"].source.stand_in
    assert all(r.threat.knowledge == ("weights",) for r in by_source.values())


def test_without_a_stand_in_nothing_is_run():
    board = Board(threat=threat(knowledge=("weights",)), eps_text="0.1", attacks={"step": OneStep()})
    with pytest.raises(ConfigError, match="stand-in"):
        Work(models=[graph_like()], data=points(), boards=[board])
    asks = replace(board, attacks={"asks": Asks()})
    Asks.asked.clear()
    own = graph_like()
    list(evaluate(Work(models=[own], data=points(), boards=[asks]), Memory()))
    assert Asks.asked == [own.model.net]


def test_the_key_of_a_job_names_who_is_really_attacked():
    own = graph_like(stand_in=graph_like("a", 0.0, 1.0))
    other = graph_like(stand_in=graph_like("a", 0.5, 1.0))
    (shard,) = Work(models=[own], data=points(), boards=[]).shards()

    def key(whom, source, knowledge):
        board = Board(threat=threat(knowledge=knowledge), eps_text="0.1", attacks={"step": OneStep()})
        return crafting_key(Crafting.of(board, "step", whom, source), shard, Settings())

    assert key(own, "exact", ("weights",)) != key(other, "exact", ("weights",))
    assert key(own, "linear", ("weights",)) == key(other, "linear", ("weights",))
    assert key(own, "exact", ("weights", "template")) == key(other, "exact", ("weights", "template"))


def test_a_stand_in_with_the_same_template_is_refused():
    def told(digest):
        entry = graph_like()
        return replace(entry, model=replace(entry.model, details={"template_sha256": [digest]}))

    assert with_stand_in(told("1"), told("2")).stand_in.model.details["template_sha256"] == ["2"]
    with pytest.raises(ConfigError, match="shares 100 % of its images"):
        with_stand_in(told("1"), told("1"))


@pytest.mark.parametrize(
    ("attack", "options", "words"),
    [
        (OneStep(), {"knowledge": ()}, "asks for scores or labels only"),
        (replace(OneStep()), {"knowledge": ("weights",)}, None),
        (Square(), {"knowledge": ()}, None),
        (Square(), {"budget": 3}, None),
    ],
)
def test_attacks_that_need_more_than_is_granted_are_refused(attack, options, words):
    if words is None:
        check_attack(attack, threat(**options))
        return
    with pytest.raises(ConfigError, match=words):
        check_attack(attack, threat(**options))


def test_a_library_attack_is_refused_under_a_budget_before_anything_is_run():
    from attacks.libraries.art import ArtPGD

    board = Board(threat=threat(budget=10), eps_text="0.1", attacks={"art": ArtPGD()})
    with pytest.raises(ConfigError, match="stopped at a budget"):
        Work(models=[evaluated("a", 1.0, 0.0)], data=points(), boards=[board])


@pytest.mark.parametrize("known", [("weights", "colour"), ("template",), ("weights", "weights")])
def test_knowledge_that_means_nothing_is_refused(known):
    with pytest.raises(ConfigError, match="knowledge"):
        threat(knowledge=known)


def test_the_order_of_what_is_known_says_nothing():
    assert threat(knowledge=("template", "weights")) == threat()
    with pytest.raises(ConfigError, match="at least one pass"):
        threat(budget=0)


def gradient_at(model, x):
    point = x.clone().requires_grad_(True)
    outputs, own = model.sources["exact"].surrogate(point)
    (gradient,) = torch.autograd.grad(outputs.square().sum(), point)
    return gradient, own


def test_withheld_noise_is_not_differentiated_and_answers_are_the_models_own():
    model, x = built(Noisy(0.8)), images()
    without_noise, own = gradient_at(as_seen(model, threat()), x)
    with torch.no_grad():
        torch.testing.assert_close(own, model.net(x))  # draw 0: what anybody who asks is told
    with draw(1):
        another, _ = gradient_at(model, x)
    with_noise, _ = gradient_at(as_seen(model, threat(knowledge=("weights", "template", "randomness"))), x)
    plain, _ = gradient_at(model, x)
    torch.testing.assert_close(without_noise, another)
    torch.testing.assert_close(with_noise, plain)
    assert not torch.allclose(without_noise, plain)


def test_a_mean_over_other_draws_stays_what_it_is_and_so_does_a_model_without_noise():
    model = built(Noisy(0.8))
    view = as_seen(model, threat())
    assert view.sources["expectation"] is model.sources["expectation"]
    assert view.sources["exact"].forwards == model.sources["exact"].forwards + 1
    plain = evaluated("a", 1.0, 0.0).model
    assert as_seen(plain, threat()) is plain


def test_an_attack_books_the_pass_that_the_models_own_answer_takes():
    model, x = built(Noisy(0.8)), images()
    result = craft(
        model, OneStep(), x, torch.zeros(3, dtype=torch.int64), threat=threat(), indices=torch.arange(3),
        settings=CraftSettings(source="exact", drop=False),
    )  # fmt: skip
    assert (result.ledger.forwards >= 2).all()


def test_noise_that_no_attack_would_use_cannot_be_said_to_be_known():
    model = built(Noisy(0.8))
    mean_model = replace(model, sources={"expectation": model.sources["expectation"]})
    everything = threat(knowledge=("weights", "template", "randomness"))
    with pytest.raises(ConfigError, match="randomness"):
        check_noise(mean_model, everything)
    check_noise(model, everything)
    check_noise(mean_model, threat())


PLAN = """
name: small
dataset: {name: digits, limit: 12}
models:
  - {name: net, architecture: digits_cnn, train: {defense: {natural: {epochs: 1}}, data: {limit: 60}}}
  - {name: graph, features_of: net, head: {wnll: {m: 5, n: 3, template: 20}}}
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm]}
  - {norm: Linf, eps: 0.1, knowledge: [weights], attacks: [fgsm]}
"""


def go(text, folder):
    plan = config.parse(text, file=folder / "plan.yaml")
    execute(plan, folder, config_text=text, environment=Environment(device="cpu"))
    return Store(folder).read_records()


@pytest.mark.thorough
def test_from_the_configuration_to_records(tmp_path):
    records = [r for r in go(PLAN, tmp_path) if r.target.name == "graph" and r.white_box]
    attacks = [r for r in records if r.threat]
    stand_ins = {
        (tuple(r.threat.knowledge), r.source.gradient_source): bool(r.source.stand_in) for r in attacks
    }
    sources = {source for (knowledge, source), there in stand_ins.items() if there}
    assert sources == {"straight_through", "exact", "kernel"}
    assert not any(there for (knowledge, _), there in stand_ins.items() if "template" in knowledge)
    assert len({r.source.stand_in for r in attacks if r.source.stand_in}) == 1


def test_a_template_of_all_training_images_cannot_be_withheld(tmp_path):
    with pytest.raises(ConfigError, match="shares 100 % of its images"):
        go(PLAN.replace("template: 20", "template: null"), tmp_path)


def test_the_network_of_a_line_is_what_the_toys_promise():
    x = torch.tensor([[[[0.7, 0.3]]]])
    assert Line(1.0, 0.0)(x).argmax().item() == 1
