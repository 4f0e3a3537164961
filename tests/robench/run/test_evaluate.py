"""Craft once, judge everywhere: counts, transfer, failure of one job, resuming, shards."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import nn

from robench.attack.losses import cross_entropy
from robench.attack.norms import LINF
from robench.attack.protocol import AttackInfo
from robench.attack.threat import ThreatModel
from robench.data.images import image_set
from robench.errors import ConfigError, InputError
from robench.model.interface import Model
from robench.record.schema import Status
from robench.run import work as work_module
from robench.run.crafting import Board
from robench.run.evaluate import CleanAnswers, Context, do_job, evaluate
from robench.run.evaluated_model import EvaluatedModel
from robench.run.keeper import Memory
from robench.run.progress import Quiet
from robench.run.settings import Settings
from robench.run.work import Work


class Line(nn.Module):
    """Two classes, split by the direction `w` through grey."""

    def __init__(self, *w):
        super().__init__()
        self.register_buffer("w", torch.tensor(w))

    def forward(self, x):
        score = (x.flatten(1) - 0.5) @ self.w
        return torch.stack([-score, score], dim=1)


@dataclass(frozen=True, kw_only=True)
class OneStep:
    """A sign step of size eps; counts its calls."""

    info: ClassVar[AttackInfo] = AttackInfo(title="one step", paper="", norms=("Linf",))
    calls: ClassVar[list[str]] = []

    def __call__(self, oracle, x, y, *, threat, rng):
        self.calls.append(oracle.model.name)
        return threat.project(x, x + threat.eps * threat.norm.ascent(oracle.gradient(cross_entropy, x)))


@dataclass(frozen=True, kw_only=True)
class Crash:
    """Raises."""

    info: ClassVar[AttackInfo] = AttackInfo(title="crash", paper="", norms=("Linf",))

    def __call__(self, oracle, x, y, *, threat, rng):
        raise RuntimeError("boom")


def evaluated(name, *w):
    model = Model(name=name, net=Line(*w), classes=2)
    return EvaluatedModel(model=model, fingerprint=model.fingerprint())


def points():
    """Images (n, 1, 1, 2) on a small grid, labelled by the first pixel."""
    grid = torch.tensor([[a, b] for a in (0.3, 0.42, 0.58, 0.7) for b in (0.3, 0.5, 0.7)])
    return image_set(grid.view(-1, 1, 1, 2), (grid[:, 0] > 0.5).long(), classes=2)


def work(attacks, models=None, **settings):
    board = Board(threat=ThreatModel(norm=LINF, eps=0.1), eps_text="0.1", attacks=attacks)
    entries = models or [evaluated("a", 1.0, 0.0), evaluated("b", 1.0, 1.0)]
    return Work(models=entries, data=points(), boards=[board], settings=Settings(**settings))


def collect(plan, memory=None):
    keeper = memory or Memory()
    return [outcome.record for outcome in evaluate(plan, keeper)], keeper


def test_craft_once_judge_everywhere():
    OneStep.calls.clear()
    plan = work({"step": OneStep()})
    records, keeper = collect(plan)
    assert OneStep.calls == ["a", "b"]  # two craftings for four judgements
    assert len(records) == plan.units() == 6
    assert {(r.source.name, r.target.name) for r in records} == {
        ("", "a"), ("", "b"), ("a", "a"), ("a", "b"), ("b", "a"), ("b", "b"),
    }  # fmt: skip
    assert not keeper.failures


def test_verdicts_by_hand():
    records, _ = collect(work({"step": OneStep()}))
    white = next(r for r in records if r.source.name == "a" and r.target.name == "a")
    # Model a looks at the first pixel only: 0.42 and 0.58 lie within 0.1 of the border, 0.3 and 0.7 do not.
    expected = [Status.ROBUST] * 3 + [Status.BROKEN] * 6 + [Status.ROBUST] * 3
    assert white.columns.status == expected
    assert white.columns.forwards == white.columns.backwards == [1.0] * 12
    assert max(white.columns.linf) <= 0.1 + 1e-6


def test_the_denominator_is_every_image_and_misclassified_ones_count_against():
    records, _ = collect(work({"step": OneStep()}))
    clean_b = next(r for r in records if not r.source.name and r.target.name == "b")
    wrong = [i for i, s in enumerate(clean_b.columns.status) if s == Status.MISCLASSIFIED]
    # b adds both pixels: (0.42, 0.7) and (0.58, 0.3) lie beyond its border, (0.3, 0.7) and (0.7, 0.3) on it.
    assert set(wrong) - {2, 9} == {5, 6}
    white_b = next(r for r in records if r.source.name == "b" and r.target.name == "b")
    assert all(white_b.columns.status[i] == Status.MISCLASSIFIED for i in wrong)


def test_one_failing_job_is_recorded_and_the_others_finish():
    records, keeper = collect(work({"crash": Crash(), "step": OneStep()}))
    assert len(records) == 6
    assert len(keeper.failures) == 2
    assert all("boom" in text for text in keeper.failures.values())


def test_the_same_work_again_does_nothing():
    first, keeper = collect(work({"step": OneStep()}))
    OneStep.calls.clear()
    again, _ = collect(work({"step": OneStep()}), keeper)
    assert OneStep.calls == []
    assert [r.key for r in again] == [r.key for r in first]


def test_another_weight_recomputes_exactly_its_own():
    _, keeper = collect(work({"step": OneStep()}))
    OneStep.calls.clear()
    variants = [evaluated("a", 1.0, 0.0), evaluated("b", 1.0, 0.9)]
    collect(work({"step": OneStep()}, variants), keeper)
    assert OneStep.calls == ["a", "b"]  # a's images are needed again, for the new b to judge
    assert len(keeper.records) == 6 + 4  # clean b, a -> b, b -> a, b -> b; clean a and a -> a are reused


@pytest.mark.thorough
def test_shards_change_no_verdict():
    whole, _ = collect(work({"step": OneStep()}, shard=12))
    parts, _ = collect(work({"step": OneStep()}, shard=5))

    def table(records):
        rows = {}
        for r in records:
            for i, s in zip(r.columns.index, r.columns.status, strict=True):
                rows[r.source.name, r.target.name, r.attack.label, i] = s
        return rows

    assert table(whole) == table(parts)


def test_bad_work_is_refused_before_anything_runs():
    with pytest.raises(InputError, match="different names"):
        work({}, [evaluated("a", 1.0, 0.0), evaluated("a", 0.0, 1.0)])
    with pytest.raises(ConfigError, match="gradient source"):
        EvaluatedModel(model=evaluated("a", 1.0, 0.0).model, fingerprint="", sources=("exactt",))
    with pytest.raises(ConfigError, match="finite eps"):
        Work(
            models=[evaluated("a", 1.0, 0.0)],
            data=points(),
            boards=[Board(threat=ThreatModel(eps=float("inf")), eps_text="inf", attacks={"step": OneStep()})],
        )


def test_records_survive_json():
    records, _ = collect(work({"step": OneStep()}))
    for record in records:
        assert type(record).from_json(record.to_json()) == record


@pytest.mark.thorough
def test_what_is_found_on_a_shard_does_not_depend_on_the_shards_before_it():
    # The loss of images at 0.7 is exactly zero: all of the first shard, one in twenty of the second.
    first = torch.tensor([0.7] * 39 + [0.55] * 19 + [0.7] * 2)[19:]
    x = torch.stack([first, torch.full_like(first, 0.5)], dim=1).view(-1, 1, 1, 2)
    data = image_set(x, torch.ones(len(x), dtype=torch.int64), classes=2)
    board = Board(threat=ThreatModel(norm=LINF, eps=0.01), eps_text="0.01", attacks={"one": OneStep()})

    def found(images):
        memory = Memory()
        models, settings = [evaluated("a", 400.0, 0.0)], Settings(shard=20)
        plan = Work(models=models, data=images, boards=[board], settings=settings)
        records = [outcome.record for outcome in evaluate(plan, memory)]
        last = [r for r in records if r.columns.index[-1] == 39]
        return [[f.code for f in r.findings] for r in last]

    data = data.subset(slice(0, 40))
    alone = found(data.subset(slice(20, 40)))
    assert alone == [["copied-images"], ["zero-gradient"]]
    assert found(data) == alone


class Noisy(Line):
    """The same, with noise from the global generator."""

    def forward(self, x):
        return super().forward(x + torch.randn_like(x))


class Failing(nn.Module):
    """Never answers."""

    def forward(self, x):
        raise RuntimeError("not now")


@pytest.mark.thorough
@pytest.mark.parametrize("fails", [False, True])
def test_a_job_done_alone_in_any_order_leaves_what_it_leaves_in_its_turn(fails, monkeypatch):
    noisy = EvaluatedModel(model=Model(name="n", net=Noisy(1.0, 0.5), classes=2), fingerprint="n")
    attacks = {"one": OneStep(), "two": OneStep()}
    plan = work(attacks, models=[noisy, evaluated("a", 1.0, 0.0)], shard=6)
    original = work_module.clean_job

    def clean_of(model, shard, settings):
        """The clean unit of the noisy model fails where it is meant to."""
        job = original(model, shard, settings)
        if fails and model is noisy:
            unit = replace(job.units[0], target=replace(noisy, model=failing))
            return replace(job, units=(unit,))
        return job

    failing = Model(name="n", net=Failing(), classes=2)
    monkeypatch.setattr(work_module, "clean_job", clean_of)
    plain, _ = collect(plan)
    keeper = Memory()
    context = Context.of(plan, keeper, Quiet())
    for shard in plan.shards():
        clean = [job for job in plan.jobs(shard) if job.crafting is None]
        attack_jobs = [job for job in plan.jobs(shard) if job.crafting]
        for job in clean:
            list(do_job(job, CleanAnswers(shard, plan.settings, keeper), context))
        for job in reversed(attack_jobs):
            list(do_job(job, CleanAnswers(shard, plan.settings, keeper), context))
    assert len(plain) == len(keeper.records) == (2 + 2 * 2 * 2 - fails) * 2
    assert {r.key: (r.columns, r.findings) for r in plain} == {
        key: (r.columns, r.findings) for key, r in keeper.records.items()
    }


def test_while_a_model_is_probed_the_line_says_so():
    class Lines(Quiet):
        def __init__(self):
            self.lines = []

        def begin(self, text):
            self.lines.append(text)

    reporter = Lines()
    list(evaluate(work({"step": OneStep()}, [evaluated("a", 1.0, 0.0)]), Memory(), reporter))
    assert reporter.lines[0] == "clean on a, and probes of its gradients"
    assert [line for line in reporter.lines if "probes" in line] == reporter.lines[:1]
