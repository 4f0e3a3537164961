"""Who learned from the judged images has no rank: in a run, and in Python."""

import pytest
import torch
from torch import nn

import robench
from reports.board.leaderboard import boards
from robench.data.images import image_set
from robench.data.seen_images import SeenImages
from robench.judge.overlap import overlap_with
from robench.plan.config import parse
from robench.record.store import Store
from robench.run.execute import execute
from robench.run.settings import Environment
from tests.robench.data.test_seen_images import pictures

PLAN = """
schema: 1
name: overlap
dataset: {name: digits, split: test, limit: 120}
models:
  - {name: sound, architecture: digits_cnn, train: {defense: {natural: {epochs: 1}}, data: {limit: 200}}}
  - name: leak
    architecture: digits_cnn
    train: {defense: {natural: {epochs: 1}}, data: {name: digits, split: test, limit: 100}}
  - {name: wnll, features_of: sound, head: {wnll: {m: 5, n: 3, template: 50}}}
threats: [{norm: Linf, eps: 0.05, attacks: [fgsm]}]
"""


@pytest.mark.parametrize(("count", "is_told"), [(0, False), (1, False), (2, False), (3, True), (100, True)])
def test_a_few_copies_are_no_reason(count, is_told):
    data = pictures(100)
    findings = overlap_with(data, lambda: SeenImages(data.subset(slice(0, count))))
    assert [finding.code for finding in findings] == ["seen-images"] * is_told
    assert all(f"{count} of 100 images" in finding.evidence for finding in findings)
    assert overlap_with(data, None) == ()


def test_of_few_images_one_copy_is_no_reason():
    data = pictures(10)
    assert overlap_with(data, lambda: SeenImages(data.subset(slice(0, 1)))) == ()


def doubts_of(folder):
    (board,) = boards(Store(folder).read_records())
    return {row.model: set(row.unlifted) for row in board.rows}


@pytest.mark.thorough
def test_a_run_tells_of_a_training_and_again_where_its_weights_were_kept(tmp_path):
    plan = parse(PLAN, file=tmp_path / "overlap.yaml", overrides=None)
    environment = Environment(device="cpu")
    for again in range(2):
        folder = tmp_path / "run"
        execute(plan, folder, config_text=PLAN, environment=environment)
        doubts = doubts_of(folder)
        assert "seen-images" in doubts["leak"], again
        assert "seen-images" not in doubts["sound"] | doubts["wnll"], again
        for unit in (folder / "units").iterdir():  # what was judged is lost, what was trained is not
            unit.unlink()


@pytest.mark.thorough
def test_a_run_tells_of_the_template_of_a_network_that_it_did_not_train(tmp_path):
    text = PLAN.replace("features_of: sound", "architecture: digits_cnn")
    text = text.replace("split: test, limit: 120", "split: train, limit: 120")
    plan = parse(text, file=tmp_path / "overlap.yaml", overrides=None)
    execute(plan, tmp_path / "run", config_text=text, environment=Environment(device="cpu"))
    doubts = doubts_of(tmp_path / "run")
    assert "seen-images" in doubts["sound"] & doubts["wnll"]
    assert "seen-images" not in doubts["leak"]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 3))


def set_of(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(60, 1, 8, 8, generator=generator), torch.arange(60) % 3


@pytest.mark.parametrize("seed", [0, 1])
def test_python_tells_of_a_network_trained_on_the_images(seed):
    net = network()
    robench.train(net, set_of(0), "natural", epochs=1)
    result = robench.benchmark({"net": net}, set_of(seed), attacks=["fgsm"], eps=0.1)
    codes = {finding.code for record in result.records for finding in record.findings}
    assert ("seen-images" in codes) == (seed == 0)


@pytest.mark.parametrize("seed", [0, 1])
def test_python_tells_of_a_template_of_the_images(seed):
    model = robench.wnll_head(network(), set_of(0), m=5, n=3)
    result = robench.benchmark(model, set_of(seed), attacks=["fgsm"], eps=0.1)
    codes = {finding.code for record in result.records for finding in record.findings}
    assert ("seen-images" in codes) == (seed == 0)


def test_another_network_is_not_told_of():
    robench.train(network(), set_of(0), "natural", epochs=1)
    result = robench.benchmark({"net": network()}, image_set(*set_of(0)), attacks=["fgsm"], eps=0.1)
    assert not any(finding.code == "seen-images" for record in result.records for finding in record.findings)
