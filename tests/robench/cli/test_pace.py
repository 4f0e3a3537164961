"""The time left, by a clock that tests turn."""

import pytest

from robench.cli.pace import Pace
from robench.run.time_estimate import Part, expected_passes

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def part(attack, model="net", *, jobs=1, units=1, passes=100.0, library="robench"):
    title = f"{attack} on {model}"
    return Part(
        title=title, attack=attack, library=library, model=model, jobs=jobs, units=units, passes=passes
    )


def seconds_left(pace):
    if "left" not in pace.text():
        return None
    words = pace.text().removesuffix(" left").split(", ")[-1].removeprefix("about ")
    parts = words.split()
    return sum(float(number) * SECONDS[unit] for number, unit in zip(parts[::2], parts[1::2], strict=True))


def told(parts, costs):
    """Do all jobs in order; return, before each, what was said to be left and what was."""
    clock = Clock()
    pace = Pace(sum(one.jobs * one.units for one in parts), clock, parts)
    order = [one for shard in range(max(one.jobs for one in parts)) for one in parts if shard < one.jobs]
    total = sum(costs[one.title] for one in order)
    lines = []
    for one in order:
        clock.now += costs[one.title]
        for number in range(one.units):
            pace.note(10, cached=False, title=f"{one.title} -> target {number}")
        if clock.now < total:
            lines.append((seconds_left(pace), total - clock.now))
    return lines


def test_a_slow_library_does_not_make_it_jump_tenfold():
    # A pass of the library takes fifty times as long as one of ours, as art's with one image at a time.
    parts = [part("pgd", jobs=4), part("fgsm", jobs=4, passes=2.0), part("art/x", jobs=4, library="art")]
    costs = {"pgd on net": 1.0, "fgsm on net": 0.02, "art/x on net": 15.0}
    lines = told(parts, costs)
    after = [(guess, true) for guess, true in lines[2:]]
    assert all(guess == pytest.approx(true, abs=0.06) for guess, true in after)
    # All units alike would say 9 s after the first two, where 62 are left; and 60 s after the third.
    by_units = [0.51 * 10, 48.0]
    assert by_units[1] / by_units[0] > 9
    assert after[0][0] / lines[1][0] < 10


def test_attacks_of_known_passes_are_foreseen():
    parts = [part("pgd", passes=10.0), part("cw", passes=1000.0), part("fgsm", passes=1.0)]
    lines = told(parts, {"pgd on net": 0.5, "cw on net": 50.0, "fgsm on net": 0.1})
    assert lines[0][0] == pytest.approx(50.05, abs=0.1)


def test_the_head_that_is_slow_on_clean_images_is_slow_under_attack():
    parts = [
        part("clean", "net", passes=1.0), part("clean", "wnll", passes=1.0),
        part("pgd", "net"), part("pgd", "wnll"),
    ]  # fmt: skip
    costs = {"clean on net": 0.1, "clean on wnll": 0.9, "pgd on net": 10.0, "pgd on wnll": 90.0}
    lines = told(parts, costs)
    assert lines[:2] == [(None, 100.9), (None, 100.0)]
    assert lines[2][0] == pytest.approx(lines[2][1], rel=0.05)


def test_what_every_job_costs_is_not_taken_for_the_cost_of_passes():
    # A second each, and a hundredth a pass: as of fgsm alone, cw would seem to take half an hour.
    parts = [part("fgsm", passes=2.0), part("pgd", passes=40.0), part("cw", passes=4000.0)]
    costs = {"fgsm on net": 1.02, "pgd on net": 1.4, "cw on net": 41.0}
    lines = told(parts, costs)
    assert lines[0][0] is None
    assert lines[1][0] == pytest.approx(41.0, rel=0.1)


def test_what_was_not_timed_is_told_as_about():
    clock = Clock()
    pace = Pace(2, clock, [part("pgd"), part("cw")])
    clock.now += 2.0
    pace.note(10, cached=False, title="pgd on net")
    assert pace.text() == "5 images/s, about 2.0 s left"


def test_a_crafting_that_is_judged_on_many_models_is_not_counted_again_for_each():
    clock = Clock()
    pace = Pace(8, clock, [part("pgd", "a", units=4), part("pgd", "b", units=4)])
    clock.now += 10.0
    pace.note(10, cached=False, title="pgd on a -> a")
    assert seconds_left(pace) == pytest.approx(10.0)
    pace.note(10, cached=False, title="pgd on a -> b")
    assert seconds_left(pace) == pytest.approx(10.0)


def test_cached_units_cost_nothing_and_teach_nothing():
    clock = Clock()
    pace = Pace(3, clock, [part("pgd", jobs=3)])
    for _ in range(2):
        pace.note(10, cached=True, title="pgd on net")
    assert pace.text() == ""
    clock.now += 1.0
    pace.note(10, cached=False, title="pgd on net")
    assert pace.text() == "10 images/s"


@pytest.mark.parametrize("title", ["", " -> ", "nobody knows it", "pgd on net: failed", "\x1b[31m"])
def test_titles_that_fit_no_part_are_only_counted(title):
    clock = Clock()
    pace = Pace(2, clock, [part("pgd", jobs=2)])
    clock.now += 1.0
    pace.note(0, cached=False, title=title)
    assert "left" in pace.text()


@pytest.mark.parametrize(
    ("name", "options", "passes"),
    [("fgsm", {}, 2), ("pgd", {"steps": 20, "restarts": 3}, 120), ("autoattack", {}, 3000),
     ("torchattacks/DIFGSM", {}, 20), ("art/AutoProjectedGradientDescent", {}, 1000),
     ("square", {"queries": 10**9}, 20_000), ("square", {"queries": 500}, 500)],
)  # fmt: skip
def test_passes_are_guessed_by_the_options(name, options, passes):
    from robench import plugins

    assert expected_passes(plugins.find("attacks", name)(**options)) == passes
