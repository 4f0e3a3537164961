"""Parts of a plan become one folder; what does not belong together is refused."""

import dataclasses
import os
import shutil

import pytest

from benchmarks.free_attacks import ATTACKS, Shape, key_of, record, run
from robench.errors import ConfigError, StorageError
from robench.plan.spec import to_json
from robench.record.comparison.repetition import differences_of
from robench.record.merging import merge
from robench.record.parts import Engine
from robench.record.schema import Finding
from robench.record.store import Store

SHAPE = Shape(models=2, attacks=2, shards=2, images=4)


@pytest.fixture
def parts(tmp_path):
    """Two parts that have the clean units in common, and the whole they come from."""
    run(tmp_path / "whole", SHAPE)
    plan, text = SHAPE.plan()
    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders):
        store = Store(folder)
        store.prepare()
        store.begin(to_json(plan), text)
        for shard in range(SHAPE.shards):
            for index, (_, label) in enumerate(SHAPE.jobs):
                if label == "clean" or index % 2 == number:
                    store.write(record(SHAPE, shard, index))
                    store.note(key_of(shard, index))
        store.write_json("run.json", {"status": "part", "units": [], "expected": SHAPE.units})
    return tmp_path, folders


def test_parts_are_the_whole(parts):
    folder, folders = parts
    result = merge(folders, folder / "all")
    assert (result.records, result.expected, result.twice) == (SHAPE.units, SHAPE.units, 4)
    comparison = differences_of(Store(folder / "whole"), Store(folder / "all"))
    assert comparison.compared == SHAPE.units
    assert comparison.same
    assert Store(folder / "all").read_json("run.json")["status"] == "finished"


def test_one_part_is_not_the_whole(parts):
    folder, folders = parts
    merge(folders[:1], folder / "all")
    assert Store(folder / "all").read_json("run.json")["status"] == "interrupted"
    comparison = differences_of(Store(folder / "whole"), Store(folder / "all"))
    assert comparison.missing == SHAPE.units - comparison.compared > 0
    assert not comparison.same


def test_another_plan_is_refused_before_anything_is_written(parts):
    folder, folders = parts
    run(folder / "other", dataclasses.replace(SHAPE, attacks=1))
    with pytest.raises(ConfigError, match="another plan"):
        merge([*folders, folder / "other"], folder / "all")
    assert not (folder / "all").exists()
    with pytest.raises(ConfigError, match="expected a run folder, got nothing of that name"):
        merge([folder / "nothing"], folder / "all")


def test_two_verdicts_on_one_unit_are_refused(parts):
    folder, folders = parts
    store = Store(folders[1])
    clean = store.read(key_of(0, 0))
    variant = dataclasses.replace(clean, columns=dataclasses.replace(clean.columns, clean=[0] * 4))
    store.write(variant, replace=True)
    with pytest.raises(StorageError, match="other verdicts"):
        merge(folders, folder / "all")


def summary(store, **facts):
    store.write_json("run.json", {**store.read_json("run.json"), **facts})


def test_what_failed_in_any_part_failed_in_the_whole_while_something_is_missing(parts):
    folder, folders = parts
    one, two = map(Store, folders)
    summary(two, expected=SHAPE.units + 3)
    summary(one, failed_jobs={"m0": ["pgd on m0"]}, failed_models={"x": "no file"})
    summary(two, failed_jobs={"m0": ["fgsm on m0"], "m1": ["pgd on m1"]}, failed_models={"y": "no memory"})
    merge(folders, folder / "all")
    facts = Store(folder / "all").read_json("run.json")
    assert facts["status"] == "failed jobs"
    assert facts["failed_jobs"] == {"m0": ["pgd on m0", "fgsm on m0"], "m1": ["pgd on m1"]}
    assert facts["failed_models"] == {"x": "no file", "y": "no memory"}
    assert facts["expected"] == SHAPE.units + 3
    assert sorted(facts["units"]) == Store(folder / "all").keys()


def test_a_model_that_failed_alone_is_enough(parts):
    folder, folders = parts
    summary(Store(folders[0]), failed_models={"x": "no file"})
    merge(folders, folder / "all")
    assert Store(folder / "all").read_json("run.json")["status"] == "failed jobs"


def test_parts_that_do_not_tell_how_much_there_is(parts):
    folder, folders = parts
    for one in map(Store, folders):
        one.write_json("run.json", {"status": "part", "units": []})
    assert merge(folders, folder / "all").expected == 0


