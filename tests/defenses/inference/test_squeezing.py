"""Feature squeezing rejects above its threshold, and its attack fools all versions at once."""

import pytest
import torch

from attacks.gradient.pgd import PGD
from defenses.inference.bit_depth import BitDepth
from defenses.inference.smoothing import Smoothing
from defenses.inference.squeezing import FeatureSqueezing
from robench.attack.losses import cross_entropy
from robench.data.images import image_set
from robench.errors import ConfigError
from robench.model.interface import predictions
from tests.truths import attacked, classify, images, small_net, with_head


def data():
    return image_set(images(200, seed=3), torch.zeros(200, dtype=torch.int64), split="train", classes=4)


def detector(model=None, **options):
    return FeatureSqueezing(**options)(model or small_net(), training_data=data, seed=0)


def scores(model, squeezers, x):
    shares = [model.net(v).softmax(dim=1) for v in (x, *(s(x) for s in squeezers))]
    return torch.stack([(v - shares[0]).abs().sum(dim=1) for v in shares[1:]]).amax(dim=0)


@torch.no_grad()
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 2.0])
def test_an_image_is_rejected_exactly_where_its_score_exceeds_the_threshold(threshold):
    base = small_net()
    model = detector(base, threshold=threshold)
    x = images(60)
    score = scores(base, model.net.squeezers, x)
    answers = classify(model, x)
    assert torch.equal(answers == 4, score > threshold)
    passes = answers < 4
    assert torch.equal(answers[passes], classify(base, x)[passes])
    assert torch.allclose(model.net(x).exp().sum(dim=1), torch.ones(60), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_the_threshold_rejects_the_share_asked_for(share):
    model = detector(false_positives=share)
    rejections = int((classify(model, data().images) == 4).sum())
    assert rejections == int(share * 200)
    assert model.details["inference"][0]["threshold_used"] == float(model.net.threshold)


def test_fewer_images_are_calibrated_on_by_a_seeded_choice():
    base = small_net()
    thresholds = [
        FeatureSqueezing(calibration=50)(base, training_data=data, seed=seed).net.threshold.item()
        for seed in (0, 0, 1)
    ]
    assert thresholds[0] == thresholds[1] != thresholds[2]


def test_an_output_that_is_no_number_stays_so():
    base = with_head(small_net(), lambda s: torch.where(s[:, :1] > s[:, 1:2], torch.nan, s))
    model = detector(base, threshold=0.5)
    x = images(30)
    bad = classify(base, x) < 0
    assert bad.any()
    assert (classify(model, x)[bad] == -1).all()


def test_the_adaptive_source_is_the_mean_over_all_versions():
    base, x, y = small_net(), images(4), torch.arange(4)
    model = detector(base, threshold=0.3)
    versions = [v.detach().requires_grad_(True) for v in (x, *(s(x) for s in model.net.squeezers))]
    mean = torch.stack([base.net(v).softmax(dim=1) for v in versions]).mean(dim=0)
    loss = -mean.gather(1, y[:, None]).log().sum()
    expected = sum(torch.autograd.grad(loss, versions))
    point = x.clone().requires_grad_(True)
    source = model.sources["adaptive/exact"]
    surrogate, own = source.surrogate(point)
    assert torch.allclose(surrogate.exp(), mean, atol=1e-6)
    gradient = torch.autograd.grad(cross_entropy(surrogate, y, source.output).sum(), point)[0]
    assert torch.allclose(gradient, expected, atol=1e-5)
    assert own.shape == (4, 5)


@pytest.mark.thorough
def test_the_adaptive_attack_beats_the_one_that_ignores_the_detector():
    model = detector(small_net(), bits=2, threshold=0.6)
    x = images(80)
    y = classify(model, x)
    x, y = x[y < 4], y[y < 4]
    attack = PGD(steps=20)
    breaks, rejections = {}, {}
    for name in ("adaptive/exact", "undefended"):
        proposal, oracle, last = attacked(attack, model, x, y, eps=0.3, source=model.sources[name])
        answers = classify(model, proposal)
        # The oracle's books agree with the model: a rejection is no success.
        assert torch.equal(oracle.broken, (answers != y) & (answers < 4))
        breaks[name], rejections[name] = int(oracle.broken.sum()), int((classify(model, last) == 4).sum())
    assert breaks["adaptive/exact"] > breaks["undefended"]
    assert rejections["adaptive/exact"] < 0.8 * rejections["undefended"]


def test_a_detector_behind_a_transform_still_rejects():
    model = BitDepth(bits=3)(detector(threshold=0.1), training_data=data, seed=0)
    assert model.rejects
    x = images(40)
    with torch.no_grad():
        assert (predictions(model.net(x)) == 4).any()
    assert list(model.sources) == ["adaptive/exact", "undefended"]


def test_what_rejects_already_is_refused():
    with pytest.raises(ConfigError, match="rejects images"):
        detector(detector(threshold=0.1))
    with pytest.raises(ConfigError, match="rejects images"):
        Smoothing()(detector(threshold=0.1), training_data=data, seed=0)
