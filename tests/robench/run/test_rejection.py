"""What a rejection means: the judge, the oracle and the losses agree that it stops an attack."""

import pytest
import torch
from torch import nn

from robench.attack.losses import margin, without_rejection
from robench.attack.oracle import Oracle
from robench.attack.threat import Goal, ThreatModel
from robench.errors import JobError
from robench.judge.verdict import judge
from robench.model.interface import Model, OutputKind, predictions
from robench.record.schema import Status
from tests.truths import images

EPS = ThreatModel(eps=1.0)


class Thirds(nn.Module):
    """Class 0 below 1/3 of grey, rejection between, class 1 above 2/3."""

    def forward(self, x):
        mean = x.flatten(1).mean(dim=1)
        return torch.stack([1 - mean, mean, 1 - 0.9 * (mean - 0.5).abs() * 2], dim=1) - torch.tensor(
            [0.4, 0.4, 0.8]
        )


def model(**options):
    return Model(name="thirds", net=Thirds(), classes=2, **{"rejects": True, **options})


def grey(*values):
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()


def test_the_toy_rejects_in_the_middle():
    answers = predictions(model().net(grey(0.1, 0.5, 0.9)))
    assert answers.tolist() == [0, 2, 1]


def test_the_judge_counts_a_rejected_proposal_as_robust_and_a_rejected_clean_image_as_wrong():
    x = grey(0.1, 0.1, 0.5, 0.5)
    y = torch.tensor([0, 0, 0, 1])
    verdict = judge(model(), x, y, grey(0.5, 0.9, 0.9, 0.1), threat=EPS)
    assert verdict.status == [Status.ROBUST, Status.BROKEN, Status.MISCLASSIFIED, Status.MISCLASSIFIED]
    assert verdict.clean.tolist() == [0, 0, 2, 2]
    assert verdict.adversarial.tolist() == [2, 1, 1, 0]


def test_under_a_targeted_goal_a_rejection_is_not_the_target():
    threat = ThreatModel(eps=1.0, goal=Goal.TARGETED)
    x, y, target = grey(0.1, 0.1), torch.tensor([0, 0]), torch.tensor([1, 1])
    verdict = judge(model(), x, y, grey(0.5, 0.9), threat=threat, target=target)
    assert verdict.status == [Status.ROBUST, Status.BROKEN]


def test_a_model_that_says_it_rejects_must_have_the_column():
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), grey(0.1)
    with pytest.raises(JobError, match=r"\(1, 3\)"):
        judge(Model(name="n", net=net, classes=2, rejects=True), x, torch.tensor([0]), x, threat=EPS)


def test_the_oracle_does_not_take_a_rejection_for_success():
    x, y = grey(0.1, 0.1), torch.tensor([0, 0])
    oracle = Oracle(model(), x, y, EPS)
    assert oracle.successful(grey(0.5, 0.9)).tolist() == [False, True]
    assert oracle.broken.tolist() == [False, True]
    outputs = oracle.outputs(grey(0.5, 0.9))
    assert outputs.shape == (2, 2)
    assert predictions(outputs).tolist() == [0, 1]
    assert (oracle.value(margin, grey(0.5, 0.9)) > 0).tolist() == [False, True]


def test_rejection_is_part_of_the_fingerprint():
    assert model().fingerprint() != model(rejects=False).fingerprint()
    assert model().columns == 3
    assert model(rejects=False).columns == 2


@pytest.mark.parametrize("targeted", [False, True])
def test_seen_scores_are_won_exactly_where_the_attack_succeeds(targeted):
    outputs = images(500, shape=(1, 5), seed=2)[:, 0].squeeze(1).log()
    y = torch.randint(4, (500,), generator=torch.Generator().manual_seed(0))
    scores = without_rejection(outputs, y, targeted=targeted)
    answers = predictions(outputs)
    successes = answers == y if targeted else (answers != y) & (answers < 4)
    lead = margin(scores, y, OutputKind.LOG_PROBABILITIES)
    assert scores.shape == (500, 4)
    assert 50 < int(successes.sum()) < 450
    assert torch.equal(lead < 0 if targeted else lead > 0, successes)