def test_parts_may_be_added_one_after_the_other(parts):
    folder, folders = parts
    out = folder / "all"
    first = merge(folders[:1], out)
    assert first.twice == 0
    result = merge([folders[1]], out)
    assert (result.records, result.twice) == (SHAPE.units, 4)
    assert Store(out).read_json("run.json")["status"] == "finished"
    again = merge(folders, out)
    assert again.twice == SHAPE.units
    assert sorted(Store(out).planned()) == Store(out).keys()


def test_images_are_copied_and_what_is_there_stays(parts):
    folder, folders = parts
    one, two = map(Store, folders)
    one.adv("k").write_bytes(b"one")
    two.adv("k").write_bytes(b"two")
    (two.root / "adv" / ".hidden").write_bytes(b"")
    (two.root / "adv" / "link.safetensors").symlink_to(two.adv("k"))
    two.model("net").mkdir()
    (two.model("net") / "weights.pt").write_bytes(b"weights")
    merge(folders, folder / "all")
    store = Store(folder / "all")
    assert store.adv("k").read_bytes() == b"one"
    assert (store.model("net") / "weights.pt").read_bytes() == b"weights"
    assert sorted(path.name for path in (store.root / "adv").iterdir()) == ["k.safetensors"]


@pytest.mark.parametrize("full", [False, True])
def test_without_links_files_are_copied_whole(parts, monkeypatch, full):
    folder, folders = parts
    Store(folders[0]).adv("k").write_bytes(b"one")
    link, replace = os.link, os.replace

    def none(source, target):
        if "adv" in str(target):
            raise OSError(18, "Invalid cross-device link")
        link(source, target)

    def no_room(source, target):
        if "adv" in str(target):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.link", none)
    if full:
        monkeypatch.setattr("os.replace", no_room)
        with pytest.raises(StorageError, match=r"k\.safetensors: expected to write the file, got No"):
            merge(folders, folder / "all")
        return
    merge(folders, folder / "all")
    assert [path.name for path in (folder / "all" / "adv").iterdir()] == ["k.safetensors"]
    assert Store(folder / "all").adv("k").read_bytes() == b"one"


def test_a_merge_that_was_ended_before_it_began_is_begun_again(parts):
    folder, folders = parts
    store = Store(folder / "all")
    store.prepare()
    store.write_json("run.json", {"name": "", "status": "running", "units": [], "plan": "0" * 32})
    assert merge(folders, store.root).records == SHAPE.units
    (store.root / "plan.json").unlink()
    with pytest.raises(ConfigError, match=r"expected a run folder with its plan\.json, got none"):
        merge(folders, store.root)


def test_a_part_without_its_plan_is_refused(parts):
    folder, folders = parts
    (folders[1] / "plan.json").unlink()
    with pytest.raises(ConfigError, match=r"expected a run folder with its plan\.json, got none"):
        merge(folders, folder / "all")


def test_a_repetition_names_what_differs(parts):
    folder, _ = parts
    store = Store(folder / "whole")
    run(folder / "again", SHAPE)
    again = Store(folder / "again")
    key = key_of(1, 2)
    one = again.read(key)
    one.columns.forwards[0] += 1
    provenance = dataclasses.replace(one.provenance, threads=7)
    again.write(dataclasses.replace(one, provenance=provenance), replace=True)
    comparison = differences_of(store, again)
    assert len(comparison.verdicts) == 1
    assert "fgsm on m0 through exact (Linf 0.1) -> m0, images d1" in comparison.lines()[1]
    assert "threads 0 and 7" in comparison.causes


def test_a_repetition_names_every_cause_wherever_it_is(parts):
    folder, _ = parts
    run(folder / "again", SHAPE)
    again = Store(folder / "again")
    for index, change in (
        (0, {"versions": {"torch": "9"}}),
        (2, {"engine": Engine(used="compiled")}),
        (3, {"machine": "riscv"}),
    ):
        one = again.read(key_of(1, index))
        one.columns.forwards[0] += 1
        provenance = dataclasses.replace(one.provenance, **change)
        again.write(dataclasses.replace(one, provenance=provenance), replace=True)
    causes = differences_of(Store(folder / "whole"), again).causes
    assert set(causes) == {"torch absent and 9", "engine unknown and compiled", "machine  and riscv"}


def other_plan(folder, shape):
    """Let a folder be of another plan from now on; its records are kept."""
    plan, text = shape.plan()
    Store(folder).begin(to_json(plan), text)


