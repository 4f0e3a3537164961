"""A run keeps of feature space what pictures need, once, within its bounds, and nothing else changes."""

import json
import shutil
import weakref

import pytest
import torch
from torch import nn

from model_zoo.last_layer import penultimate
from robench.plan import config
from robench.record.feature_snapshot import read_snapshot
from robench.record.schema import Status
from robench.record.store import Store
from robench.run.execute import execute
from robench.run.feature_recording import BYTES, most_confused
from robench.run.keeper import FolderKeeper
from robench.run.settings import Environment
from tests.robench.run.test_feature_space import record

PLAN = """
name: small
dataset: {name: digits, limit: 40}
shard: 20
models:
  - name: net
    architecture: digits_cnn
    train: {defense: {natural: {epochs: 3}}, data: {limit: 300}}
  - name: net-wnll
    features_of: net
    head: {wnll: {m: 8, n: 4, template: 60}}
  - name: net-joint
    features_of: net
    head: {wnll_published: {m: 8, n: 4, template: 60}}
  - name: voted
    features_of: net
    inference: [{smoothing: {sigma: 0.1, votes: 2, samples: 2}}]
threats:
  - {norm: Linf, eps: 0.15, attacks: [fgsm, {pgd: {steps: 4}}]}
  - {norm: L2, eps: inf, attacks: [{cw: {steps: 3}}]}
"""


def go(out, text=PLAN, **options):
    environment = Environment(**{"device": "cpu", **options})
    file = config.locate("digits").parent / "plan.yaml"
    plan = config.parse(text, file=file, overrides=None)
    return execute(plan, out, config_text=text, environment=environment)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    assert go(out).failed == 0
    return out


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def kept(out):
    store = Store(out)
    keys = store.read_json("run.json")["geometry"]
    return {key: read_snapshot(store.snapshot(key)) for key in keys}


@pytest.mark.thorough
def test_every_model_has_one_on_every_board(finished):
    snapshots = kept(finished)
    places = set()
    for snapshot in snapshots.values():
        records = Store(finished).read_records(snapshot.units)
        places.add((records[0].target.name, records[0].threat.norm))
        assert all(r.source.fingerprint == r.target.fingerprint for r in records)
        assert len(records) == 2  # shards
    assert len(snapshots) == len(places) == 8


@pytest.mark.thorough
def test_chosen_is_the_attack_that_leaves_fewest_images(finished):
    records = [r for r in Store(finished).read_records() if r.attack.label != "clean"]
    for snapshot in kept(finished).values():
        own = Store(finished).read_records(snapshot.units)
        target, threat = own[0].target.name, own[0].threat.norm
        robust = {}
        for one in records:
            if one.source.name == one.target.name == target and one.threat.norm == threat:
                place = (one.attack.label, one.source.gradient_source)
                robust[place] = robust.get(place, 0) + one.columns.status.count(Status.ROBUST)
        assert robust[own[0].attack.label, own[0].source.gradient_source] == min(robust.values())


@pytest.mark.thorough
def test_predictions_are_those_of_the_records(finished):
    for snapshot in kept(finished).values():
        answers = {}
        for one in Store(finished).read_records(snapshot.units):
            c = one.columns
            answers |= {i: v for i, *v in zip(c.index, c.label, c.clean, c.adversarial, strict=True)}
        for part in (snapshot.cloud, snapshot.nearest):
            if part is not None:
                for at, index in enumerate(part.index.tolist()):
                    assert [int(part.label[at]), int(part.clean[at]), int(part.adversarial[at])] == answers[
                        index
                    ]


@pytest.mark.thorough
def test_heads_on_one_network_have_the_same_clean_features_and_classes(finished):
    clouds = {}
    for snapshot in kept(finished).values():
        own = Store(finished).read_records(snapshot.units[:1])[0]
        clouds[own.target.name, own.threat.norm] = snapshot.cloud
    for norm in ("Linf", "L2"):
        first = clouds["net", norm]
        for other in ("net-wnll", "net-joint"):
            assert clouds[other, norm].classes == first.classes
            assert (clouds[other, norm].clean_features == first.clean_features).all()
        assert (clouds["net-wnll", norm].adversarial_features != first.adversarial_features).any()
        assert set(first.label.tolist()) == set(first.classes)


@pytest.mark.thorough
def test_what_no_features_stand_for_says_so(finished):
    reasons = {g.reason for g in kept(finished).values() if g.cloud is None}
    assert reasons == {"it offers no features of an image"}  # a vote over noisy images
    graphs = [g for g in kept(finished).values() if g.nearest]
    assert len(graphs) == 4
    assert all(g.nearest.template == 60 for g in graphs)


