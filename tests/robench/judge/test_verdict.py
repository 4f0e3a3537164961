"""The judge trusts nothing: distance, box, finiteness and prediction are its own."""

import inspect

import pytest
import torch
from torch import nn

from robench.attack.norms import L2, LINF
from robench.attack.questions import reached
from robench.attack.threat import Goal, ThreatModel
from robench.errors import JobError
from robench.judge.verdict import fresh_outcomes, judge, with_count_as_proposed
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
    constant_model = Model(name="fixed", net=Fixed(*rows), classes=3)
    verdict = judge(constant_model, x, y, x, threat=EPS)
    assert verdict.clean.tolist() == [-2, -2, 0, -2]
    assert [str(s) for s in verdict.status] == ["misclassified", "misclassified", "robust", "misclassified"]
    (finding,) = verdict.findings
    assert finding.code == "tied-output"
    assert "3 of 4" in finding.evidence
    after = judge(constant_model, x, y, x + 0.01, threat=EPS, clean=torch.tensor([0, 0, 0, 1]))
    assert [str(s) for s in after.status] == ["broken", "broken", "robust", "misclassified"]


def test_a_tie_is_not_the_target():
    threat = ThreatModel(norm=LINF, eps=0.2, goal=Goal.TARGETED)
    x, y, target = grey(0.3, 0.3), torch.tensor([0, 0]), torch.tensor([1, 1])
    constant_model = Model(name="fixed", net=Fixed([0.5, 0.5, 0.1], [0.1, 0.5, 0.1]), classes=3)
    verdict = judge(constant_model, x, y, x + 0.01, threat=threat, target=target, clean=y)
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
    constant_model = Model(name="m", net=Fixed(*rows), classes=3)
    assert judge(constant_model, x, y, x, threat=EPS).clean.tolist() == [0, -1, -1, -1]


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
    sizes = []

    class Spy(TwoClass):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    joint = Model(name="spy", net=Spy(), classes=2, coupling=Coupling.JOINT)
    x = grey(*[0.3] * 7)
    y = torch.zeros(7, dtype=torch.int64)
    judge(joint, x, y, x, threat=EPS, batch_size=2)
    assert sizes == [7]  # unmoved: one pass serves both columns
    judge(joint, x, y, x + 0.01, threat=EPS, batch_size=2)
    assert sizes == [7, 7, 7]


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


def test_the_evidence_of_a_breach_counts_and_measures_what_was_proposed():
    x, y = grey(0.3, 0.3, 0.58), torch.tensor([0, 0, 1])
    verdict = judge(model(), x, y, grey(0.8, 0.35, -0.25), threat=EPS)
    (finding,) = verdict.findings
    assert finding.evidence == (
        "2 of 3 proposals left the threat model, by up to Linf 0.83 (eps 0.1), pixels -0.25 to 0.8"
    )
    # As proposed the classes are 1, 0 and 0: one is right. Where they land, at 0.4, 0.35 and 0.48, all are 0.
    report = with_count_as_proposed(verdict, model(), y, batch_size=2)
    (finding,) = report.findings
    assert finding.evidence.endswith("; as proposed 1 of 3 would be classified correctly, as projected 2")
    assert report.status == verdict.status


def test_the_count_as_proposed_is_told_of_nothing_else():
    x, y = grey(0.45), torch.tensor([0])
    within = judge(model(), x, y, grey(0.5), threat=EPS)
    assert [f.code for f in within.findings] == ["tied-output"]
    assert with_count_as_proposed(within, model(), y, batch_size=1) is within
    x, y = grey(0.3, 0.45), torch.tensor([0, 0])
    both = judge(model(), x, y, grey(0.8, 0.5), threat=EPS)
    report = with_count_as_proposed(both, model(), y, batch_size=1)
    assert [f.code for f in report.findings] == ["inadmissible", "tied-output"]
    assert report.findings[1] == both.findings[1]


