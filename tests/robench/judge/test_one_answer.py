"""A network with one answer for every image, and images that are there several times, are found."""

import pytest
import torch
from torch import nn

import robench
from robench.data.images import image_set
from robench.judge.one_answer import one_answer
from robench.judge.overlap import copies_in
from tests.truths import images

LABELS = torch.tensor([1] * 130 + [0] * 10 + [2] * 10)


def test_one_answer_to_all_is_told_with_what_it_misses():
    doubt = one_answer(torch.ones(150, dtype=torch.long), LABELS)
    assert doubt.code == "one-answer"
    assert doubt.evidence == "it answers class 1 for 150 of 150 images, of which 20 are of other classes"


@pytest.mark.parametrize(
    ("answers", "labels"),
    [
        (LABELS, LABELS),
        (torch.tensor([1] * 148 + [0] * 2), LABELS),  # two answers
        (torch.ones(150, dtype=torch.long), torch.tensor([1] * 146 + [0] * 4)),  # four may be missed
        (torch.full((150,), -1), LABELS),  # no answers at all are told elsewhere
        (torch.ones(130, dtype=torch.long), LABELS[:130]),  # a shard of one class
        (torch.empty(0, dtype=torch.long), LABELS[:0]),
    ],
)
def test_others_are_not_told(answers, labels):
    assert one_answer(answers, labels) is None


class Always(nn.Module):
    """Answers class 1, and more surely so where the image is bright."""

    def forward(self, x):
        bright = x.mean((1, 2, 3))
        return torch.stack([bright, 20 + bright, -bright], dim=1)


def test_such_a_network_has_no_rank_however_often_it_is_right():
    attack = {"pgd": robench.make_attack("pgd", steps=5)}
    data = robench.image_set(images(150), LABELS, classes=3)
    (row,) = (
        robench.benchmark({"net": Always()}, data, attacks=attack, eps=0.1).leaderboard().to_dict("records")
    )
    assert row["clean"] == pytest.approx(130 / 150)
    assert "one-answer" in row["standing"]
    assert row["rank"] != row["rank"]  # none


def test_copies_are_counted_to_the_pixel():
    x = images(40)
    y = torch.arange(40) % 2
    assert copies_in(image_set(x, y)) == ()
    assert copies_in(image_set(torch.cat([x[:38], x[:2]]), y)) == ()
    (doubt,) = copies_in(image_set(torch.cat([x[:37], x[:3]]), y))
    assert doubt.code == "copied-images"
    assert doubt.evidence == "only 37 of 40 images are different"
    x[1] = x[0] + 1e-6
    assert copies_in(image_set(x, y)) == ()