@pytest.mark.thorough
def test_the_room_is_kept(finished):
    sizes = {}
    for key, snapshot in kept(finished).items():
        target = Store(finished).read_records(snapshot.units[:1])[0].target.name
        size = Store(finished).snapshot(key).stat().st_size
        sizes[target] = sizes.get(target, 0) + size
    assert max(sizes.values()) <= BYTES


@pytest.mark.thorough
def test_the_same_again_computes_nothing(copy):
    before = {p: p.stat().st_mtime_ns for p in (copy / "geometry").iterdir()}
    entries = json.loads((copy / "run.json").read_text())["geometry"]
    go(copy)
    assert {p: p.stat().st_mtime_ns for p in (copy / "geometry").iterdir()} == before
    assert json.loads((copy / "run.json").read_text())["geometry"] == entries


@pytest.mark.thorough
def test_what_a_killed_run_lacks_is_added_and_what_it_had_stays(copy):
    first, second, *others = sorted((copy / "geometry").iterdir())
    whole = {path: path.read_bytes() for path in (first, second, *others)}
    stamps = {path: path.stat().st_mtime_ns for path in others}
    first.unlink()
    second.write_bytes(whole[second][:50])
    assert go(copy).finished == 0
    assert {path: path.read_bytes() for path in (first, second, *others)} == whole
    assert {path: path.stat().st_mtime_ns for path in others} == stamps


@pytest.mark.thorough
def test_without_adversarial_images_what_was_kept_stays_and_nothing_fails(copy):
    for path in (copy / "adv").iterdir():
        path.unlink()
    snapshot = next(path for path in sorted((copy / "geometry").iterdir()) if read_snapshot(path).cloud)
    snapshot.unlink()
    assert go(copy).failed == 0
    assert not snapshot.exists()
    assert len(kept(copy)) == 7


@pytest.mark.thorough
def test_adversarial_images_are_taken_from_the_folder_one_shard_at_a_time(copy, monkeypatch):
    alive = weakref.WeakSet()
    most = 0
    original = FolderKeeper.crafted

    def watched(self, key):
        nonlocal most
        result = original(self, key)
        if result is not None:
            most = max(most, len(alive) + 1)
            alive.add(result.x_adv)
        return result

    monkeypatch.setattr(FolderKeeper, "crafted", watched)
    assert go(copy, PLAN.replace("shard: 20", "shard: 8")).failed == 0
    assert 0 < most <= 2  # the one that is read, and the one that it takes the place of


@pytest.mark.thorough
def test_a_network_that_raises_on_features_fails_alone(copy, monkeypatch):
    import robench.run.feature_recording as survey

    def broken(model, *others, **options):
        if model.name == "net":
            raise RuntimeError("out of order")
        return original(model, *others, **options)

    original = survey.cloud_of
    monkeypatch.setattr(survey, "cloud_of", broken)
    shutil.rmtree(copy / "geometry")
    assert go(copy).failed == 2
    assert len(kept(copy)) == 6
    assert any("out of order" in a["error"] for a in Store(copy).read_errors().values())
    monkeypatch.undo()
    assert go(copy).failed == 0
    assert len(kept(copy)) == 8
    assert Store(copy).read_errors() == {}


def test_most_confused_by_hand():
    status = ["broken"] * 6
    one = record([0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 0], [1, 0, 0, 2, 1, 0], status)
    # 0-1 twice; 1-2 twice; the last image was wrong before. A tie goes to the smaller labels.
    assert most_confused([one])[0] == (0, 1)
    assert "under attack, 2 times" in most_confused([one])[1]
    more = record([2], [2], [1], ["broken"])
    assert most_confused([one, more])[0] == (1, 2)
    calm = record([0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 0], [0, 0, 1, 1, 2, 0], status)
    assert most_confused([calm])[0] == (0, 2)
    assert "without an attack" in most_confused([calm])[1]
    right = record([0, 2, 2, 1, 1], [0, 2, 2, 1, 1], [0, 2, 2, 1, 1], status[:5])
    assert most_confused([right]) == ((1, 2), "those with most images; no two were ever taken for each other")
    rejections = record([0, 1], [0, 1], [3, -1], status[:2])
    assert most_confused([rejections])[0] == (0, 1)
    assert most_confused([record([1], [1], [0], ["broken"])]) == ((), "")


def test_features_of_a_foreign_network_are_what_its_last_layer_is_given():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    x = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(penultimate(net)(x), net[:3](x))
