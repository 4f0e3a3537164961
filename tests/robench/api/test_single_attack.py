"""`robench.attack`: images, verdicts and distances against the truth of a linear model; nonsense refused."""

import statistics
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import robench
from defenses.inference.bit_depth import BitDepth
from defenses.inference.smoothing import Smoothing
from reports.board.leaderboard import boards
from robench.errors import ConfigError, InputError, JobError, PluginError
from robench.record.schema import Finding, Status

WEIGHT = torch.tensor([[1.0, -2.0, 0.5, 3.0], [0.0, 1.0, -1.0, 0.5], [-1.0, 0.5, 1.0, -1.0]])


def linear():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False))
    net[1].weight.data.copy_(WEIGHT)
    return net


def images(count=40):
    x = 0.3 + 0.4 * torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    y = (x.flatten(1) @ WEIGHT.T).argmax(dim=1)
    y[0] = (y[0] + 1) % 3
    return x, y


def smallest(x, y):
    """The Linf distance of each image to the nearest boundary: gap of scores over the L1 norm of weights."""
    scores = x.flatten(1) @ WEIGHT.T
    gaps = scores.gather(1, y[:, None]) - scores
    norms = (WEIGHT[y][:, None] - WEIGHT[None]).abs().sum(dim=2)
    return (gaps / norms.clamp_min(1e-9)).where(torch.arange(3) != y[:, None], torch.inf).amin(dim=1)


def test_verdicts_are_those_of_the_closed_form():
    x, y = images()
    eps = 0.05
    result = robench.attack(linear(), x, y, "pgd", eps=eps, steps=20)
    distance = smallest(x, y)
    truth = ["misclassified" if d <= 0 else "broken" if d < eps else "robust" for d in distance.tolist()]
    sure = ((distance - eps).abs() > 1e-4).tolist()
    assert [s for s, ok in zip(result.status, sure, strict=True) if ok] == [
        t for t, ok in zip(truth, sure, strict=True) if ok
    ]
    assert {"robust", "broken", "misclassified"} <= {str(s) for s in result.status}
    assert result.images.shape == x.shape
    assert float((result.images - x).abs().max()) <= eps + 1e-6
    assert torch.equal(result.linf, (result.images.double() - x.double()).abs().flatten(1).amax(dim=1))
    assert torch.equal(result.distance, result.linf)
    scores = result.images.flatten(1) @ WEIGHT.T
    assert torch.equal(result.adversarial, scores.argmax(dim=1))
    assert torch.equal(result.broken, torch.tensor([s is Status.BROKEN for s in result.status]))
    assert result.robust_accuracy == truth.count("robust") / 40
    assert len(result) == 40


def test_of_a_targeted_attack_an_image_is_not_led_to_its_target_rather_than_robust():
    x, y = images()
    result = robench.attack(linear(), x, y, "pgd", eps=0.05, steps=5, targeted=True)
    assert f"{result.status.count(Status.ROBUST)} of 40 images not led to their target" in repr(result)
    assert "robust" not in repr(result)
    assert "images robust" in repr(robench.attack(linear(), x, y, "pgd", eps=0.05, steps=5))


def test_hardly_any_clean_image_right_is_a_finding_as_on_a_board():
    x, y = images()
    codes = {finding.code for finding in robench.attack(linear(), x, y, "fgsm", eps=0.05).findings}
    assert "low-clean" not in codes
    wrong = robench.attack(linear(), x, (y + 1) % 3, "fgsm", eps=0.05)
    assert "low-clean" in wrong.leaderboard()["findings"][0]
    (doubt,) = [finding for finding in wrong.findings if finding.code == "low-clean"]
    assert doubt.evidence == "0 of 40 clean images are classified right, and chance is 1 in 3"
    assert "low-clean" in repr(wrong)


def test_what_a_board_lifts_is_told_apart():
    x, y = images()
    result = robench.attack(linear(), x, y, "pgd", eps=0.02, steps=5)
    assert not result.lifted & set(result.leaderboard().standing[0].split())
    assert {f.code for f in result.findings} - result.lifted <= set(result.leaderboard().standing[0].split())
    other = replace(result, findings=(Finding(code="not-converged", evidence="e", remedy="r"),))
    assert "; findings: not-converged" in repr(other)
    assert repr(replace(other, lifted=frozenset({"not-converged"}))).endswith("; lifted: not-converged)")


