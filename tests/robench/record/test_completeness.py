"""What is missing of a row is counted in images and named: columns, gradient sources, sources of transfer."""

import dataclasses

import pytest

from benchmarks.free_attacks import Shape
from benchmarks.free_attacks import record as free_record
from robench.record.certificates import Certificates
from robench.record.columns.image_columns import Columns
from robench.record.columns.packed_columns import packed_columns, unpacked_columns
from robench.record.completeness import Have, by_plan, count_images, each_whole, missing_rows
from robench.record.planned import PlannedRun, planned_run
from robench.record.threat_summary import ThreatSummary
from tests.records import record_of

THREAT = {"norm": "Linf", "eps": 0.1, "goal": "untargeted", "knowledge": ["weights"], "budget": None}


def plan(*labels, models=("a", "b"), transfer=False):
    threats = [{**THREAT, "attacks": [{"label": label} for label in labels]}]
    return planned_run({"models": [{"name": m} for m in models], "threats": threats, "transfer": transfer})


def record(target, label, images, *, source=None, through="", choices=(), plan=None, n=4):
    images = list(images)
    zeros, numbers = [0] * len(images), [0.0] * len(images)
    columns = Columns(
        index=images, label=zeros, clean=zeros, adversarial=zeros, status=["robust"] * len(images),
        linf=numbers, l2=numbers, forwards=numbers, backwards=numbers, first_success=zeros,
    )  # fmt: skip
    clean = label == "clean"
    one = record_of(
        key=f"{target}-{label}-{source}-{through}-{images}",
        target={"name": target, "sources": list(choices)}, attack={"label": label},
        source={"name": "" if clean else source or target, "gradient_source": through},
        threat={} if clean else THREAT, dataset={"name": "toy", "split": "test", "n": n}, seed=0,
        columns=columns, provenance={},
    )  # fmt: skip
    return dataclasses.replace(one, planned=plan)


def lacks(plan, records, model="a"):
    own = [one for one in records if one.target.name == model]
    return Have(plan, records, plan.threats[0].threat).missing(model, own)


def test_a_whole_row_lacks_nothing():
    assert lacks(plan("pgd"), [record("a", "clean", range(4)), record("a", "pgd", range(4))]) == ()


def test_images_of_several_shards_count_together_and_once():
    parts = [record("a", "clean", [0, 1]), record("a", "clean", [2, 3]), record("a", "clean", [1, 2])]
    assert lacks(plan("pgd"), [*parts, record("a", "pgd", [0, 1, 2])]) == ("pgd 3 of 4 images",)
    assert lacks(plan("pgd"), [parts[0], record("a", "pgd", range(4))]) == ("clean 2 of 4 images",)


def test_an_image_counts_once_wherever_it_stands():
    assert count_images([]) == 0
    assert count_images([record("a", "clean", [0, 0, 1])]) == 2
    assert count_images([record("a", "clean", [3, 1, 2])]) == 3
    assert count_images([record("a", "clean", [0, 1]), record("b", "clean", [0, 1])]) == 2
    assert count_images([record("a", "clean", [0, 1]), record("b", "clean", [1, 2])]) == 3


def test_images_judged_on_others_alone_are_missing_here():
    elsewhere = record("b", "pgd", range(4), source="a", through="exact", choices=("exact",))
    records = [record("a", "clean", range(4)), record("b", "clean", range(4)), elsewhere]
    assert lacks(plan("pgd"), records) == ("pgd 0 of 4 images",)


@pytest.mark.parametrize(
    ("images", "models", "texts"),
    [
        (range(4), (), ()), (range(3), (), ("crown 3 of 4 images",)), ((), (), ("crown 0 of 4 images",)),
        ((), ("a",), ("crown 0 of 4 images",)), ((), ("b",), ()),
    ],
)  # fmt: skip
def test_bounds_that_are_asked_for_are_counted(images, models, texts):
    threats = [{**THREAT, "attacks": [], "bounds": [{"label": "crown", "models": list(models)}]}]
    summary = planned_run({"models": [{"name": "a"}, {"name": "b"}], "threats": threats})
    records = [record("a", "clean", range(4))]
    if images:
        n = len(images)
        own = Certificates(certified=[1] * n, bound=[0.5] * n, domains=[1] * n, seconds=[0.1] * n)
        records.append(dataclasses.replace(record("a", "crown", images), certificates=own))
    assert lacks(summary, records) == texts


def test_an_attack_without_any_record_is_named():
    records = [record("a", "clean", range(4)), record("a", "pgd", range(4))]
    assert lacks(plan("pgd", "cw"), records) == ("cw 0 of 4 images",)


def test_a_row_without_any_record_lacks_all():
    assert lacks(plan("pgd"), [record("b", "clean", range(4))]) == ("every unit of the model",)


def test_a_lost_plan_lacks_nobody_knows_what():
    summary = PlannedRun(fault="broken")
    (text,) = Have(summary, [], ThreatSummary()).missing("a", [])
    assert text == "unknown, because plan.json cannot be read: broken"


def test_images_that_no_record_counts_are_counted_by_hand():
    # Records of an earlier version do not tell n: then the images seen anywhere are all there are.
    records = [record("a", "clean", range(4), n=0), record("a", "pgd", [0, 1], n=0)]
    assert lacks(plan("pgd"), records) == ("pgd 2 of 4 images",)


