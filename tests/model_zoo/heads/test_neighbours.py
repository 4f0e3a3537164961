"""The heads knn and kernel_density: outputs, sources, certificates that no attack breaks, what is refused."""

import pytest
import torch

from model_zoo.heads.neighbours import KNN, KernelDensity
from model_zoo.network import Network
from robench.attack.losses import cross_entropy
from robench.attack.threat import ThreatModel
from robench.bounds import certified_outcomes
from robench.bounds.methods import certifier_of
from robench.bounds.search import Verdict
from robench.errors import ConfigError, InputError
from robench.judge.verdict import classify
from robench.model.interface import predictions
from robench.plan.bounds import CROWN, IBP, AlphaCROWN, BranchAndBound
from tests.model_zoo.heads.test_bounded_wnll import Backbone, training

HEADS = [KNN(k=5, template=60), KNN(k=4, template=60), KernelDensity(n=5, template=60)]


def model_of(head):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Network(Backbone(), classes=3).eval()
    return head(network, name="stripes", classes=3, training_data=training, seed=0, device="cpu", details={})


def outcomes_of(model, eps, method):
    x, y = training(20, seed=5).batch(slice(None))
    certifier = certifier_of(model, ThreatModel(eps=eps), (1, 3, 3), method)
    return x, y, certified_outcomes(certifier, x, y, method)


@pytest.mark.parametrize("head", HEADS)
def test_sources_give_the_models_own_outputs_and_slopes(head):
    model = model_of(head)
    x, y = training(20, seed=5).batch(slice(None))
    assert tuple(model.sources) == head.offers
    for source in model.sources.values():
        point = x.clone().requires_grad_()
        surrogate, own = source.surrogate(point)
        torch.testing.assert_close(own, model.net(x))
        (slope,) = torch.autograd.grad(cross_entropy(surrogate, y, source.output).sum(), point)
        assert bool(slope.isfinite().all())
        assert bool(slope.any())
    alone = torch.cat([model.net(x[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(alone, model.net(x))
    assert float((predictions(alone, model.output) == y).float().mean()) > 0.9


@pytest.mark.thorough
@pytest.mark.parametrize("head", HEADS)
def test_certified_images_stand_against_attacks_and_points_of_the_ball(head):
    model = model_of(head)
    x, y, outcomes = outcomes_of(model, 0.03, CROWN())
    proofs = torch.tensor([one.verdict is Verdict.CERTIFIED for one in outcomes])
    assert int(proofs.sum()) > 10
    noise = torch.rand(60, *x.shape, generator=torch.Generator().manual_seed(2)) * 2 - 1
    starts = x + 0.03 * noise.sign()
    rows = [x + 0.03 * noise, starts]
    for source in model.sources.values():  # signed gradients, from every start
        candidates = starts.clamp(0, 1).flatten(0, 1).requires_grad_()
        surrogate, _ = source.surrogate(candidates)
        (slope,) = torch.autograd.grad(
            cross_entropy(surrogate, y.repeat(60), source.output).sum(), candidates
        )
        rows.append(x + 0.03 * slope.sign().view(60, *x.shape))
    for points in rows:
        answers = classify(model, points.clamp(0, 1).flatten(0, 1), batch_size=250).view(60, -1)
        assert bool((answers == y).all(dim=0)[proofs].all())


@pytest.mark.thorough
@pytest.mark.parametrize("head", HEADS)
def test_ways_to_bound_are_in_order_and_the_whole_box_is_certified_by_none(head):
    model = model_of(head)
    counts = [
        sum(one.verdict is Verdict.CERTIFIED for one in outcomes_of(model, 0.08, way)[2])
        for way in (IBP(), CROWN(), AlphaCROWN())
    ]
    assert counts == sorted(counts)
    assert all(one.verdict is not Verdict.CERTIFIED for one in outcomes_of(model, 1.0, CROWN())[2])
    with pytest.raises(ConfigError, match="branch_and_bound"):
        certifier_of(model, ThreatModel(eps=0.1), (1, 3, 3), BranchAndBound())


@pytest.mark.parametrize(
    ("recipe", "options"),
    [(KNN, {"k": 0}), (KNN, {"k": 101}), (KNN, {"k": 9, "template": 5}), (KNN, {"tau": 0.0}),
     (KernelDensity, {"bandwidth": 0.0}), (KernelDensity, {"bandwidth": float("nan")}),
     (KernelDensity, {"n": 1}), (KernelDensity, {"template": 0})],
)  # fmt: skip
def test_bad_options_are_refused(recipe, options):
    with pytest.raises(ConfigError):
        recipe(**options)


def test_a_template_larger_than_the_data_is_refused():
    with pytest.raises(InputError, match="template"):
        KNN(template=500).check(training, classes=3, seed=0)
