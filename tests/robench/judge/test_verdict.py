"""The judge trusts nothing: distance, box, finiteness and prediction are its own."""

import inspect

import pytest
import torch
from torch import nn

from robench.attack.norms import L2, LINF
from robench.attack.threat import Goal, ThreatModel
from robench.errors import JobError
from robench.judge.verdict import judge
from robench.model.interface import Coupling, Model, OutputKind
from robench.record.schema import Status


class TwoClass(nn.Module):
    """Class 1 where the mean pixel exceeds 0.5; NaN above 0.9."""

    def forward(self, x):
        mean = x.flatten(1).mean(dim=1)
        out = torch.stack([0.5 - mean, mean - 0.5], dim=1)
        return torch.where((mean > 0.9)[:, None], torch.nan, out)


def model(**options):
    return Model(name="two", net=TwoClass(), classes=2, **options)


def grey(*values):
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()


EPS = ThreatModel(norm=LINF, eps=0.1)


def test_statuses_by_hand():
    x = grey(0.45, 0.45, 0.55, 0.45, 0.45)
    y = torch.tensor([0, 0, 0, 0, 1])
    x_adv = grey(0.55, 0.46, 0.45, 0.45, 0.55)
    verdict = judge(model(), x, y, x_adv, threat=EPS)
    # broken; robust; wrong before, "fixed" after; unmoved; wrong before
    assert verdict.status == [
        Status.BROKEN,
        Status.ROBUST,
        Status.MISCLASSIFIED,
        Status.ROBUST,
        Status.MISCLASSIFIED,
    ]
    assert verdict.linf[0] == pytest.approx(0.1, abs=1e-6)
    assert verdict.l2[0] == pytest.approx(0.2, abs=1e-6)
    assert verdict.findings == ()


def test_a_proposal_outside_the_ball_is_projected_and_found():
    x, y = grey(0.3, 0.3), torch.tensor([0, 0])
    verdict = judge(model(), x, y, grey(0.8, 0.35), threat=EPS)
    assert verdict.status == [Status.ROBUST, Status.ROBUST]  # at 0.4, where it lands, it is class 0
    assert verdict.repaired.tolist() == [True, False]
    assert [f.code for f in verdict.findings] == ["inadmissible"]
    assert float(verdict.linf.max()) <= 0.1 + 1e-6


@pytest.mark.parametrize("factor", [1.01, 1.0001])
@pytest.mark.parametrize("norm", [LINF, L2])
def test_a_slight_overshoot_is_found(factor, norm):
    threat = ThreatModel(norm=norm, eps=0.1)
    x, y = grey(0.45), torch.tensor([0])
    step = 0.1 * factor if norm is LINF else 0.05 * factor
    assert judge(model(), x, y, x + step, threat=threat).repaired.tolist() == [True]


def test_rounding_at_the_exact_radius_is_no_violation():
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(200, 3, 8, 8, generator=generator)
    threat = ThreatModel(norm=LINF, eps=8 / 255)
    x_adv = threat.project(x, x + torch.where(torch.rand(x.shape, generator=generator) > 0.5, 1.0, -1.0))
    assert bool(threat.admits(x, x_adv).all())


def test_pixels_outside_the_box_are_clipped_and_found():
    verdict = judge(model(), grey(0.02), torch.tensor([0]), grey(-0.05), threat=EPS)
    assert verdict.repaired.tolist() == [True]
    assert float(verdict.linf[0]) == pytest.approx(0.02, abs=1e-6)


def test_nan_proposals_become_the_clean_image():
    verdict = judge(model(), grey(0.45), torch.tensor([0]), grey(float("nan")), threat=EPS)
    assert verdict.status == [Status.ROBUST]
    assert [f.code for f in verdict.findings] == ["nonfinite-proposal"]


def test_nan_outputs_are_never_robust():
    x, y = grey(0.85, 0.95), torch.tensor([1, 1])
    verdict = judge(model(), x, y, grey(0.95, 0.95), threat=EPS)
    assert verdict.status == [Status.FAILED, Status.FAILED]
    assert "nonfinite-output" in [f.code for f in verdict.findings]


class Fixed(nn.Module):
    """The same rows of outputs whatever it is shown."""

    def __init__(self, *rows):
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, x):
        return self.rows


