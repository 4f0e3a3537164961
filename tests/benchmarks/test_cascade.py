"""The ledger of the reference: images through the network, forwards and backwards, counted by hand."""

import torch

from benchmarks.cascade import CountedNetwork, Outcome, _differences, _merged
from tests.truths import images, small_net


def test_it_counts_images_and_not_calls_and_changes_no_gradient():
    net = small_net().net
    counter, x = CountedNetwork(net), images(7)
    with torch.no_grad():
        assert torch.equal(counter(x), net(x))
    assert (counter.forwards, counter.backwards) == (7, 0)
    point = x[:3].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(counter(point).square().sum(), point)
    (truth,) = torch.autograd.grad(net(point).square().sum(), point)
    assert torch.equal(gradient, truth)
    assert (counter.forwards, counter.backwards) == (10, 3)
    outputs = counter(point)
    for column in outputs.sum(dim=0):  # a gradient for each class is a backward pass for each class
        torch.autograd.grad(column, point, retain_graph=True)
    assert (counter.forwards, counter.backwards) == (13, 3 + 4 * 3)


def test_parts_are_weighted_by_their_images_and_differences_are_named():
    yes, no = True, False
    one = Outcome(standing=torch.tensor([yes, no, yes]), forwards=10.0, backwards=1.0, seconds=2.0)
    two = Outcome(standing=torch.tensor([no]), forwards=2.0, backwards=5.0, seconds=1.0)
    whole = _merged([one, two])
    assert whole.standing.tolist() == [yes, no, yes, no]
    assert (whole.forwards, whole.backwards, whole.seconds) == (8.0, 2.0, 3.0)
    other = Outcome(standing=torch.tensor([no, no, yes, yes]), forwards=0.0, backwards=0.0, seconds=0.0)
    assert _differences(whole, other) == "+0, -3"
    assert _differences(whole, whole) == "none"
