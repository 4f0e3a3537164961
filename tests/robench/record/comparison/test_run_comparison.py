"""Two runs side by side, counted by hand; and the command's exit code."""

import json
import math
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from robench.cli.app import app
from robench.errors import ConfigError
from robench.record.comparison.run_comparison import differences, unmatched
from robench.record.comparison.run_verdicts import WORST, verdicts
from robench.record.store import Store
from tests.records import changed
from tests.reports.board.test_leaderboard import TEN, B, M, R, record

# The worst case of "a" in TEN: images 0, 1, 2, 3, 4 fall and 9 was wrong from the start: 4 of 10 stand.
AFTER = [
    record("a", "", "clean", [R] * 10, gradient=""),
    record("a", "a", "pgd", [R, R, R, R, R, R, R, R, B, R]),
    record("b", "a", "pgd", [R] * 10),
]


def lines_of(*runs, **options):
    leftovers = unmatched(*runs, **options)
    return [*leftovers.columns, *leftovers.attackers]


def by_column(changes):
    return {(d.model, d.column): d for d in changes}


def test_verdicts_take_the_worst_over_sources_and_transfer():
    ((_, models),) = verdicts(TEN).items()
    assert sorted(i for i, ok in models["a"][WORST].items() if not ok) == [0, 1, 2, 3, 4, 9]
    assert sorted(i for i, ok in models["a"]["pgd"].items() if not ok) == [0, 1, 9]
    assert sorted(i for i, ok in models["a"]["clean"].items() if not ok) == [9]


def test_differences_by_hand():
    columns = by_column(differences(TEN, AFTER))
    worst = columns["a", WORST]
    # Both met pgd through the exact gradient: image 0 falls and 9 was wrong, then image 8 falls alone.
    assert (worst.n, worst.first, worst.second) == (10, 0.8, 0.9)
    assert (worst.only_first, worst.only_second) == (1, 2)
    assert worst.gap == pytest.approx(0.1)
    assert worst.p_value == pytest.approx(1)
    low, high = worst.interval
    assert low <= 0.1 <= high
    assert worst.left_out == (
        ("pgd through linear", "cw through exact", "cw through linear", "pgd crafted on b through exact",
         "cw crafted on b through exact"),
        (),
    )  # fmt: skip
    assert columns["a", "clean"].gap == pytest.approx(0.1)
    assert ("a", "cw") not in columns  # only one run has it


def test_two_models_of_one_run_and_wrong_names():
    columns = by_column(differences(TEN, TEN, pairs=[("a", "b"), ("a", "a")]))
    # b met neither attack through the linear gradient, own or transferred from it.
    assert columns["a -> b", WORST].first == 0.5
    assert columns["a", WORST].first == 0.4
    assert columns["a", WORST].gap == 0  # one model may stand in several pairs
    with pytest.raises(ConfigError, match="'bb'"):
        differences(TEN, TEN, pairs=[("a", "bb")])
    with pytest.raises(ConfigError, match="of the same images"):
        differences(TEN, [record("a", "a", "pgd", [R] * 10, data={"name": "other"})])
    with pytest.raises(ConfigError, match="of the same images"):
        differences(TEN[2:], [record("a", "a", "pgd", [R] * 10, eps=0.1)])


def test_same_radius_written_otherwise_is_the_same_threat():
    one = record("a", "a", "pgd", [R] * 10, eps=0.5)
    other = changed(record("a", "a", "pgd", [B] * 10, eps=0.5), threat={"eps_text": "1/2"})
    assert by_column(differences([one], [other]))["a", "pgd"].gap == -1


@pytest.fixture
def folders(tmp_path):
    paths = []
    for name, records in (("before", AFTER), ("after", TEN)):
        store = Store(tmp_path / name)
        store.prepare()
        for one in records:
            store.write(one)
        paths.append(str(tmp_path / name))
    return paths


