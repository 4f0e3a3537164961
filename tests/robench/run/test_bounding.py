"""Bounds as units of a run: records like others, resumed, cut in pieces, refused by name of the layer."""

import dataclasses

import pytest
import torch
from torch import nn

from robench.attack.norms import LINF
from robench.attack.threat import ThreatModel
from robench.bounds import lower_bounds
from robench.data.images import image_set
from robench.errors import ConfigError
from robench.model.interface import Model
from robench.plan.bounds import CROWN, IBP, BranchAndBound
from robench.plan.spec import BoundSpec, Choice, DataSpec, ModelSpec, Plan, ThreatSpec, TrainSpec
from robench.record.schema import Status
from robench.run.bounding import IMAGES, BoundColumn
from robench.run.crafting import Board
from robench.run.evaluate import evaluate
from robench.run.evaluated_model import EvaluatedModel
from robench.run.jobs import bounding_jobs
from robench.run.keeper import Memory
from robench.run.models.bound_checks import check_untrained
from robench.run.settings import Settings
from robench.run.work import Work
from robench.run.workers.time_limit import ANY_JOB, seconds_for


def small_net(seed=0, width=8):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(9, width), nn.ReLU(), nn.Linear(width, 3)).eval()


def model_of(net, name="net"):
    model = Model(name=name, net=net, classes=3)
    return EvaluatedModel(model=model, fingerprint=model.fingerprint())


