"""Voting over several templates, and the kernel score."""

import pytest
import torch

from model_zoo.graph import (
    Graph,
    Interpolation,
    class_log_density,
    combine,
    disjoint_templates,
    interpolate,
    interpolate_independent,
    prepare_template,
    vote,
    vote_independent,
)
from model_zoo.graph.kernel_density import query_scale
from robench.errors import InputError
from robench.model.interface import predictions


def rows(*u, singular=False):
    return Interpolation(torch.tensor([u], dtype=torch.float64), torch.tensor([singular]))


def test_majority_and_mean_can_disagree():
    ballots = [rows(0.6, 0.4, 0.0), rows(0.6, 0.4, 0.0), rows(0.0, 1.0, 0.0)]
    assert combine(ballots, "majority").u.argmax(1).tolist() == [0]
    assert combine(ballots, "mean").u.argmax(1).tolist() == [1]
    torch.testing.assert_close(
        combine(ballots, "mean").u, torch.tensor([[0.4, 0.6, 0.0]], dtype=torch.float64)
    )
    assert combine(ballots).u.sum().item() == pytest.approx(1)


def test_ties_go_to_the_larger_mean():
    assert combine([rows(0.51, 0.49), rows(0.0, 1.0)]).u.argmax(1).tolist() == [1]
    assert combine([rows(1.0, 0.0), rows(0.49, 0.51)]).u.argmax(1).tolist() == [0]


def test_a_template_that_cannot_label_does_not_vote():
    singular_vote = rows(0.5, 0.5, singular=True)
    both = combine([singular_vote, rows(0.2, 0.8)], "mean")
    torch.testing.assert_close(both.u, torch.tensor([[0.2, 0.8]], dtype=torch.float64))
    assert both.singular_count == 0
    neither = combine([singular_vote, singular_vote])
    assert neither.singular_count == 1
    assert neither.u.tolist() == [[0.5, 0.5]]


def test_bad_votes_are_refused():
    with pytest.raises(InputError, match="majority or mean"):
        combine([rows(1.0, 0.0)], "median")
    with pytest.raises(InputError, match="at least one"):
        combine([])


def problem(count=300, classes=3, width=4):
    rng = torch.Generator().manual_seed(0)
    y = torch.randint(classes, (count,), generator=rng)
    z = 1.5 * torch.randn(classes, width, generator=rng, dtype=torch.float64)[y]
    return z + torch.randn(count, width, generator=rng, dtype=torch.float64), y


@pytest.mark.parametrize("rule", ["majority", "mean"])
def test_voting_in_both_protocols(rule):
    z, y = problem()
    query, graph = z[:60].clone().requires_grad_(), Graph(m=8, n=4)
    draws = disjoint_templates(y[60:], 70, 3, classes=3, generator=torch.Generator().manual_seed(1))
    templates = [(z[60:][i], y[60:][i]) for i in draws]
    memories = [prepare_template(*pair, classes=3, graph=graph) for pair in templates]
    for got, single in (
        (
            vote(query, templates, classes=3, graph=graph, rule=rule),
            [interpolate(query, *pair, classes=3, graph=graph).u for pair in templates],
        ),
        (
            vote_independent(query, memories, rule=rule),
            [interpolate_independent(query, p).u for p in memories],
        ),
    ):
        shares = torch.stack(single)
        if rule == "mean":
            torch.testing.assert_close(got.u, shares.mean(0))
        else:
            ballots = torch.nn.functional.one_hot(shares.argmax(2), 3).sum(0)
            clear = ballots.amax(1) > 1
            assert clear.sum() > 50
            assert torch.equal(got.u.argmax(1)[clear], ballots.argmax(1)[clear])
        (grad,) = torch.autograd.grad(got.u[:, 0].sum(), query)
        assert grad.abs().max() > 0
        assert (got.u.argmax(1) == y[:60]).double().mean() > 0.7