def test_compare_command_gates_on_a_regression(folders):
    runner = CliRunner()
    outcome = runner.invoke(app, ["compare", *folders])
    assert outcome.exit_code == 0
    assert "worst case" in outcome.output
    gate = runner.invoke(app, ["compare", *folders, "--max-drop", "9.9"])
    assert gate.exit_code == 1
    assert "regression: a, worst case" in gate.output
    assert runner.invoke(app, ["compare", *folders, "--max-drop", "20"]).exit_code == 0
    plain = json.loads(runner.invoke(app, ["compare", *folders, "--format", "json"]).output)
    row = next(d for d in plain if (d["model"], d["column"]) == ("a", WORST))
    assert math.isclose(row["gap"], -0.1)
    assert row["gap_low"] <= row["gap"] <= row["gap_high"]


def test_two_models_of_one_run_need_its_name_once(folders):
    runner = CliRunner()
    once = runner.invoke(app, ["compare", folders[1], "--pair", "a=b"])
    twice = runner.invoke(app, ["compare", folders[1], folders[1], "--pair", "a=b"])
    assert once.exit_code == twice.exit_code == 0, once.output
    assert once.output == twice.output
    assert "a -> b" in once.output
    alone = runner.invoke(app, ["compare", folders[1]])
    assert alone.exit_code == 2
    assert "two run folders" in " ".join(alone.output.split()) or "two run folders" in str(alone.exception)


@pytest.mark.parametrize("arguments", [["--pair", "a"], ["--pair", "a=zz"], ["--max-drop", "x"]])
def test_compare_refuses_nonsense(folders, arguments):
    result = CliRunner().invoke(app, ["compare", *folders, *arguments])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_misclassified_image_is_not_robust_in_either():
    one, two = record("a", "a", "pgd", [M, *[R] * 9]), record("a", "a", "pgd", [M, *[R] * 9])
    assert by_column(differences([one], [two]))["a", "pgd"].gap == 0


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ([0, 1], "model b not in B"),
        ([0, 2], "pgd on a not in B"),
    ],
)
def test_a_gate_does_not_vouch_for_what_the_second_run_lacks(tmp_path, kept, said):
    for name, records in (("before", AFTER), ("after", [AFTER[i] for i in kept])):
        store = Store(tmp_path / name)
        store.prepare()
        for one in records:
            store.write(one)
    runs = [str(tmp_path / "before"), str(tmp_path / "after")]
    runner = CliRunner()
    outcome = runner.invoke(app, ["compare", *runs])
    assert outcome.exit_code == 0
    assert f"not compared: toy test, Linf 0.3, untargeted: {said}" in outcome.stderr
    gate = runner.invoke(app, ["compare", *runs, "--max-drop", "5"])
    assert gate.exit_code == 1
    assert "regression" not in gate.output
    assert runner.invoke(app, ["compare", *runs[::-1], "--max-drop", "5"]).exit_code == 0


def test_fewer_images_another_threat_and_other_images_are_told():
    one = record("a", "a", "pgd", [R] * 10)
    assert lines_of([one], [one]) == []
    fewer = record("a", "a", "pgd", [R] * 8)
    assert f"2 of 10 images of {WORST} on a not in B" in lines_of([one], [fewer])[1]
    for other in (record("a", "a", "pgd", [R] * 10, eps=0.1), record("a", "a", "pgd", [R] * 10, start=5)):
        (message,) = lines_of([one], [other])
        assert message == "toy test, Linf 0.3, untargeted: not in B, which has no such images or threat"
    with pytest.raises(ConfigError, match=r"10 images, d0.*10 images, d5"):
        differences([one], [record("a", "a", "pgd", [R] * 10, start=5)])


def test_a_worst_case_over_fewer_attackers_is_told():
    clean = [record(name, "", "clean", [R] * 10, gradient="") for name in "ab"]
    white = [record(name, name, "pgd", [R] * 9 + [B]) for name in "ab"]
    smooth = record("a", "a", "pgd", [B] * 10, gradient="smooth")
    across = record("a", "b", "pgd", [R] * 5 + [B] * 5)
    back = record("b", "a", "pgd", [R] * 5 + [B] * 5)
    before, after = [*clean, *white], [*clean, *white]
    assert lines_of([*before, smooth, across, back], [*after, smooth, across, back]) == []
    assert lines_of(before, [*after, smooth, across]) == []  # more attackers only make it worse
    (message,) = lines_of([*before, across], after)
    assert message.endswith("in the worst case on a, pgd crafted on b through exact not in B")
    (message,) = lines_of([*before, smooth], after)
    assert message.endswith("in the worst case on a, pgd through smooth not in B")
    # Another model has other gradient sources.
    other = [changed(one, target={"fingerprint": "x"}) for one in after]
    assert lines_of([*before, smooth], other) == []
    # Of two models of one run each is attacked from itself and from the other.
    run = [*before, across, back]
    assert lines_of(run, run, pairs=[("a", "b")]) == []
    assert lines_of(run, [one for one in run if one is not back], pairs=[("a", "b")]) != []