def test_other_findings_count_too():
    x, y = grey(0.45, 0.45, 0.85), torch.tensor([0, 0, 1])
    nan = float("nan")
    verdict = judge(model(), x, y, grey(nan, 0.45, 0.95), threat=EPS)
    evidence = {finding.code: finding.evidence for finding in verdict.findings}
    assert evidence["nonfinite-proposal"] == "1 of 3 proposals were not finite"
    assert evidence["nonfinite-output"] == "the model's output was not finite on 1 of 3 images"
    assert verdict.repaired.tolist() == [True, False, False]
    assert verdict.landing.outside.tolist() == [False, False, False]
    assert verdict.linf.tolist() == pytest.approx([0, 0, 0.1], abs=1e-6)


def test_no_number_after_an_image_that_was_wrong_changes_nothing():
    # It is misclassified, as before: only on an image that was right does the failure decide.
    x, y = grey(0.85, 0.85, 0.95), torch.tensor([0, 1, 0])
    verdict = judge(model(), x, y, grey(0.95, 0.95, 0.85), threat=EPS)
    assert verdict.status == [Status.MISCLASSIFIED, Status.FAILED, Status.FAILED]


def test_what_is_known_of_the_clean_images_is_not_asked_again():
    x, y = grey(0.45), torch.tensor([0])
    verdict = judge(model(), x, y, grey(0.46), threat=EPS, clean=torch.tensor([1]))
    assert verdict.clean.tolist() == [1]
    assert verdict.status == [Status.MISCLASSIFIED]


def test_an_untargeted_threat_has_no_target():
    x, y = grey(0.45), torch.tensor([0])
    verdict = judge(model(), x, y, grey(0.55), threat=EPS, target=torch.tensor([0]))
    assert verdict.status == [Status.BROKEN]


def test_what_the_attacker_wants_of_three_classes_and_a_rejection():
    three = Model(name="three", net=Fixed([0.0] * 4), classes=3, rejects=True)
    y = torch.zeros(6, dtype=torch.int64)
    answers = torch.tensor([0, 1, 2, 3, -1, -2])  # right, wrong, wrong, rejected, no number, tied
    assert reached(three, answers, y, None).tolist() == [False, True, True, False, False, True]
    assert reached(three, answers, y, y + 2).tolist() == [False, False, True, False, False, False]


def turning(*answers):
    """Answer with the next of some lists of classes in every pass; -1 is no number, the last class is K."""
    passes = iter(answers)  # outside of the network, whose state the judge keeps as it was

    class Turning(nn.Module):
        def forward(self, x):
            draws = torch.tensor(next(passes))[: len(x)]
            out = nn.functional.one_hot(draws.clamp_min(0), 3).double()
            return torch.where((draws < 0)[:, None], torch.nan, out)

    return Turning()


@pytest.mark.parametrize(
    ("attacked", "target", "expected"),
    [
        (True, None, ["110", "011", "101"]),
        (False, None, ["100", "010", "100"]),
        (True, [1, 1, 1], ["110", "011", "101"]),
        (True, [0, 0, 0], ["011", "101", "001"]),
    ],
)
def test_fresh_draws_by_hand(attacked, target, expected):
    # Label 0, then per draw: right 0, wrong 1, rejected 2, no number -1.
    net = turning([0, 1, 0], [2, 0, -1], [1, 2, 2])
    random = Model(name="random", net=net, classes=2, rejects=True)
    y = torch.zeros(3, dtype=torch.int64)
    goal = None if target is None else torch.tensor(target)
    outcomes = fresh_outcomes(
        random, grey(0.3, 0.3, 0.3), y, attacked=attacked, target=goal, draws=3, seed=0, batch_size=9
    )
    assert outcomes == expected


def test_an_independent_model_is_asked_in_parts_and_a_joint_one_even_about_nothing():
    sizes = []

    class Spy(TwoClass):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    x = grey(*[0.3] * 7)
    y = torch.zeros(7, dtype=torch.int64)
    judge(Model(name="spy", net=Spy(), classes=2), x, y, x, threat=EPS, batch_size=3)
    assert sizes == [3, 3, 1]
    joint = Model(name="spy", net=Spy(), classes=2, coupling=Coupling.JOINT)
    assert judge(joint, x[:0], y[:0], x[:0], threat=EPS).status == []