def test_an_attack_of_one_step_is_told_to_be_weak():
    x, y = images()
    for name, options in (("fgsm", {}), ("pgd", {"steps": 1})):
        assert "weak-attacks-only" in repr(robench.attack(linear(), x, y, name, eps=0.02, **options))
    assert "weak-attacks-only" not in repr(robench.attack(linear(), x, y, "pgd", eps=0.02, steps=5))


def test_more_outputs_than_many_labels_show_classes_are_refused():
    x, y = images()
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 4, bias=False))
    with pytest.raises(
        InputError, match=r"expected 3 outputs.* 40 labels show, got 4\. If .*classes=4\)"
    ) as refusal:
        robench.attack(net, x, y, "fgsm", eps=0.05)
    assert "class_map" in str(refusal.value)
    model = robench.wrap(net, name="net", classes=4)
    assert len(robench.attack(model, x, y, "fgsm", eps=0.05)) == 40
    assert len(robench.attack(net, x[:19], y[:19], "fgsm", eps=0.05)) == 19  # too few labels to tell
    assert len(robench.attack(net, x, y + (y == 2), "fgsm", eps=0.05)) == 40  # some of the classes


def test_a_result_has_the_row_and_the_figures_of_its_records():
    x, y = images()
    result = robench.attack(linear(), x, y, "fgsm", eps=0.05)
    (row,) = result.leaderboard().to_dict("records")
    assert (row["model"], row["n"], row["worst_case"]) == ("Sequential", 40, result.robust_accuracy)
    assert result.plot.tradeoff().svg.startswith("<")


@pytest.mark.thorough
def test_text_is_a_radius_and_repeats_bit_for_bit():
    x, y = images()
    one = robench.attack(linear(), x, y, "pgd", eps="8/255", step_size="2/255")
    two = robench.attack(linear(), x.numpy().astype("float64"), y.numpy().astype("int32"), "pgd", eps=8 / 255,
                         step_size=2 / 255, batch_size=7)  # fmt: skip
    assert torch.equal(one.images, two.images)
    assert one.eps == "8/255"
    assert "Linf 8/255" in repr(one)
    short = {"eps": "8/255", "steps": 1, "step_size": "1/255"}
    starts = [robench.attack(linear(), x, y, "pgd", seed=seed, **short).images for seed in (0, 1)]
    assert not torch.equal(*starts)


def test_the_smallest_perturbation():
    x, y = images()
    result = robench.attack(linear(), x, y, "deepfool", eps="inf")
    assert repr(result).startswith("Attacked(deepfool, smallest Linf perturbation: ")
    right = smallest(x, y) > 0
    assert bool(result.broken[right].all())
    assert torch.allclose(result.linf[right].float(), smallest(x, y)[right], rtol=0.05)


def test_the_median_of_an_even_number_is_between_the_two_in_the_middle():
    x, y = images(3)
    result = robench.attack(linear(), x[1:], y[1:], "deepfool", eps="inf", norm="L2")
    assert int(result.broken.sum()) == 2
    assert f"median over all images {float(result.distance.mean()):.4g}" in repr(result)
    assert boards(result.records)[0].rows[0].median_l2 == pytest.approx(float(result.distance.mean()))


def test_the_median_counts_an_image_that_was_wrong_before_as_the_table_does():
    x, y = images()
    y = (y + (torch.arange(len(y)) % 3 == 0).long()) % 3
    result = robench.attack(linear(), x, y, "deepfool", eps="inf", norm="L2")
    sizes = [float(d) if s == "broken" else 0.0 for d, s in zip(result.distance, result.status, strict=True)]
    assert 0 in sizes
    assert max(sizes) > 0
    assert f"median over all images {statistics.median(sizes):.4g}" in repr(result)
    assert result.leaderboard().median_size[0] == pytest.approx(statistics.median(sizes))


def guarded(net, defense, classes):
    model = robench.wrap(net, name="m", classes=classes)
    return defense(model, training_data=lambda: None, seed=0)