def test_disjoint_templates_are_disjoint_balanced_random_and_repeatable():
    _, y = problem()
    draw = [
        disjoint_templates(y, 40, 5, classes=3, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    ]
    flat = [torch.cat(batches) for batches in draw]
    assert torch.equal(flat[0], flat[1])
    assert not torch.equal(flat[0], flat[2])
    assert len(flat[0].unique()) == 200
    share = torch.bincount(y) / len(y) * 40
    for batch in draw[0]:
        assert (torch.bincount(y[batch], minlength=3) - share).abs().max() <= 2
    with pytest.raises(InputError, match="at least 305"):
        disjoint_templates(y, 61, 5, classes=3, generator=torch.Generator())
    with pytest.raises(InputError, match="without class"):
        disjoint_templates(torch.tensor([0, 1, 1, 1]), 2, 2, classes=2, generator=torch.Generator())


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_kernel_score_is_the_plain_sum(tau):
    z, y = problem()
    query, template, labels = z[:20], z[20:], y[20:]
    got = class_log_density(query, template, labels, classes=3, n=8, tau=tau)
    d2 = torch.cdist(query, template).square()
    sigma2 = d2.sort(1).values[:, 6]  # the query itself is the first of its 8
    torch.testing.assert_close(query_scale(query, template, 8), sigma2)
    kernel = torch.exp(-d2 / (tau * sigma2[:, None]))
    want = torch.stack([kernel[:, labels == c].sum(1) for c in range(3)], 1).log()
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)


def test_kernel_score_differentiates_with_and_without_the_scale():
    z, y = problem()
    query = z[:6].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda q: class_log_density(q, z[20:], y[20:], classes=3, n=8, detach_scale=False),
        (query,),
        atol=1e-5,
    )
    with_scale, without = (
        torch.autograd.grad(
            class_log_density(query, z[20:], y[20:], classes=3, n=8, detach_scale=d)[:, 0].sum(), query
        )[0]
        for d in (False, True)
    )
    assert (with_scale - without).abs().max() > 1e-3


def test_kernel_score_has_a_slope_where_u_has_none():
    z, y = problem()
    z = z + 50.0 * torch.nn.functional.one_hot(y, 4).double()
    query = z[:10].clone().requires_grad_()
    u = interpolate_independent(query, prepare_template(z[20:], y[20:], classes=3, graph=Graph(m=8, n=4))).u
    assert (u.amax(1) == 1).all()
    assert torch.autograd.grad(u[:, 0].sum(), query)[0].abs().max() < 1e-12
    scores = class_log_density(query, z[20:], y[20:], classes=3, n=8)
    assert torch.equal(scores.argmax(1), y[:10])
    gaps = scores.gather(1, y[:10, None]) - scores.gather(1, (y[:10, None] + 1) % 3)
    assert (torch.autograd.grad(gaps.sum(), query)[0].norm(dim=1) > 1e-3).all()


def test_kernel_score_on_duplicates_is_finite():
    z, y = problem()
    z[20:60] = z[20]
    query = z[20:23].clone().requires_grad_()
    scores = class_log_density(query, z[20:], y[20:], classes=3, n=8, detach_scale=False)
    scores.sum().backward()
    assert torch.isfinite(scores).all()
    assert torch.isfinite(query.grad).all()


@pytest.mark.parametrize("options", [{"tau": 0.0}, {"n": 1}, {"n": 500}, {"classes": 5}])
def test_kernel_score_refuses_bad_settings(options):
    z, y = problem()
    with pytest.raises(InputError):
        class_log_density(z[:5], z[20:], y[20:], **{"classes": 3, "n": 8, **options})


def test_a_template_whose_classes_tie_casts_no_vote():
    singular = torch.zeros(1, dtype=torch.bool)
    tie = Interpolation(torch.tensor([[0.4, 0.4, 0.2]]), singular)
    clear = Interpolation(torch.tensor([[0.1, 0.6, 0.3]]), singular)
    u = combine([tie, tie, clear], "majority").u
    mean = torch.tensor([[0.3, 1.4 / 3, 0.7 / 3]])
    assert torch.allclose(u, (torch.tensor([[0.0, 1.0, 0.0]]) + mean) / 4)
    assert predictions(combine([tie, tie], "majority").u).tolist() == [-2]
