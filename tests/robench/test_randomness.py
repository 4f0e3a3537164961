"""A number depends on seed, image, stream and draw, and on nothing else."""

import random

import numpy as np
import pytest
import torch

from robench.randomness import Randomness, borrowed_global_randomness, kept_global_randomness, seed_from


def states():
    return torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()


def same(a, b):
    return torch.equal(a[0], b[0]) and (a[1] == b[1]).all() and a[2] == b[2]


@pytest.mark.parametrize("draw", ["uniform", "normal"])
def test_batch_composition_and_order_do_not_matter(draw):
    indices = torch.arange(100, 130)
    like = torch.empty(30, 2, 3, 3)
    whole = getattr(Randomness(7, indices, ("a",)), draw)(like)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    assert torch.equal(getattr(Randomness(7, indices[order], ("a",)), draw)(like), whole[order])
    for part in torch.split(order, 7):
        draws = getattr(Randomness(7, indices[part], ("a",)), draw)(like[: len(part)])
        assert torch.equal(draws, whole[part])


def test_streams_are_distinct():
    like = torch.empty(4, 50)
    images = torch.arange(4)
    base = Randomness(1, images)
    first, second = base.uniform(like), base.uniform(like)
    others = [
        first,
        second,
        Randomness(2, images).uniform(like),
        Randomness(1, images + 4).uniform(like),
        base.split("restart", 0).uniform(like),
        base.split("restart", 1).uniform(like),
    ]
    for i, a in enumerate(others):
        assert len(a.unique()) > 190
        assert all(not torch.equal(a, b) for b in others[:i])
    assert torch.equal(base.split("restart", 1).uniform(like), others[-1])


def test_moments():
    like = torch.empty(50, 4000)
    u = Randomness(3, torch.arange(50)).uniform(like)
    assert u.min() >= 0
    assert u.max() < 1
    assert float(u.mean()) == pytest.approx(0.5, abs=0.003)
    assert float(u.var()) == pytest.approx(1 / 12, abs=0.001)
    assert (torch.histc(u, 20, 0, 1) / u.numel() - 0.05).abs().max() < 0.002
    assert torch.corrcoef(u).fill_diagonal_(0).abs().max() < 0.1  # images are uncorrelated
    lag = torch.corrcoef(torch.stack([u[:, :-1].flatten(), u[:, 1:].flatten()]))[0, 1]
    assert abs(float(lag)) < 0.01
    n = Randomness(3, torch.arange(50)).normal(like)
    assert float(n.mean()) == pytest.approx(0, abs=0.01)
    assert float(n.std()) == pytest.approx(1, abs=0.01)
    assert float((n**4).mean()) == pytest.approx(3, abs=0.1)


def test_no_global_generator_is_touched():
    before = states()
    rng = Randomness(3, torch.arange(5))
    rng.uniform(torch.empty(5, 3))
    rng.normal(torch.empty(5, 3))
    rng.torch_seed()
    assert same(states(), before)


def test_borrowed_randomness_is_seeded_and_restored_even_after_an_error():
    before = states()
    draws = []
    for _ in range(2):
        with borrowed_global_randomness(5):
            draws.append((torch.rand(1).item(), np.random.rand(), random.random()))
        assert same(states(), before)
    assert draws[0] == draws[1]

    def draw_and_fail():
        with borrowed_global_randomness(5):
            torch.rand(1), np.random.rand(), random.random()
            raise KeyError

    with pytest.raises(KeyError):
        draw_and_fail()
    assert same(states(), before)


@pytest.mark.parametrize("seed", [0, 5, -3, 2**63 - 1, -(2**63)])
def test_borrowed_numbers_are_those_that_torch_gives_for_the_seed(seed):
    with kept_global_randomness():
        torch.manual_seed(seed)
        expected = torch.rand(5)
    with borrowed_global_randomness(seed):
        assert torch.equal(torch.rand(5), expected)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a device here")
def test_without_a_device_no_seed_is_noted_for_one(monkeypatch):
    """`torch.manual_seed` would note it with the text of the whole stack, thousands of times in a run."""
    monkeypatch.delattr(torch, "manual_seed")
    with borrowed_global_randomness(5):
        assert 0 <= torch.rand(1).item() < 1


def test_seeds():
    assert seed_from(1, "a") == seed_from(1, "a") != seed_from(1, "b")
    assert 0 <= Randomness(0, torch.arange(3)).torch_seed() < 2**31
    assert Randomness(0, torch.arange(3)).torch_seed() != Randomness(0, torch.arange(4)).torch_seed()