def test_a_tie_is_no_answer_before_or_after_the_attack():
    rows = [[0.5, 0.5, 0.1], [0.3, 0.3, 0.3], [0.9, 0.5, 0.1], [0.1, 0.5, 0.5]]
    x, y = grey(0.3, 0.3, 0.3, 0.3), torch.tensor([0, 0, 0, 0])
    fixed = Model(name="fixed", net=Fixed(*rows), classes=3)
    verdict = judge(fixed, x, y, x, threat=EPS)
    assert verdict.clean.tolist() == [-2, -2, 0, -2]
    assert [str(s) for s in verdict.status] == ["misclassified", "misclassified", "robust", "misclassified"]
    (finding,) = verdict.findings
    assert finding.code == "tied-output"
    assert "3 of 4" in finding.evidence
    after = judge(fixed, x, y, x + 0.01, threat=EPS, clean=torch.tensor([0, 0, 0, 1]))
    assert [str(s) for s in after.status] == ["broken", "broken", "robust", "misclassified"]


def test_a_tie_is_not_the_target():
    threat = ThreatModel(norm=LINF, eps=0.2, goal=Goal.TARGETED)
    x, y, target = grey(0.3, 0.3), torch.tensor([0, 0]), torch.tensor([1, 1])
    fixed = Model(name="fixed", net=Fixed([0.5, 0.5, 0.1], [0.1, 0.5, 0.1]), classes=3)
    verdict = judge(fixed, x, y, x + 0.01, threat=threat, target=target, clean=y)
    assert verdict.status == [Status.ROBUST, Status.BROKEN]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_answers_that_tie_by_rounding_are_ties(dtype):
    rows = torch.tensor([[1.0, 1.0001], [1.0, 2.0]]).to(dtype)
    net = Fixed([0.0, 0.0])
    net.rows = rows
    x, y = grey(0.3, 0.3), torch.tensor([0, 1])
    assert judge(Model(name="r", net=net, classes=2), x, y, x, threat=EPS).clean.tolist() == [-2, 1]


def test_a_simplex_row_is_uniform_up_to_a_solvers_rounding():
    row = [1 / 3 + 2e-7, 1 / 3, 1 / 3]
    x, y = grey(0.3), torch.tensor([0])
    simplex = Model(name="s", net=Fixed(row), classes=3, output=OutputKind.SIMPLEX)
    assert judge(simplex, x, y, x, threat=EPS).clean.tolist() == [-2]
    logits = Model(name="s", net=Fixed(row), classes=3)
    assert judge(logits, x, y, x, threat=EPS).clean.tolist() == [0]


def test_a_masked_class_is_an_ordinary_answer():
    low, nan = float("-inf"), float("nan")
    rows = [[1.0, low, 0.0], [low, low, low], [1.0, nan, low], [float("inf"), 0.0, low]]
    x, y = grey(*[0.3] * 4), torch.tensor([0, 0, 0, 0])
    masked = Model(name="m", net=Fixed(*rows), classes=3)
    assert judge(masked, x, y, x, threat=EPS).clean.tolist() == [0, -1, -1, -1]


def test_targeted_success_needs_the_target():
    threat = ThreatModel(norm=LINF, eps=0.2, goal=Goal.TARGETED)
    x, y = grey(0.45, 0.45), torch.tensor([0, 0])
    verdict = judge(model(), x, y, grey(0.55, 0.45), threat=threat, target=torch.tensor([1, 1]))
    assert verdict.status == [Status.BROKEN, Status.ROBUST]


def test_wrong_shapes_fail_the_job():
    with pytest.raises(JobError, match="shape"):
        inspect.unwrap(judge)(model(), grey(0.3), torch.tensor([0]), torch.zeros(1, 1, 3, 3), threat=EPS)
    wrong = Model(name="two", net=TwoClass(), classes=3)
    with pytest.raises(JobError, match=r"\(1, 3\)"):
        judge(wrong, grey(0.3), torch.tensor([0]), grey(0.3), threat=EPS)


def test_a_joint_batch_is_never_split():
    seen = []

    class Spy(TwoClass):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    joint = Model(name="spy", net=Spy(), classes=2, coupling=Coupling.JOINT)
    x = grey(*[0.3] * 7)
    y = torch.zeros(7, dtype=torch.int64)
    judge(joint, x, y, x, threat=EPS, batch_size=2)
    assert seen == [7]  # unmoved: one pass serves both columns
    judge(joint, x, y, x + 0.01, threat=EPS, batch_size=2)
    assert seen == [7, 7, 7]


def test_mode_flags_and_layout_are_restored():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    net[1].eval()
    net[0].weight.requires_grad_(False)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    pointers = [p.data_ptr() for p in net.parameters()]
    judge(Model(name="n", net=net, classes=2), grey(0.3), torch.tensor([0]), grey(0.3), threat=EPS)
    assert [m.training for m in net] == [True, False, True, True]
    assert [p.requires_grad for p in net.parameters()] == [False, True, True, True, True, True]
    assert [p.data_ptr() for p in net.parameters()] == pointers
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
