"""Bounds in a configuration: ways to certify beside attacks, and what is refused."""

import pytest

from robench.errors import ConfigError
from robench.plan import config
from robench.plan.spec import BoundSpec, Choice, to_json
from robench.record.planned import planned_run

TEXT = """\
dataset: digits
models:
  - {name: a, architecture: digits_cnn, train: {defense: natural}}
  - {name: b, architecture: digits_cnn, train: {defense: natural}, inference: jpeg}
threats:
  - norm: Linf
    eps: [0.1, 2/255]
    attacks: [pgd]
    bounds:
      - {crown: {}, models: [a]}
      - {branch_and_bound: {domains: 50, seconds: null}, label: search, models: [a]}
"""


def plan_of(text, tmp_path):
    return config.parse(text, file=tmp_path / "demo.yaml")


def test_bounds_are_columns_of_every_radius(tmp_path):
    plan = plan_of(TEXT, tmp_path)
    assert [threat.eps_text for threat in plan.threats] == ["2/255", "0.1"]
    for threat in plan.threats:
        assert threat.bounds == (
            BoundSpec(label="crown", bound=Choice(name="crown"), models=("a",)),
            BoundSpec(
                label="search",
                bound=Choice(name="branch_and_bound", options={"domains": 50, "seconds": None}),
                models=("a",),
            ),
        )
    summary = planned_run(to_json(plan))
    threat = summary.threats[0].threat
    assert not summary.fault
    assert summary.bounds(threat, "a") == ("crown", "search")
    assert summary.bounds(threat, "b") == ()


def test_a_plan_without_bounds_is_written_as_it_was(tmp_path):
    plan = plan_of(TEXT[: TEXT.index("    bounds")], tmp_path)
    assert "bounds" not in to_json(plan)["threats"][0]


def test_bounds_alone_make_a_threat(tmp_path):
    plan = plan_of(TEXT.replace("    attacks: [pgd]\n", ""), tmp_path)
    assert plan.threats[0].attacks == ()
    assert len(plan.threats[0].bounds) == 2


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("{crown: {}, models: [a]}", "crawn", 10, "Did you mean 'crown'"),
        ("{crown: {}, models: [a]}", "{crown: {steps: 3}, models: [a]}", 10, "It has no options"),
        ("{crown: {}, models: [a]}", "{crown: {}, models: [c]}", 10, "name of a model"),
        ("{crown: {}, models: [a]}", "{crown: {}, models: []}", 10, "different names of models"),
        ("{crown: {}, models: [a]}", "crown", 10, "which has a defense in front of it"),
        ("{crown: {}, models: [a]}", "{crown: {}, models: [a], label: pgd}", 10, "'pgd' twice"),
        ("{crown: {}, models: [a]}", "{crown: {}, models: [a], label: clean}", 10, "another label"),
        ("domains: 50", "domains: null", 11, "a limit for an image"),
        ("domains: 50", "domains: 0", 11, "at least 1"),
        ("domains: 50, seconds: null", "seconds: -1", 11, "above 0"),
        ("domains: 50, seconds: null", "second: 1", 11, "an option of BranchAndBound"),
        ("eps: [0.1, 2/255]", "eps: inf", 9, "a finite eps"),
        ("attacks: [pgd]", "goal: targeted", 9, "untargeted"),
    ],
)
def test_what_cannot_be_bounded_is_refused_with_its_line(tmp_path, old, new, line, words):
    with pytest.raises(ConfigError) as error:
        plan_of(TEXT.replace(old, new), tmp_path)
    assert error.value.exit_code == 2
    assert words in str(error.value)
    assert f"demo.yaml:{line}" in str(error.value) or line == 9


def test_a_threat_of_nothing_is_refused(tmp_path):
    text = TEXT[: TEXT.index("    attacks")]
    with pytest.raises(ConfigError, match=r"'attacks'.*bounds"):
        plan_of(text, tmp_path)