def test_a_worst_case_is_over_what_both_met():
    """The same network attacked by one attack, and by it and a stronger one, is no worse than itself."""
    clean = record("a", "", "clean", [R] * 10, gradient="")
    fgsm, pgd = record("a", "a", "fgsm", [R] * 8 + [B] * 2), record("a", "a", "pgd", [B] * 10)
    few, many = [clean, fgsm], [clean, fgsm, pgd]
    for first, second, left_out in ((few, many, ((), ("pgd through exact",))), (many, few, None)):
        worst = by_column(differences(first, second))["a", WORST]
        assert (worst.gap, worst.first, worst.p_value) == (0, 0.8, 1)
        assert worst.left_out == (left_out or (("pgd through exact",), ()))
    assert ("a", WORST) not in by_column(differences([clean, fgsm], [clean, pgd]))  # they share no attack


def test_an_attack_with_other_options_is_another_attack():
    clean = record("a", "", "clean", [R] * 10, gradient="")
    short = record("a", "a", "pgd", [R] * 10, options={"steps": 10, "restarts": 1})
    long = record("a", "a", "pgd", [B] * 10, options={"steps": 40, "restarts": 1})
    square = record("a", "a", "square", [R] * 5 + [B] * 5)
    columns = by_column(differences([clean, short, square], [clean, long, square]))
    assert columns["a", "pgd"].gap == -1  # the column is shown, and the line below tells why
    worst = columns["a", WORST]
    assert (worst.first, worst.second) == (0.5, 0.5)
    assert worst.left_out == (("pgd with steps=10 through exact",), ("pgd with steps=40 through exact",))
    (line,) = lines_of([clean, short, square], [clean, long, square])
    assert line.endswith("in the worst case on a, pgd with steps=10 through exact not in B")


def test_an_image_that_an_attack_has_not_judged_is_in_no_worst_case():
    clean = record("a", "", "clean", [R] * 10, gradient="")
    half = [clean, record("a", "a", "fgsm", [R] * 10), record("a", "a", "pgd", [B] * 5)]
    whole = [clean, record("a", "a", "fgsm", [R] * 10), record("a", "a", "pgd", [B] * 10)]
    worst = by_column(differences(half, whole))["a", WORST]
    assert (worst.n, worst.first, worst.second) == (5, 0, 0)


def test_an_attack_called_worst_case_has_a_column_of_its_own():
    def run(first, second):
        return [
            record("a", "", "clean", [R] * 4, gradient=""),
            record("a", "a", WORST, first),
            record("a", "a", "pgd", second),
        ]

    before, after = run([R, R, R, B], [B, R, R, R]), run([R, R, R, R], [B, B, R, R])
    columns = by_column(differences(before, after))
    own, worst = columns["a", f'"{WORST}"'], columns["a", WORST]
    assert (own.first, own.second) == (0.75, 1.0)
    assert (worst.first, worst.second) == (0.5, 0.5)
    lacks = lines_of(before, [one for one in after if one.attack.label != WORST])
    assert any(f'"{WORST}" on a not in B' in line for line in lacks)


def test_equal_units_and_other_seeds_are_said(tmp_path):
    runs = {
        "one": AFTER,
        "same": AFTER,
        "other": [replace(r, seed=r.seed + 1).noting(key=f"o{r.key}") for r in AFTER],
    }
    for name, records in runs.items():
        store = Store(tmp_path / name)
        store.prepare()
        for one in records:
            store.write(one)
    runner, first = CliRunner(), str(tmp_path / "one")
    assert (
        "A and B hold the same units" in runner.invoke(app, ["compare", first, str(tmp_path / "same")]).stdout
    )
    outcome = runner.invoke(app, ["compare", first, str(tmp_path / "other")])
    assert "other seeds: 0 in A, 1 in B" in outcome.stdout
    assert "the same units" not in outcome.stdout
