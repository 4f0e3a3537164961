"""Public networks: certified as often as published verifiers certify, and never where an attack succeeds."""

import os
from pathlib import Path

import pytest
import torch

from benchmarks.bounds import PUBLIC_NETWORKS, loaded
from robench.attack.threat import ThreatModel
from robench.bounds import Budget, Certifier, Verdict, branch_and_bound
from robench.bounds.certifier import EFFORTS

DATA = Path(os.environ.get("ROBENCH_TEST_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not (DATA / "models").is_dir(), reason="no public networks"),
    pytest.mark.timeout(1800),
]


def certified(name, rows, method="crown"):
    public = PUBLIC_NETWORKS[name]
    model, data = loaded(public, DATA)
    x, y = data.batch(rows)
    certifier = Certifier.of(model, ThreatModel(eps=public.eps), x)
    x, y = certifier.checked(x, y)
    right = certifier.right(x, y)
    return int(
        (certifier.margins(x[right], y[right], EFFORTS[method]).amin(dim=1) > certifier.slack(x[right])).sum()
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("cifar-adv", 71), ("cifar-mix", 47), ("mnist-adv", 3)])
def test_crown_certifies_as_many_images_as_auto_lirpa(name, count):
    assert certified(name, slice(0, 200)) == count  # of 200; auto_LiRPA: 71, 47 and 2


def test_interval_bounds_alone_certify_nothing_of_an_adversarially_trained_network():
    assert certified("cifar-adv", slice(0, 20), "ibp") == 0


@pytest.mark.thorough
def test_what_branch_and_bound_says_of_the_first_images():
    public = PUBLIC_NETWORKS["mnist-adv"]
    model, data = loaded(public, DATA)
    x, y = data.batch(slice(0, 8))
    threat = ThreatModel(eps=public.eps)
    outcomes = branch_and_bound(model, x, y, threat, budget=Budget(seconds=None, domains=1200))
    verdicts = [outcome.verdict for outcome in outcomes]
    assert verdicts.count(Verdict.CERTIFIED) >= 4  # plain CROWN: one of these
    for image, label, outcome in zip(x, y.tolist(), outcomes, strict=True):
        if outcome.verdict is Verdict.BROKEN:
            assert outcome.x_adv is not None
            assert bool(threat.admits(image[None], outcome.x_adv[None]))
            with torch.no_grad():
                assert int(model.net(outcome.x_adv[None]).argmax()) != label
