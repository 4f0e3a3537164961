"""Records compared with the same records made again, by hand: what counts as a difference."""

import dataclasses

import pytest

from robench.audit.run_rejudgement import FACTS, GIVEN, JUDGED, TOLERANCE, Check, Tally, differing, has_begun
from robench.record.schema import Columns, Finding
from tests.records import changed, record_of

PLACE = {"device": "cpu", "machine": "m", "threads": 2, "versions": {"torch": "2"}}


def record(n=4, **columns):
    return record_of(
        key="k", target={"name": "a", "details": {}}, source={"name": "a"}, attack={"label": "pgd"},
        threat={}, dataset={"name": "toy", "split": "test"}, seed=0, provenance=PLACE,
        columns=Columns(
            **{
                "index": list(range(n)), "label": [1] * n, "clean": [1] * n, "adversarial": [2] * n,
                "status": ["broken"] * n, "linf": [0.1] * n, "l2": [0.2] * n, "forwards": [3.0] * n,
                "backwards": [2.0] * n, "first_success": [1] * n, **columns,
            }
        ),
    )  # fmt: skip


def compared(kept, again):
    tally = Tally()
    tally.compare("title", kept, again)
    return tally


@pytest.mark.parametrize(
    ("looked", "wrong", "allowed", "missing", "is_fact", "holds"),
    [
        (5, 0, 0, 0, False, True),
        (5, 1, 0, 0, False, False),
        (5, 1, 1, 0, False, True),
        (5, 2, 1, 0, False, False),
        (5, 0, 9, 1, False, False),  # what is missing is not forgiven
        (0, 0, 0, 0, False, False),  # a check of nothing proves nothing
        (0, 0, 0, 0, True, True),
        (0, 1, 0, 0, True, False),
    ],
)
def test_when_a_check_holds(looked, wrong, allowed, missing, is_fact, holds):
    check = Check(name="x", looked=looked, wrong=wrong, allowed=allowed, missing=missing, is_fact=is_fact)
    assert check.holds is holds


def test_differences_are_counted_place_by_place_and_missing_images_are_differences():
    assert differing([1, 2, 3], [1, 2, 3]) == 0
    assert differing([1, 2, 3], [1, 3, 2]) == 2
    assert differing([1, 2], [1, 2, 3, 4]) == differing([1, 2, 3, 4], [1, 2]) == 2


def test_the_same_record_is_the_same():
    tally = compared(record(), record())
    assert tally == Tally(records=1, verdicts=4)
    claims, verdicts = tally.checks()
    assert (claims.name, claims.looked, claims.holds) == ("claims", 1, True)
    assert (verdicts.name, verdicts.looked, verdicts.allowed, verdicts.holds) == ("verdicts", 4, 0, True)


@pytest.mark.parametrize("name", [*GIVEN, "linf", "l2"])
def test_every_other_number_of_an_image_is_a_difference(name):
    columns = record().columns
    again = record(**{name: [*getattr(columns, name)[:3], getattr(columns, name)[3] + 1]})
    tally = compared(record(), again)
    assert (tally.otherwise, tally.turned, tally.first) == (1, 0, f"{name} of title (k)")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("target", {"name": "b"}), ("source", {"name": "b"}), ("attack", {"label": "fgsm"}),
        ("threat", {"norm": "L2"}), ("dataset", {"split": "train"}),
    ],
)  # fmt: skip
def test_every_other_fact_of_a_record_is_a_difference(name, change):
    assert name in FACTS
    tally = compared(record(), changed(record(), **{name: change}))
    assert (tally.otherwise, tally.first) == (1, f"{name} of title (k)")
    assert not tally.checks()[0].holds


@pytest.mark.parametrize(("change", "count"), [(9e-7, 0), (-9e-7, 0), (1.1e-6, 1), (float("nan"), 1)])
def test_distances_may_differ_by_rounding_relative_to_one_or_to_their_size(change, count):
    for size in (0.1, 50.0):
        again = record(l2=[size, size, size, size + change * max(1.0, size)])
        assert compared(record(l2=[size] * 4), again).otherwise == count


@pytest.mark.parametrize("name", JUDGED)
def test_a_verdict_that_turned_is_counted_by_image(name):
    value = "robust" if name == "status" else 0
    tally = compared(record(), record(**{name: [*getattr(record().columns, name)[:2], value, value]}))
    assert (tally.verdicts, tally.turned, tally.first_turned) == (4, 2, "2 of 4 in title (k)")
    assert tally.otherwise == 0  # a matter of `verdicts`, not of `claims`


def test_draws_of_a_random_model_belong_to_the_verdict():
    assert compared(record(stood=["11"] * 4), record(stood=["11", "10", "11", "11"])).turned == 1


@pytest.mark.parametrize(
    "place", [{"device": "cuda"}, {"machine": "other"}, {"threads": 3}, {"versions": {"torch": "3"}}]
)
def test_only_elsewhere_may_verdicts_turn_and_only_a_few(place):
    n = 1000
    most = int(TOLERANCE * n)
    for changes, holds in ((most, True), (most + 1, False)):
        again = record(n, status=["robust"] * changes + ["broken"] * (n - changes))
        elsewhere = compared(record(n), changed(again, provenance=place))
        assert (elsewhere.elsewhere, elsewhere.checks()[1].holds) == (n, holds)
    here = compared(record(n), record(n, status=["robust"] + ["broken"] * (n - 1)))
    assert (here.elsewhere, here.checks()[1].holds) == (0, False)


def test_images_are_compared_where_the_record_names_them():
    before = changed(record(), provenance={"images_sha256": "a"})
    assert (
        compared(before, changed(record(), provenance={"images_sha256": "b"})).first == "images of title (k)"
    )
    assert compared(record(), changed(record(), provenance={"images_sha256": "b"})).otherwise == 0


def test_findings_are_compared_by_their_codes_in_any_order():
    one, two = (Finding(code=code, evidence="e", remedy="r") for code in ("a", "b"))
    with_both = dataclasses.replace(record(), findings=(one, two))
    other = dataclasses.replace(record(), findings=(dataclasses.replace(two, evidence="x"), one))
    assert compared(with_both, other).otherwise == 0
    assert compared(with_both, record()).first == "findings of title (k)"


def test_a_defense_of_a_file_is_forgiven_to_records_older_than_its_field():
    def guarded(defense):
        return changed(record(), target={"details": {"inference": [{"defense": defense}]}})

    assert compared(record(), guarded("mine.py:blur")).otherwise == 0
    assert compared(record(), guarded("jpeg")).otherwise == 1
    assert compared(guarded("mine.py:blur"), guarded("mine.py:other")).otherwise == 1


def test_a_job_has_begun_with_its_first_unit():
    job = type("Job", (), {"units": [type("Unit", (), {"key": key}) for key in "ab"]})
    assert [has_begun(job, keys) for keys in (set(), {"b"}, {"c"}, {"a", "b"})] == [False, True, False, True]