def test_units_of_a_plan_before_are_not_in_the_table(parts):
    folder, folders = parts
    smaller = dataclasses.replace(SHAPE, attacks=1)
    for one in folders:
        other_plan(one, smaller)
        for key in Store(one).keys():  # noqa: SIM118 - not a dict
            if Store(one).read(key).attack.label in ("clean", ATTACKS[0]):
                Store(one).note(key)
    result = merge(folders, folder / "all")
    labels = {one.attack.label for one in Store(folder / "all").read_records()}
    assert labels == {"clean", ATTACKS[0]}
    assert result.records == len(Store(folder / "all").planned()) < SHAPE.units
    # They are there still for the case that they are asked for again.
    assert len(Store(folder / "all").keys()) == SHAPE.units


def test_a_part_may_be_given_twice_and_be_the_new_folder(parts):
    _, (one, two) = parts
    result = merge([one, two, one], one)
    assert (result.records, result.twice) == (SHAPE.units, 4)
    assert Store(one).read_json("run.json")["status"] == "finished"
    assert merge([two], one).records == SHAPE.units


def test_a_part_of_an_earlier_version_may_be_the_new_folder(parts):
    _, (one, two) = parts
    keys = Store(one).planned()
    (one / "finished.txt").unlink()
    Store(one).write_json("run.json", {"units": keys, "expected": SHAPE.units})
    assert merge([one, two], one).records == SHAPE.units


def test_three_parts_hold_their_clean_units_once(parts):
    folder, folders = parts
    shutil.copytree(folders[0], folder / "three")
    assert merge([*folders, folder / "three"], folder / "all").twice == len(Store(folders[0]).planned())


@pytest.mark.parametrize("what", ["images", "findings"])
def test_other_bits_or_findings_on_one_unit_are_refused(parts, what):
    folder, folders = parts
    clean = Store(folders[1]).read(key_of(0, 0))
    variant = (
        dataclasses.replace(clean, findings=(Finding(code="random", evidence="", remedy=""),))
        if what == "findings"
        else dataclasses.replace(clean, provenance=dataclasses.replace(clean.provenance, images_sha256="00"))
    )
    Store(folders[1]).write(variant, replace=True)
    with pytest.raises(StorageError, match=f"other {what}"):
        merge(folders, folder / "all")


def test_what_failed_in_one_part_and_not_in_another_is_no_failure(parts):
    folder, folders = parts
    for number, one in enumerate(folders):
        facts = Store(one).read_json("run.json")
        facts |= {"failed_jobs": {"m0": ["clean on m0"]} if number == 0 else {}, "threads": number + 1}
        facts |= {"failed_models": {"m1": "killed"}, "versions": {"torch": f"2.{number}", "numpy": "2"}}
        Store(one).write_json("run.json", facts)
    Store(folders[0]).write_error(key_of(0, 0), {"job": "clean on m0", "error": "no memory"})
    Store(folders[0]).write_error("abcd", {"job": "pgd on m0", "error": "killed", "kills": 2})
    merge(folders[:1], folder / "half")
    assert Store(folder / "half").facts()[0]["failed_jobs"] == {"m0": ["clean on m0"]}
    assert Store(folder / "half").facts()[0]["status"] == "failed jobs"
    assert Store(folder / "half").facts()[0]["threads"] == 1
    merge(folders, folder / "all")
    facts, _ = Store(folder / "all").facts()
    assert (facts["failed_jobs"], facts["failed_models"], facts["status"]) == ({}, {}, "finished")
    assert facts["threads"] == "1 and 2"
    assert facts["versions"] == {"torch": "2.0 and 2.1", "numpy": "2"}
    assert Store(folder / "all").read_errors() == {
        "abcd": {"job": "pgd on m0", "error": "killed", "kills": 2}
    }


def test_units_of_two_versions_do_not_make_a_part_whole(parts):
    folder, (one, two) = parts
    store = Store(two)
    for key in store.planned():
        record = store.read(key)
        if record.attack.is_clean:  # another version asks other questions and gives another key
            store.unit(key).unlink()
            record = dataclasses.replace(record, key=f"new-{key}")
            store.write(record)
            store.note(record.key)
    keys = [key for key in store.planned() if store.unit(key).is_file()][:1]
    store.unit(keys[0]).unlink()
    (two / "finished.txt").write_text(
        "\n".join([(two / "finished.txt").read_text().splitlines()[0], *store.keys()]) + "\n"
    )
    result = merge([one, two], folder / "all")
    assert result.records >= result.expected == SHAPE.units
    assert Store(folder / "all").facts()[0]["status"] == "interrupted"