def images(net, count=12, seed=1):
    """Return images with the network's own answers as labels, but for the first, which is wrong."""
    pixels = torch.rand(count, 1, 3, 3, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        labels = net(pixels).argmax(dim=1)
    labels[0] = (labels[0] + 1) % 3
    return image_set(pixels, labels, classes=3)


def work_of(net, bounds, *, eps=0.05, count=12, shard=500, models=None, norm=LINF):
    board = Board(threat=ThreatModel(norm=norm, eps=eps), eps_text=str(eps), attacks={}, bounds=bounds)
    return Work(
        models=models or [model_of(net)],
        data=images(net, count),
        boards=[board],
        settings=Settings(shard=shard),
    )


def records_of(work, keeper=None):
    return [f.record for f in evaluate(work, keeper or Memory())]


@pytest.mark.thorough
def test_records_say_what_the_bounds_say():
    net = small_net()
    work = work_of(net, {"crown": BoundColumn(CROWN()), "ibp": BoundColumn(IBP())})
    clean, crown, ibp = records_of(work)
    assert clean.certificates is None
    x, y = work.data.batch(slice(None))
    for record, method in ((crown, "crown"), (ibp, "ibp")):
        bound = lower_bounds(net, x, y, work.boards[0].threat, method=method)
        assert record.certificates.bound == pytest.approx(bound.tolist(), abs=1e-9)
        assert record.certificates.certified[0] == 0
        assert record.columns.status[0] == Status.MISCLASSIFIED
        assert record.certificates.certified[1:] == [int(one > 1e-4) for one in bound[1:].tolist()]
        assert record.attack.label == method
        assert record.threat.eps_text == "0.05"
        assert not record.attack.is_clean
    assert 0 < sum(ibp.certificates.certified) <= sum(crown.certificates.certified) < len(y)


def test_a_search_decides_and_what_it_breaks_is_judged():
    net = small_net()
    search = BranchAndBound(seconds=None, domains=500)
    (_, record) = records_of(work_of(net, {"search": BoundColumn(search)}, eps=0.2, count=10))
    proofs = record.certificates.certified
    breaks = [status == Status.BROKEN for status in record.columns.status]
    right = [status != Status.MISCLASSIFIED for status in record.columns.status]
    # So small a network is decided on every image, one way or the other, and never both ways.
    assert [c + b for c, b in zip(proofs, breaks, strict=True)] == [int(r) for r in right]
    assert any(proofs)
    assert any(breaks)
    for index, hit in enumerate(breaks):
        if hit:
            assert record.columns.adversarial[index] != record.columns.label[index]
            assert record.columns.linf[index] <= 0.2 * (1 + 1e-6) + 1e-6


@pytest.mark.thorough
def test_certified_images_stand_against_points_of_the_ball():
    net = small_net(3)
    work = work_of(net, {"crown": BoundColumn(CROWN())}, eps=0.08, count=40)
    (_, record) = records_of(work)
    x, y = work.data.batch(slice(None))
    noise = torch.rand(300, *x.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    points = (x + 0.08 * torch.cat([noise, noise.sign()])).clamp(0, 1)
    with torch.no_grad():
        stands = (net(points.flatten(0, 1)).argmax(dim=1).view(600, -1) == y).all(dim=0)
    proofs = torch.tensor(record.certificates.certified, dtype=torch.bool)
    assert int(proofs.sum()) > 5
    assert bool(stands[proofs].all())


@pytest.mark.thorough
def test_units_are_pieces_of_shards_and_what_is_kept_is_not_done_again():
    net, keeper = small_net(), Memory()
    work = work_of(net, {"crown": BoundColumn(CROWN())}, count=IMAGES["crown"] + 12, shard=30)
    records = records_of(work, keeper)
    assert len(records) == work.units() == 3 + 3  # shards of 30, 30 and 2 images; none is cut any further
    assert all(outcome.cached for outcome in evaluate(work, keeper))
    one = work_of(net, {"crown": BoundColumn(CROWN())}, count=IMAGES["crown"] + 12)
    assert one.units() == 1 + 2
    whole = [r for r in records_of(one) if r.certificates]
    parts = [r for r in records if r.certificates]
    answers = [[dict(zip(r.columns.index, r.certificates.certified, strict=True)) for r in group]
            for group in (whole, parts)]  # fmt: skip
    unions = [{k: v for one in group for k, v in one.items()} for group in answers]
    assert unions[0] == unions[1]
    assert len(unions[0]) == IMAGES["crown"] + 12


def test_keys_change_with_everything_that_matters():
    def key(method=None, label="x", eps=0.05, other=0, seed=0):
        board = {label: BoundColumn(method or CROWN())}
        work = work_of(small_net(other), board, eps=eps)
        shard = next(iter(work.shards()))
        settings = dataclasses.replace(work.settings, seed=seed)
        job = bounding_jobs(work.boundings[0], shard, settings)[0]
        return job.key

    search = BranchAndBound(domains=5, seconds=None)
    keys = [
        key(), key(IBP()), key(label="y"), key(eps=0.06), key(other=1), key(search), key(search, seed=1),
        key(BranchAndBound(domains=6, seconds=None)),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert key() == key(seed=7)  # CROWN has no chance


def test_only_named_models_are_bounded():
    one, other = small_net(0), small_net(1)
    models = [model_of(one, "a"), model_of(other, "b")]
    work = work_of(one, {"crown": BoundColumn(CROWN(), ("b",))}, models=models)
    assert [bounding.target.model.name for bounding in work.boundings] == ["b"]


def test_what_cannot_be_bounded_is_refused_by_name_of_the_layer_before_any_work():
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.GELU(), nn.Linear(4, 3)).eval()
    with pytest.raises(ConfigError) as error:
        work_of(net, {"crown": BoundColumn(CROWN())})
    message = str(error.value)
    assert "model 'net'" in message
    assert "GELU" in message
    assert "models: [...]" in message
    assert error.value.exit_code == 2


def test_a_failure_is_recorded_with_its_reason_and_the_others_go_on(monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no room for this layer")

    monkeypatch.setattr("robench.run.bound_units.certified_outcomes", fail)
    keeper = Memory()
    records = records_of(work_of(small_net(), {"crown": BoundColumn(CROWN())}), keeper)
    assert len(records) == 1  # the clean one
    (text,) = keeper.failures.values()
    assert "no room for this layer" in text
    assert keeper.failed_jobs == {"net": ["crown bounds of net (Linf 0.05)"]}


def test_a_search_may_take_its_time_before_it_counts_as_hanging():
    work = work_of(small_net(), {"s": BoundColumn(BranchAndBound(seconds=100.0))}, count=10)
    (job,) = [job for job in work.jobs(next(iter(work.shards()))) if job.units[0].bounding]
    assert not job.is_clean
    assert seconds_for(job, seconds_per_image=0.0) >= ANY_JOB + 10 * 100


def plan_of(features, bound="crown"):
    """Return a plan with a network that will be trained, and a WNLL head on it that is bounded."""
    train = TrainSpec(
        defense=Choice(name="natural"), data=DataSpec(dataset=Choice(name="stripes"), split="train")
    )
    return Plan(
        name="p",
        data=DataSpec(dataset=Choice(name="stripes"), split="test"),
        models=(
            ModelSpec(name="net", architecture=Choice(name="own"), train=train),
            ModelSpec(name="wnll", features_of=features, head=Choice(name="wnll")),
        ),
        threats=(
            ThreatSpec(
                norm="Linf",
                eps=0.1,
                eps_text="0.1",
                bounds=(BoundSpec(label="crown", bound=Choice(name=bound), models=("wnll",)),),
            ),
        ),
    )


class Named(nn.Sequential):
    """It answers with a mapping, of which the logits are taken."""

    def forward(self, x):
        return {"logits": super().forward(x)}


def test_a_network_under_a_head_is_read_up_to_its_features_before_it_is_trained():
    flat, inner, outer = nn.Flatten(), nn.Linear(9, 4), nn.Linear(4, 3)
    options = {"shape": (1, 3, 3), "classes": 3}
    smooth = nn.Sequential(flat, inner, nn.GELU(), outer)
    with pytest.raises(ConfigError, match=r"model 'wnll', layer '2' \(GELU\)") as error:
        check_untrained(plan_of("net"), ["net"], lambda _: smooth, **options)
    assert "name only other models to bound" in str(error.value)
    check_untrained(plan_of("net"), [], lambda _: smooth, **options)  # it is trained already
    check_untrained(
        plan_of("net"), ["net"], lambda _: nn.Sequential(flat, inner, nn.ReLU(), outer), **options
    )
    check_untrained(plan_of("net"), ["net"], lambda _: nn.Sequential(flat), **options)  # no last layer at all
    check_untrained(plan_of("net"), ["net"], lambda _: Named(flat, inner, nn.ReLU(), outer), **options)
