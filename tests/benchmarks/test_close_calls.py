"""On what saved passes are spent: every image stands in one band, and losses say rightly what is broken."""

from itertools import pairwise

import torch
from torch import nn

from benchmarks.close_calls import BANDS, LOSSES, Ascents, probability_margin
from robench.attack.norms import LINF
from robench.model.interface import OutputKind
from tests.truths import attacked, classify, images, small_net


def test_the_margin_of_probabilities_is_positive_exactly_where_the_label_is_not_first():
    outputs = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    y = torch.arange(50) % 4
    value = probability_margin(outputs, y, OutputKind.LOGITS)
    assert torch.equal(value > 0, outputs.argmax(dim=1) != y)
    chances = nn.functional.softmax(outputs[:1], dim=1)[0]
    assert torch.isclose(value[0], chances[1:].max() - chances[0])


def test_images_are_counted_once_and_none_is_broken_that_was_not_near():
    model, x = small_net(seed=3), images(20)
    y = classify(model, x)
    attack = Ascents(LOSSES["all four in turn"], tries=4, steps=5)
    _, oracle, _ = attacked(attack, model, x, y, norm=LINF, eps=0.02)
    assert len(attack.near) == len(attack.broken) == len(BANDS)
    assert sum(attack.near) <= len(x)
    assert all(wins <= near for wins, near in zip(attack.broken, attack.near, strict=True))
    assert int((~oracle.broken).sum()) <= len(x) - sum(attack.broken)


def test_bands_follow_each_other():
    assert all(left[1] == right[0] for left, right in pairwise(BANDS))
