"""Several run folders on one board: each plan must find its own units, and no other's stand in for them."""

import dataclasses

import pytest

from benchmarks.free_attacks import ATTACKS, Shape, record
from reports.board.identities import shown_names
from reports.board.leaderboard import boards
from robench.plan.spec import to_json
from robench.record.completeness import missing_rows
from robench.record.planned import planned_run

SHAPE = Shape(models=2, attacks=2, shards=2, images=60)


def plan_of(shape=SHAPE, *, transfer=False, **beside):
    return to_json(shape.plan()[0]) | {"transfer": transfer} | beside


def folder(plan, shape=SHAPE, left_out=lambda one: False):
    """Return what a run folder of the plan holds: everything but what is left out, and transfers if asked."""
    summary = planned_run(plan)
    records = [
        dataclasses.replace(record(shape, shard, index), key=f"{shard}-{name}-{label}")
        for shard in range(shape.shards)
        for index, (name, label) in enumerate(shape.jobs)
    ]
    if summary.transfer:
        records += [
            dataclasses.replace(one, key=f"t-{one.key}", target=other.target)
            for one in records
            if not one.attack.is_clean
            for other in records[: shape.models]
            if other.target.name != one.source.name
        ]
    return [dataclasses.replace(one, planned=summary) for one in records if not left_out(one)]


def rows(*folders):
    (board,) = boards([one for records in folders for one in records])
    return {row.model: row for row in board.rows}


def pgd(one):
    return one.attack.label == "pgd"


def other_options(records):
    """Return the records as of a run whose pgd has other options."""
    return [
        dataclasses.replace(
            one, key=f"o-{one.key}", attack=dataclasses.replace(one.attack, options={"steps": 99})
        )
        if pgd(one)
        else one
        for one in records
    ]


WHOLE = folder(plan_of())
FGSM_ALONE = folder(
    plan_of() | {"name": "fgsm", "threats": [{**plan_of()["threats"][0], "attacks": [
        {"label": "fgsm", "attack": {"name": "fgsm", "options": {}}}]}]},
    left_out=pgd,
)  # fmt: skip


@pytest.mark.parametrize("order", [1, -1])
def test_units_that_two_whole_runs_share_are_missing_in_neither(order):
    for row in rows(*(WHOLE, FGSM_ALONE)[::order]).values():
        assert (row.partial, row.missing) == (False, ())
        assert row.rank is not None or row.doubted


@pytest.mark.parametrize("order", [1, -1])
def test_a_whole_run_does_not_hide_that_another_lacks_an_attack(order):
    partial = folder(plan_of(), left_out=pgd)
    for row in rows(*(partial, FGSM_ALONE)[::order]).values():
        assert row.missing == ("pgd 0 of 120 images",)
        assert row.rank is None


@pytest.mark.parametrize("order", [1, -1])
def test_an_attack_of_the_same_label_and_other_options_does_not_stand_in(order):
    def lost(one):
        return pgd(one) and (one.source.name, one.target.name) == ("m1", "m0")

    first = plan_of(transfer=True)
    second = plan_of(transfer=True, name="other options")
    assert all(not row.partial for row in rows(folder(first)).values())
    partial, whole = folder(first, left_out=lost), other_options(folder(second))
    both = rows(*(partial, whole)[::order])
    assert both["m0"].missing == ("pgd crafted on m1",)
    assert both["m1"].missing == ()


def test_parts_of_one_plan_are_one_run():
    halves = [[one for one in WHOLE if one.attack.label != label] for label in ATTACKS[:2]]
    assert all(row.partial for half in halves for row in rows(half).values())
    assert not any(row.partial for row in rows(*halves).values())


def with_weights(records, name, weights):
    """Return the records as of a run in which a model has other weights."""

    def changed(one):
        key = f"{weights}-{one.key}" if name in (one.target.name, one.source.name) else one.key
        target, source = (
            dataclasses.replace(part, fingerprint=weights) if part.name == name else part
            for part in (one.target, one.source)
        )
        return dataclasses.replace(one, key=key, target=target, source=source)

    return [changed(one) for one in records]


def test_images_crafted_on_two_sets_of_weights_do_not_add_up():
    plan = plan_of(transfer=True)
    halves = [[one for one in folder(plan) if one.dataset.digest == digest] for digest in ("d0", "d1")]
    assert not any(row.partial for row in rows(*halves).values())
    unlike = [halves[0], with_weights(halves[1], "m1", "retrained")]
    assert any("fgsm crafted on m1" in text for text in rows(*unlike)["m0"].missing)
    assert any(
        model == "m0" and "fgsm crafted on m1" in texts
        for _, model, texts in missing_rows([one for half in unlike for one in half])
    )
    # Two whole runs, each with its own weights, lack nothing.
    whole = folder(plan)
    assert not any(row.partial for row in rows(whole, with_weights(whole, "m1", "retrained")).values())


@pytest.mark.parametrize("order", [1, -1])
def test_what_another_folder_has_of_an_interrupted_run_is_not_missing(order):
    plan = plan_of(transfer=True)
    part = [one for one in folder(plan) if one.dataset.digest == "d0"]
    more = plan | {"name": "more", "threats": [{**plan["threats"][0], "attacks": [
        {"label": label} for label in ATTACKS[:3]]}]}  # fmt: skip
    longer = folder(more, dataclasses.replace(SHAPE, attacks=3))
    assert all(row.missing for row in rows(part).values())
    assert not any(row.partial for row in rows(*(part, longer)[::order]).values())
    # With another seed, or other options, it is another attack.
    seeds = [dataclasses.replace(one, seed=7, key=f"7-{one.key}") for one in longer]
    assert all(row.partial for row in rows(*(part, seeds)[::order]).values())
    assert all(row.partial for row in rows(*(part, other_options(longer))[::order]).values())


def test_no_two_models_are_shown_alike_however_they_are_named():
    names = {
        "1": ("net", "aa"),
        "2": ("net", "bb"),
        "3": ("net [aa]", "cc"),
        "4": ("net", "aa"),
        "5": ("x", "aa"),
    }
    assert shown_names(names) == {
        "1": "net [aa]", "2": "net [bb]", "3": "net [aa] (2)", "4": "net [aa] (3)", "5": "x",
    }  # fmt: skip
