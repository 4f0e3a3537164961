"""The status that a record's columns stand for is that of the judge, for every answer, goal and rejection."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from robench.attack.threat import Goal, ThreatModel, targets_under
from robench.judge.verdict import judge
from robench.model.interface import NOT_FINITE, TIED, Model
from robench.record import status as rule
from robench.record.status import STATUSES, statuses_of

CLASSES = 3
CODES = range(CLASSES + 3)
"""Pixels (in sixteenths) that give each class, the rejection, a tie and NaN."""


class ByPixel(nn.Module):
    """Answers class 0, 1 or 2, rejects, gives a tie of all classes, or NaN: as the only pixel says."""

    def __init__(self, columns):
        super().__init__()
        rows = torch.eye(CLASSES + 1)[: CLASSES + 1, :columns]
        self.rows = torch.cat([rows, torch.ones(1, columns), torch.full((1, columns), torch.nan)])

    def forward(self, x):
        return self.rows[(x.flatten() * 16).round().long()]


@pytest.mark.parametrize("goal", list(Goal))
@pytest.mark.parametrize("rejects", [False, True])
def test_it_is_the_rule_of_the_judge(goal, rejects):
    model = Model(name="m", net=ByPixel(CLASSES + rejects), classes=CLASSES, rejects=rejects)
    clean, adversarial, label = map(torch.tensor, zip(*product(CODES, CODES, range(CLASSES)), strict=True))
    if not rejects:  # the row of the rejection is zero everywhere, a tie
        assert model.net(torch.tensor([CLASSES / 16])).tolist() == [[0.0] * CLASSES]
    x, x_adv = ((pixel / 16)[:, None, None, None] for pixel in (clean, adversarial))
    threat = ThreatModel(eps=1.0, goal=goal)
    verdict = judge(model, x, label, x_adv, threat=threat, target=targets_under(goal, label, CLASSES))
    answers = set(verdict.adversarial.tolist())
    assert answers == {*range(CLASSES + rejects), NOT_FINITE, TIED}
    codes = statuses_of(
        verdict.clean.numpy(),
        verdict.adversarial.numpy(),
        label.numpy(),
        classes=CLASSES,
        targeted=goal is Goal.TARGETED,
    )
    assert [STATUSES[code] for code in codes] == [str(status) for status in verdict.status]
    assert set(codes.tolist()) == set(range(len(STATUSES)))


def test_the_codes_for_no_class_are_those_of_models():
    assert (rule.NOT_FINITE, rule.TIED) == (NOT_FINITE, TIED)


def test_narrow_columns_do_not_overflow():
    last = np.array([127], dtype=np.int8)
    codes = statuses_of(last, np.array([0], dtype=np.int8), last, classes=128, targeted=True)
    assert STATUSES[codes[0]] == "broken"  # the target of the last class is the first