class NoNumber(nn.Module):
    """Two classes by the mean of an image; no number where it is above 0.9."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        lead = ((mean - 0.3) ** 2 - 1) * self.scale
        scores = torch.stack([torch.zeros_like(lead), lead], 1)
        return scores + torch.where(mean > 0.9, torch.nan, 0.0)[:, None].detach()


def test_an_image_without_an_answer_through_one_source_is_not_robust():
    """One bit: the gradient of 1 at 0.45 rounded up is none, that of the network before it leads to NaN."""
    x, y = torch.full((4, 1, 2, 2), 0.45), torch.zeros(4, dtype=torch.long)
    result = robench.attack(guarded(NoNumber(), BitDepth(bits=1), 2), x, y, "fgsm", eps=0.1)
    statuses = {r.source.gradient_source: set(r.columns.status) for r in result.records}
    assert {"robust"} in statuses.values()
    assert {"failed"} in statuses.values()
    assert set(result.status) == {Status.FAILED}
    assert result.robust_accuracy == boards(result.records)[0].rows[0].worst_case.value == 0
    assert "0 of 4 images robust" in repr(result)
    assert "4 failed" in repr(result)


def test_the_smallest_change_over_all_gradient_sources_is_kept():
    x, y = images(12)
    model = guarded(linear(), BitDepth(bits=4), 3)
    y = model(x).argmax(dim=1)
    result = robench.attack(model, x, y, "fmn", eps="inf", norm="L2", steps=30)
    rows = [r.columns.l2 for r in result.records if not r.attack.is_clean]
    sizes = torch.tensor(rows, dtype=torch.float64)
    assert len(sizes) == 2
    assert int(result.broken.sum()) > 8
    sizes, own = sizes[:, result.broken], result.l2[result.broken]
    assert not torch.equal(sizes[0], sizes.amin(dim=0))
    assert torch.equal(own, sizes.amin(dim=0))
    assert torch.allclose(result.distance, result.l2)
    assert torch.allclose((result.images - x).flatten(1).norm(dim=1).double(), result.l2, atol=1e-6)


@pytest.mark.thorough
def test_of_a_random_model_the_accuracy_is_over_fresh_draws_as_on_the_board():
    x, _ = images()
    model = guarded(linear(), Smoothing(sigma=0.5, votes=9, samples=4), 3)
    result = robench.attack(model, x, model(x).argmax(dim=1), "square", eps=0.02, queries=20)
    (row,) = boards(result.records)[0].rows
    assert result.robust_accuracy == pytest.approx(row.worst_case.value)
    assert result.one_draw_accuracy == pytest.approx(row.one_draw.value)
    stand = int(result.robust.sum())
    assert result.one_draw_accuracy == stand / 40 != result.robust_accuracy
    assert f"{100 * result.robust_accuracy:.1f} % robust [" in repr(result)
    assert f"over 10 fresh draws; in the attacked draw {stand} of 40 images robust" in repr(result)
    assert result.stood
    assert robench.attack(linear(), x, images()[1], "fgsm", eps=0.1).stood == ()


class TwoAnswers(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        scores = self.net(x)
        return scores, scores.mean()


class Named(TwoAnswers):
    def forward(self, x):
        return SimpleNamespace(loss=None, logits=self.net(x))


def step(model, x, y, eps):
    x = x.requires_grad_(True)
    nn.functional.cross_entropy(model(x), y, reduction="sum").backward()
    return (x + eps * x.grad.sign()).clamp(0, 1)


@pytest.mark.thorough
def test_networks_functions_and_attacks_of_many_kinds_give_the_same(tmp_path):
    x, y = images()
    net = linear().train()
    expected = robench.attack(net, x, y, "fgsm", eps=0.05)
    (tmp_path / "mine.py").write_text(
        "from torch.nn.functional import cross_entropy\n"
        "def step(model, x, y, eps):\n"
        "    x = x.requires_grad_(True)\n"
        "    cross_entropy(model(x), y, reduction='sum').backward()\n"
        "    return (x + eps * x.grad.sign()).clamp(0, 1)\n"
    )
    results = [
        robench.attack(TwoAnswers(net), x, y, "fgsm", eps=0.05),
        robench.attack(Named(net), x, y, "fgsm", eps=0.05),
        robench.attack(lambda z: net(1.0 * z), x, y, "fgsm", eps=0.05),
        robench.attack(net.forward, x, y, "fgsm", eps=0.05),
        robench.attack(net.double(), x, y, "fgsm", eps=0.05),
        robench.attack(net.float(), (x * 255).round().to(torch.uint8) / 255, y, "fgsm", eps=0.05),
        robench.attack(robench.wrap(net, name="a", classes=3), x, y, "fgsm", eps=0.05),
        robench.attack(net, x, y, robench.make_attack("fgsm"), eps=0.05),
        robench.attack(net, x, y, step, eps=0.05),
        robench.attack(net, x, y, f"{tmp_path}/mine.py:step", eps=0.05),
        robench.attack(net, x.requires_grad_(True), y[:, None], "fgsm", eps=0.05),
    ]
    x = x.detach()
    assert net.training
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    for result in results[:5] + results[6:]:
        assert result.status == expected.status
    assert results[-2].attack == "step"


def test_a_function_in_training_mode_is_asked_in_evaluation_mode_and_left_in_its_own():
    net = nn.Sequential(nn.Dropout(0.9), linear()).train()
    x, y = images()
    result = robench.attack(lambda z: net(1.0 * z), x, y, "fgsm", eps=0.0)
    assert "randomized" not in repr(result)
    assert [s for s in result.status if s is Status.ROBUST] == [Status.ROBUST] * 39
    assert net.training


class Bound:
    """An attack as libraries make them: with its network, and called with images and labels."""

    def __init__(self, model):
        self.model = model

    def __call__(self, *inputs):
        return inputs[0]


X, Y = images(6)
NONSENSE = [
    (lambda: robench.attack(linear(), X * 255, Y, eps=0.1), InputError, "255"),
    (lambda: robench.attack(linear(), X - 0.5, Y, eps=0.1), InputError, r"\[0, 1\]"),
    (lambda: robench.attack(linear(), X * torch.nan, Y, eps=0.1), InputError, "finite|NaN"),
    (lambda: robench.attack(linear(), torch.rand(6, 8, 8, 1), Y, eps=0.1), InputError, "N, H, W, C"),
    (lambda: robench.attack(linear(), X[0], Y, eps=0.1), InputError, "images"),
    (lambda: robench.attack(linear(), X[:0], Y[:0], eps=0.1), InputError, "images"),
    (lambda: robench.attack(linear(), "x", Y, eps=0.1), InputError, "images"),
    (lambda: robench.attack(linear(), X, Y[:3], eps=0.1), InputError, "labels"),
    (lambda: robench.attack(linear(), X, Y.float(), eps=0.1), InputError, "labels"),
    (lambda: robench.attack(linear(), X, nn.functional.one_hot(Y, 3), eps=0.1), InputError, "one-hot"),
    (lambda: robench.attack(linear(), X, Y + 3, eps=0.1), InputError, "0 to 2|below 3|classes"),
    (lambda: robench.attack(linear(), X[..., :1], Y, eps=0.1), InputError, r"images of shape \(2, 1, 2, 1\)"),
    (lambda: robench.attack(nn.Linear, X, Y, eps=0.1), InputError, "the class Linear. Make an instance"),
    (lambda: robench.attack("net", X, Y, eps=0.1), InputError, "a torch.nn.Module or a function"),
    (lambda: robench.attack(None, X, Y, eps=0.1), InputError, "a NoneType"),
    (lambda: robench.attack(lambda a, b: a, X, Y, eps=0.1), InputError, "TypeError"),
    (lambda: robench.attack(lambda z: 1, X, Y, eps=0.1), InputError, "one tensor of shape"),
    (lambda: robench.attack(lambda z: z, X, Y, eps=0.1), InputError, r"outputs of shape \(2, classes\)"),
    (lambda: robench.attack(lambda z: np.zeros((len(z), 3)), X, Y, eps=0.1), InputError, "one tensor"),
    (lambda: robench.attack(linear(), X, Y, "pdg", eps=0.1), PluginError, "Did you mean .*'pgd'"),
    (lambda: robench.attack(linear(), X, Y, 3, eps=0.1), InputError, "the name of an attack"),
    (lambda: robench.attack(linear(), X, Y, ["pgd", "fgsm"], eps=0.1), InputError, "robench.benchmark"),
    (lambda: robench.attack(linear(), X, Y, Bound(linear()), eps=0.1), ConfigError, "a network of its own"),
    (lambda: robench.attack(linear, X, Y, eps=0.1), InputError, r"called first: net = make\(\)"),
    (lambda: robench.attack(linear(), X, Y, eps=0.1, targeted=Y), InputError, "targeted: .*True or False"),
    (lambda: robench.attack(linear(), X, Y, eps=0.1, norm=3), ConfigError, "the name of a norm, got '3'"),
    (lambda: robench.attack(linear(), X, Y, eps=0.1, norm=None), ConfigError, "the name of a norm"),
    (lambda: robench.attack(linear(), X, Y, eps="8/0"), ConfigError, "eps: expected a number"),
    (lambda: robench.attack(linear(), X, Y, eps=-1), ConfigError, "eps: expected a number"),
    (lambda: robench.attack(linear(), X, Y, eps=None), ConfigError, "eps: expected a number"),
    (lambda: robench.attack(linear(), X, Y, "pgd"), ConfigError, "got none. Write eps=.8/255. for"),
    (lambda: robench.benchmark(linear(), (X, Y), attacks="pgd"), ConfigError, "got none. Write eps="),
    (lambda: robench.attack(linear(), X, Y, eps=True), ConfigError, "eps: expected a number"),
    (lambda: robench.attack(linear(), X, Y, eps="inf"), ConfigError, "finite eps"),
    (lambda: robench.attack(linear(), X, Y, eps=0.1, norm="lin"), ConfigError, "Did you mean 'Linf'"),
    (lambda: robench.attack(linear(), X, Y, eps=0.1, step=3), ConfigError, "Did you mean 'steps'"),
    (lambda: robench.attack(linear(), X, Y, eps=0.1, source="kernel"), ConfigError, "gradient source"),
    (lambda: robench.attack(linear(), X, Y, eps=0.1, output="softmax"), InputError, "output as one of"),
    (lambda: robench.attack(linear(), X, Y, lambda m, z: z, eps=0.1), ConfigError, r"\(model, x, y, eps\)"),
    (lambda: robench.attack(linear(), X, Y, lambda m, x, y, e: None, eps=0.1), JobError, "got nothing"),
    (lambda: robench.attack(linear(), X, Y, lambda m, x, y, e: 1 / 0, eps=0.1), JobError, "division"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), [("fgsm", {}), ("pgd", {}), ("square", {"queries": 50})])
def test_inference_mode_around_a_call_is_no_matter(name, options):
    net, attack = linear(), robench.make_attack(name, **options)
    plain = robench.attack(net, X, Y, attack, eps=0.1)
    with torch.inference_mode():
        inside = robench.attack(net, X * 1, Y, attack, eps=0.1)
        data = robench.image_set(X * 1, Y, classes=3)
        board = robench.benchmark(net, data, attacks={name: attack}, eps=0.1).leaderboard()
    assert torch.equal(inside.images, plain.images)
    assert board.worst_case.tolist() == [plain.robust_accuracy]


@pytest.mark.thorough
def test_a_norm_may_be_written_as_elsewhere():
    for norms in (("Linf", "linf", "inf", "l_inf", np.inf), ("L2", "l2", "2", 2, 2.0)):
        results = [robench.attack(linear(), X, Y, "pgd", eps=0.1, norm=norm) for norm in norms]
        assert {result.norm for result in results} == {norms[0]}
        assert all(torch.equal(result.images, results[0].images) for result in results)


@pytest.mark.parametrize(("call", "kind", "text"), NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_refused_in_a_sentence(call, kind, text):
    with pytest.raises(kind, match=text) as refusal:
        call()
    assert str(refusal.value).count("\n") <= 3


def test_the_error_of_an_attack_is_the_cause_and_its_line_is_named():
    def mine(model, x, y, eps):
        return {}["nope"]

    with pytest.raises(JobError) as refusal:
        robench.attack(linear(), X, Y, mine, eps=0.1)
    assert isinstance(refusal.value.__cause__, KeyError)
    line = mine.__code__.co_firstlineno + 1
    assert str(refusal.value).endswith(f"the attack's own KeyError: 'nope' (at {__file__}, line {line}).")
    assert "try others" not in str(refusal.value)

    def leaves(model, x, y, eps):
        raise SystemExit(3)

    with pytest.raises(JobError, match=r"the attack's own call of sys\.exit\(3\) \(at"):
        robench.attack(linear(), X, Y, leaves, eps=0.1)


def test_counts_of_a_users_attack_speak_of_the_attack_and_say_what_they_leave_out():
    def halves(model, x, y, eps):
        far = x + eps * (1 - 2 * torch.nn.functional.one_hot(y, 3).view_as(x))
        model(far)
        return torch.full_like(x, float("nan"))

    x, y = torch.tensor([[0.5, 0.45, 0.0], [1.0, 0.0, 0.0]]).view(2, 1, 1, 3), torch.tensor([0, 0])
    net = nn.Sequential(nn.Flatten(), nn.Identity())
    result = robench.attack(net, x, y, halves, eps=0.1)
    evidence = {finding.code: finding.evidence for finding in result.findings}
    assert [str(status) for status in result.status] == ["broken", "robust"]
    assert evidence["silent-success"].startswith("the attack broke 1 of 2 images on its way")
    assert evidence["nonfinite-proposal"] == (
        "1 of 2 proposals were not finite; those images apart that a point on the way had broken"
    )


def test_what_an_own_attack_returned_is_told_in_words():
    def no_numbers(model, x, y, eps):
        return x * torch.nan

    def too_far(model, x, y, eps):
        return x + 2

    one, other = (robench.attack(linear(), X, Y, attack, eps=0.1) for attack in (no_numbers, too_far))
    assert "nonfinite-proposal (6 of 6 proposals were not finite)" in repr(one)
    assert "inadmissible (6 of 6 proposals left the threat model, by up to Linf 2 (eps 0.1), pixels" in repr(
        other
    )
    remedies = {finding.code: finding.remedy for result in (one, other) for finding in result.findings}
    assert "no_numbers returned NaN or infinity, where numbers" in remedies["nonfinite-proposal"]
    assert "too_far returned them, where pixels in [0, 1] within eps" in remedies["inadmissible"]


@pytest.mark.thorough
def test_the_worst_of_all_gradient_sources_counts():
    data = robench.load_data("digits", split="train", limit=400)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    torch.manual_seed(0)
    model = robench.wnll_head(net, data, m=10, n=5)
    x, y = robench.load_data("digits", limit=20).batch(slice(None))
    whole = robench.attack(model, x, y, "fgsm", eps=0.1)
    single = [robench.attack(model, x, y, "fgsm", eps=0.1, source=name) for name in model.sources]
    breaks = torch.stack([one.broken for one in single]).any(dim=0)
    assert torch.equal(whole.broken, breaks)
    frame = whole.to_frame()
    assert len(frame) == 20 * (1 + len(model.sources))


@pytest.mark.thorough
def test_the_room_of_attacks_can_be_called_and_imports_nothing():
    code = (
        "import sys, robench; room = robench.attack\n"
        "assert 'torch' not in sys.modules\n"
        "from robench import attack\n"
        "import robench.attack as again\n"
        "assert room is attack is again is sys.modules['robench.attack'] and callable(room)\n"
        "import inspect; assert 'eps' in inspect.signature(room).parameters\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_a_notebook_shows_is_small_escaped_and_has_pictures():
    x, y = images(6)
    result = robench.attack(linear(), x, y, "pgd", eps=0.2)
    page = result._repr_html_()
    assert page.count("<img") == 2 * min(8, int(result.broken.sum()))
    assert "\n" not in repr(result)
    result = robench.attack(robench.wrap(linear(), name="<b>", classes=3), x, y, "pgd", eps=0.2)
    assert "<b>" not in result._repr_html_()


class Transferred:
    """Attacks through a surrogate that it brings along, and is told the model under attack."""

    def __init__(self, surrogate):
        self.model = surrogate

    def __call__(self, model, x, y, eps):
        x = x.clone().requires_grad_(True)
        torch.nn.functional.cross_entropy(self.model(x), y).backward()
        return (x + eps * x.grad.sign()).detach().clamp(0, 1)


def test_an_attack_may_bring_a_surrogate():
    net = linear()
    own = robench.attack(net, X, Y, "fgsm", eps=0.1)
    theirs = robench.attack(net, X, Y, Transferred(net), eps=0.1)
    assert list(own.status) == list(theirs.status)
    assert "broken" in list(theirs.status)


def test_a_board_of_nothing_but_failures_says_why():
    def raising(x):
        raise RuntimeError("no such layer")

    result = robench.benchmark({"net": raising}, (X, Y), attacks="fgsm", eps=0.1)
    assert result.failures
    with pytest.raises(JobError, match="no such layer"):
        result.leaderboard()


def test_images_are_attacked_to_the_end_unless_the_verdict_is_all_that_is_wanted():
    x, y = images()
    options = {"eps": 0.2, "norm": "Linf", "steps": 10, "step_size": 0.02}
    whole = robench.attack(linear(), x, y, "pgd", **options)
    first = robench.attack(linear(), x, y, "pgd", until_broken=True, **options)
    assert whole.status == first.status
    assert bool(whole.broken.any())
    lead = [
        (linear()(one.images).amax(dim=1) - linear()(one.images).gather(1, y[:, None]).squeeze(1)).mean()
        for one in (whole, first)
    ]
    assert lead[0] > 1.5 * lead[1] > 0  # farther behind the boundary, so they break other models too
    costs = [
        r.columns.total("backwards") for one in (whole, first) for r in one.records if not r.attack.is_clean
    ]
    assert costs[0] > costs[1]
