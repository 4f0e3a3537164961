"""One attack under the labels of several runs is one attack; two attacks never become one."""

from dataclasses import replace

from reports.board.shared_labels import under_one_label
from robench.record.certificates import Certificates
from robench.record.planned import PlannedRun, PlannedThreat
from robench.record.threat_summary import threat_summary_of
from tests.records import changed
from tests.reports.board.test_leaderboard import R, record


def of_run(digest, model, **labels):
    """Return the records of a run whose attacks are labels with options."""
    records = [record(model, "", "clean", [R] * 2, gradient="")]
    for label, options in labels.items():
        one = record(model, model, label, [R] * 2)
        records.append(changed(one, attack={"name": "a", "label": label, "options": options}))
    threat = threat_summary_of(records[-1].threat)
    threats = (PlannedThreat(threat=threat, eps_text="0.1", attacks=tuple(labels)),)
    plan = PlannedRun(models=(model,), threats=threats, digest=digest)
    return [replace(one, planned=plan, key=f"{digest}-{at}") for at, one in enumerate(records)]


def labels(records):
    names = [r.attack.label for r in records if not r.attack.is_clean]
    requests = [
        label for r in records if r.attack.is_clean for one in r.planned.threats for label in one.attacks
    ]
    assert sorted(set(names)) == sorted(set(requests))
    return names


def test_the_first_label_that_no_other_attack_has_is_taken():
    ce, margin = {"loss": "ce"}, {"loss": "margin"}
    first = of_run("p", "m", apgd=margin)
    second = of_run("q", "k", apgd=ce, margin=margin)
    assert labels(under_one_label([*first, *second])) == ["margin", "apgd", "margin"]
    assert labels(under_one_label([*second, *first])) == ["apgd", "margin", "margin"]
    assert labels(under_one_label([*of_run("p", "m", mine=ce), *of_run("q", "k", yours=ce)])) == ["mine"] * 2


def test_what_a_run_itself_tells_apart_stays_apart_and_so_do_other_attacks():
    same = {"steps": 2}
    twice = [*of_run("p", "m", one=same, two=same), *of_run("q", "k", three=same)]
    assert labels(under_one_label(twice)) == ["one", "two", "three"]
    swap = [*of_run("p", "m", one=same, two={}), *of_run("q", "k", two=same, one={})]
    assert labels(under_one_label(swap)) == ["one", "two", "two", "one"]
    others = [*of_run("p", "m", one={"steps": 1}), *of_run("q", "k", two={"steps": 2})]
    assert under_one_label(others) == others


def test_ways_to_bound_keep_their_labels():
    records = [*of_run("p", "m", crown={}), *of_run("q", "k", bound={})]
    proof = Certificates(certified=[1, 0], bound=[0.1, -0.1], domains=[1, 1], seconds=[0.0, 0.0])
    bounds = [one if one.attack.is_clean else replace(one, certificates=proof) for one in records]
    assert under_one_label(bounds) == bounds
    assert under_one_label(records) != records