def test_each_gradient_source_that_is_offered_is_expected():
    both = ("exact", "linear")
    clean = record("a", "clean", range(4), choices=both)
    exact = record("a", "pgd", range(4), through="exact", choices=both)
    assert lacks(plan("pgd"), [clean, exact]) == ("pgd through linear 0 of 4 images",)
    half = record("a", "pgd", [0, 1], through="linear", choices=both)
    assert lacks(plan("pgd"), [clean, exact, half]) == ("pgd through linear 2 of 4 images",)
    short = record("a", "pgd", [0, 1], through="exact", choices=both)
    assert lacks(plan("pgd"), [clean, short, half]) == ("pgd 2 of 4 images",)  # the same of both: once
    less = record("a", "pgd", [0], through="exact", choices=both)
    assert lacks(plan("pgd"), [clean, less, half]) == (
        "pgd through exact 1 of 4 images", "pgd through linear 2 of 4 images",
    )  # fmt: skip


def test_an_attack_with_a_choice_of_its_own_needs_no_other():
    both = ("exact", "linear")
    clean = record("a", "clean", range(4), choices=both)
    assert lacks(plan("own"), [clean, record("a", "own", range(4), through="mine", choices=both)]) == ()


def test_transfer_needs_every_source():
    clean = record("a", "clean", range(4))
    records = [clean, record("a", "pgd", range(4)), record("a", "cw", range(4))]
    assert lacks(plan("pgd", "cw"), records) == ()
    assert lacks(plan("pgd", "cw", models=("a", "b", "c"), transfer=True), records) == (
        "pgd crafted on b, c", "cw crafted on b, c",
    )  # fmt: skip
    more = [record("a", label, range(4), source=source) for label in ("pgd", "cw") for source in ("b", "c")]
    assert lacks(plan("pgd", "cw", models=("a", "b", "c"), transfer=True), records + more) == ()
    # What was crafted on b and judged on b alone is not yet judged on a.
    other = [record("b", "pgd", range(4), source="b")]
    assert lacks(plan("pgd", transfer=True), [*records, *other]) == ("pgd crafted on b",)


def test_what_a_source_offers_counts_for_what_is_crafted_on_it():
    records = [
        record("a", "clean", range(4)), record("a", "pgd", range(4)),
        record("b", "clean", range(4), choices=("exact", "linear")),
        record("a", "pgd", range(4), source="b", through="exact"),
    ]  # fmt: skip
    assert lacks(plan("pgd", transfer=True), records) == ("pgd crafted on b",)
    assert lacks(plan("pgd", transfer=True), [*records, record("a", "pgd", range(4), source="b",
                                                               through="linear")]) == ()  # fmt: skip


def test_rows_of_several_plans_are_told_apart():
    one, two = plan("pgd", models=("a",)), plan("pgd", models=("a", "b"))
    records = [
        record("a", "clean", range(4), plan=one), record("a", "pgd", range(4), plan=one),
        record("a", "clean", range(4), plan=two), record("c", "clean", range(4)),
    ]  # fmt: skip
    assert {summary: len(own) for summary, own in by_plan(records).items()} == {one: 2, two: 1}
    setting = "toy test, Linf 0.1, untargeted, weights known"
    assert missing_rows(records) == [
        (setting, "a", ("pgd 0 of 4 images",)), (setting, "b", ("every unit of the model",)),
    ]  # fmt: skip


def test_a_plan_without_threats_asks_for_clean_images():
    summary = planned_run({"models": [{"name": "a"}], "threats": []})
    assert missing_rows([record("a", "clean", [0], plan=summary)]) == [
        ("toy test, no attack", "a", ("clean 1 of 4 images",))
    ]
    assert missing_rows([record("a", "clean", range(4), plan=summary)]) == []


def test_a_lost_plan_is_told_of_every_model_there_is():
    summary = PlannedRun(fault="broken")
    records = [record("a", "clean", range(4), plan=summary), record("b", "clean", range(4), plan=summary)]
    assert [(model, texts[0][:7]) for _, model, texts in missing_rows(records)] == [
        ("a", "unknown"), ("b", "unknown"),
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{"eps": 0.2}, {"norm": "L2"}, {"budget": 3}, {"goal": "targeted"}])
def test_an_attack_under_another_threat_does_not_count(change):
    summary = plan("pgd", models=("a",))
    clean, attack = (record("a", label, range(4), plan=summary) for label in ("clean", "pgd"))
    other = dataclasses.replace(attack, threat=dataclasses.replace(attack.threat, **change))
    assert missing_rows([clean, attack]) == []
    ((_, _, texts),) = missing_rows([clean, other])
    assert texts == ("pgd 0 of 4 images",)


def test_images_of_another_set_are_another_row():
    summary = plan("pgd", models=("a",))
    clean, attack = (record("a", label, range(4), plan=summary) for label in ("clean", "pgd"))
    elsewhere = dataclasses.replace(attack, dataset=dataclasses.replace(attack.dataset, set="other"))
    rows = missing_rows([clean, elsewhere])
    assert [texts for _, _, texts in rows] == [("pgd 0 of 4 images",), ("clean 0 of 4 images",)]


def test_all_is_whole_only_where_every_attack_of_every_source_has_all_images():
    shape = Shape(models=2, attacks=2, shards=2, images=5, transfer=True)
    records = [
        free_record(shape, shard, index, at)
        for shard in range(2)
        for index, job in enumerate(shape.jobs)
        for at in range(len(shape.targets(*job)))
    ]
    parts = {}  # as files give them: equal parts are one object
    records = [
        one.noting(
            source=parts.setdefault(repr(one.source), one.source),
            attack=parts.setdefault(repr(one.attack), one.attack),
            columns=unpacked_columns(packed_columns(one.columns)),
        )
        for one in records
        if one.target.name == "m0"
    ]
    assert each_whole(records, 10)
    assert not each_whole(records, 11)
    for at in range(len(records)):
        assert not each_whole(records[:at] + records[at + 1 :], 10)
    assert each_whole([], 0)
    assert not each_whole([], 1)
