"""Attacks of one label are told apart by the options in which they differ."""

from reports.board.identities import attack_labels
from tests.records import changed
from tests.reports.board.test_leaderboard import record


def named(label, **options):
    return changed(record("m", "m", label, ["robust"] * 2), attack={"label": label, "options": options})


def test_the_options_that_differ_stand_in_the_name_and_no_others():
    records = [named("pgd", steps=20, restarts=1), named("pgd", steps=40, restarts=1), named("fgsm")]
    assert set(attack_labels(records).values()) == {"pgd [steps 20]", "pgd [steps 40]", "fgsm"}


def test_names_are_never_alike():
    records = [named("a", steps=2), named("a", steps=2, other=1), named("a", steps=2, other=2)]
    assert len(set(attack_labels(records).values())) == 3
    long = [named("a", text="x" * 50), named("a", text="y" * 50)]
    labels = set(attack_labels(long).values())
    assert len(labels) == 2
    assert all(len(label) == len("a [12345678]") for label in labels)
