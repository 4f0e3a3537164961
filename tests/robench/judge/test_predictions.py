"""A prediction is the class of the one largest entry; a tie and what is no number are none."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.attack.oracle import Oracle
from robench.attack.threat import Goal, ThreatModel
from robench.model.interface import NOT_FINITE, TIED, Model, OutputKind, predictions

entries = st.sampled_from([-math.inf, -2.0, -0.0, 0.0, 0.5, 1.0, 3.0, math.inf, math.nan])


def by_definition(row):
    if any(math.isnan(v) or v == math.inf for v in row) or all(v == -math.inf for v in row):
        return NOT_FINITE
    best = [i for i, v in enumerate(row) if v == max(row)]
    return best[0] if len(best) == 1 else TIED


@pytest.mark.thorough
@settings(deadline=None, max_examples=300)
@given(st.integers(1, 6).flatmap(lambda k: st.lists(st.lists(entries, min_size=k, max_size=k), min_size=1)),
       st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]))  # fmt: skip
def test_predictions_are_as_defined(rows, dtype):
    assert predictions(torch.tensor(rows, dtype=dtype)).tolist() == [by_definition(row) for row in rows]


def test_no_rows_have_no_predictions():
    assert predictions(torch.zeros(0, 4)).tolist() == []


def test_a_simplex_of_one_class_is_its_answer():
    assert predictions(torch.ones(2, 1), OutputKind.SIMPLEX).tolist() == [0, 0]


@pytest.mark.parametrize(("goal", "wanted"), [
    (Goal.UNTARGETED, [True, False, True, False]), (Goal.TARGETED, [False, True, False, False]),
])  # fmt: skip
def test_the_oracle_agrees_with_the_judge_about_ties(goal, wanted):
    class Net(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [math.nan] * 3])

    x, y = torch.full((4, 1, 2, 2), 0.5), torch.zeros(4, dtype=torch.int64)
    oracle = Oracle(Model(name="n", net=Net(), classes=3), x, y, ThreatModel(eps=0.1, goal=goal))
    assert oracle.successful(x).tolist() == wanted
    assert oracle.broken.tolist() == wanted
