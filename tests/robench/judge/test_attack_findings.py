"""What an attack met becomes a finding only where it matters: on images that survived."""

from dataclasses import replace

import torch

from robench.attack.ledger import Ledger
from robench.attack.losses import margin
from robench.attack.oracle import Oracle
from robench.attack.threat import ThreatModel
from robench.judge.attack_findings import ledger_findings
from robench.model.interface import Model
from robench.record.schema import Status
from tests.truths import Lambda, images, small_net


def ledger(nonfinite, zero):
    accounts = Ledger.empty(len(zero))
    accounts.forwards += 5
    accounts.backwards += 5
    accounts.gradients += 5
    accounts.nonfinite, accounts.zero_gradient = torch.tensor(nonfinite), torch.tensor(zero)
    return accounts


def test_a_clean_ledger_raises_nothing():
    assert ledger_findings(ledger([False, False], [0, 4]), [Status.ROBUST, Status.ROBUST]) == ()


def test_zero_gradients_count_only_where_every_step_had_one_and_the_image_survived():
    statuses = [Status.ROBUST, Status.BROKEN, Status.ROBUST, Status.MISCLASSIFIED]
    (finding,) = ledger_findings(ledger([False] * 4, [5, 5, 4, 5]), statuses)
    assert finding.code == "zero-gradient"
    assert "1 of 2" in finding.evidence


def test_zero_gradients_are_found_where_one_gradient_takes_several_passes():
    flat_model = Model(name="masked", net=Lambda(lambda x: small_net().net(x).round()), classes=4)
    (source,) = flat_model.sources.values()
    mean_model = replace(flat_model, sources={"exact": replace(source, forwards=3, backwards=3)})
    x, y = images(4), torch.zeros(4, dtype=torch.int64)
    for ask in (lambda o: o.gradient(margin, x), lambda o: o.score_gradients(x)):
        oracle = Oracle(mean_model, x, y, ThreatModel(eps=0.1))
        ask(oracle)
        ask(oracle)
        (finding,) = ledger_findings(oracle.ledger, [Status.ROBUST] * 4)
        assert finding.code == "zero-gradient"


def test_numbers_that_are_none_are_found_on_survivors():
    (finding,) = ledger_findings(ledger([True, True], [0, 0]), [Status.ROBUST, Status.BROKEN])
    assert finding.code == "nonfinite"
    assert "for 1 image " in finding.evidence


def risen(*late):
    accounts = ledger([False] * len(late), [0] * len(late))
    accounts.rise, accounts.late_rise = torch.ones(len(late)).double(), torch.tensor(late).double()
    return accounts


def codes(accounts, status):
    return [f.code for f in ledger_findings(accounts, status)]


def test_a_loss_that_rises_late_on_survivors_is_not_converged():
    ten = [Status.ROBUST] * 10
    assert codes(risen(*[0.06] * 10), ten) == ["not-converged"]
    assert codes(risen(*[0.049] * 10), ten) == []
    assert codes(risen(*[0.3, *[0.0] * 9]), ten) == []  # on average 3 %
    assert codes(risen(*[0.6, *[0.0] * 9]), ten) == ["not-converged"]
    assert codes(risen(*[0.6, *[0.0] * 9]), [Status.BROKEN, *ten[1:]]) == []


def test_one_image_in_more_than_a_hundred_does_not_count():
    accounts = risen(*[0.9] * 201)
    few = [Status.ROBUST] * 2 + [Status.BROKEN] * 199
    assert codes(accounts, few) == []
    assert codes(accounts, [Status.ROBUST, *few[:-1]]) == ["not-converged"]


def test_a_loss_that_can_not_settle_is_not_told_twice():
    assert codes(risen(0.9), [Status.ROBUST]) == ["not-converged"]
    assert ledger_findings(risen(0.9), [Status.ROBUST], {"random-output"}) == ()


def test_a_surrogate_counts_if_it_failed_on_most_survivors():
    accounts = ledger([False] * 4, [0] * 4)
    accounts.deceived = torch.tensor([True, True, True, False])
    assert codes(accounts, [Status.ROBUST] * 4) == ["transfer-failure"]
    accounts.deceived = torch.tensor([True, True, False, False])
    assert codes(accounts, [Status.ROBUST] * 4) == []
    assert codes(accounts, [Status.ROBUST, Status.ROBUST, Status.BROKEN, Status.BROKEN]) == [
        "transfer-failure"
    ]


def test_silent_successes_are_counted():
    accounts = ledger([False] * 3, [0] * 3)
    accounts.silent = torch.tensor([True, False, True])
    (finding,) = ledger_findings(accounts, [Status.BROKEN, Status.ROBUST, Status.BROKEN])
    assert (finding.code, "2 of 3" in finding.evidence) == ("silent-success", True)


def test_an_image_without_any_gradient_was_not_stuck():
    accounts = ledger([False] * 2, [0, 0])
    accounts.gradients[:] = torch.tensor([0, 1])
    accounts.zero_gradient[:] = torch.tensor([0, 1])
    (finding,) = ledger_findings(accounts, [Status.ROBUST] * 2)
    assert finding.evidence.startswith("the gradient was exactly zero at every step for 1 of 2 images")
    assert ledger_findings(accounts, [Status.ROBUST] * 2, {"label-only"}) == ()
    assert ledger_findings(accounts, [Status.ROBUST] * 2, {"random-output"}) != ()


def test_the_evidence_of_a_loss_that_rises_is_of_the_survivors():
    accounts = risen(0.5, 0.3, 0.9, 0.0)
    accounts.rise[3] = 0.0  # never rose: tells nothing
    status = [Status.ROBUST, Status.ROBUST, Status.BROKEN, Status.ROBUST]
    (finding,) = ledger_findings(accounts, status)
    assert finding.evidence == (
        "the loss of 2 of 3 images that survived was still rising: the last steps brought 40% of its rise"
    )


def test_a_rise_is_measured_against_the_whole_rise():
    accounts = risen(0.6)
    accounts.rise[0] = 20.0  # 3 % of it came late
    assert codes(accounts, [Status.ROBUST]) == []
    accounts.rise[0] = 1e-12
    accounts.late_rise[0] = 0.6e-12
    assert codes(accounts, [Status.ROBUST]) == ["not-converged"]


def test_the_share_from_which_it_counts_is_a_point_of_accuracy():
    # Of 200 images two are a point; of 50 one is more.
    for number, images_in_doubt, expected in ((200, 2, True), (200, 1, False), (50, 1, True)):
        accounts = ledger([False] * number, [0] * number)
        accounts.deceived[:images_in_doubt] = True
        status = [Status.ROBUST] * images_in_doubt + [Status.BROKEN] * (number - images_in_doubt)
        assert (codes(accounts, status) == ["transfer-failure"]) is expected
        accounts = risen(*[0.9] * number)
        assert (codes(accounts, status) == ["not-converged"]) is expected


def test_exactly_half_of_the_survivors_is_not_most():
    accounts = ledger([False] * 4, [0] * 4)
    accounts.deceived = torch.tensor([True, True, True, False])
    (finding,) = ledger_findings(accounts, [Status.ROBUST] * 4)
    assert "on 3 of 4 images" in finding.evidence
    accounts.deceived[2] = False
    assert codes(accounts, [Status.ROBUST] * 4) == []


def test_a_share_of_exactly_a_twentieth_has_settled():
    accounts = risen(1.0)
    accounts.rise[0], accounts.late_rise[0] = 20.0, 1.0
    assert codes(accounts, [Status.ROBUST]) == []
    both = risen(1.0, 19.0)  # together they have not, and only one of them is why
    both.rise[:] = 20.0
    (finding,) = ledger_findings(both, [Status.ROBUST] * 2)
    assert finding.evidence.startswith("the loss of 1 of 2 images")


def test_what_the_attack_saw_broken_and_the_judge_did_not_is_unconfirmed():
    accounts = ledger([False] * 3, [0] * 3)
    accounts.claimed = torch.tensor([True, True, False])
    status = [Status.ROBUST, Status.BROKEN, Status.ROBUST]
    (finding,) = ledger_findings(accounts, status)
    assert finding.code == "unconfirmed"
    assert finding.evidence.startswith("1 of 3 images")
    assert ledger_findings(accounts, status, {"batch-dependence"}) == ()
    assert ledger_findings(accounts, [Status.BROKEN] * 3) == ()


def test_a_library_that_moves_a_wrong_image_back_broke_nothing():
    accounts = ledger([False] * 2, [0] * 2)
    accounts.silent = torch.tensor([True, True])
    assert ledger_findings(accounts, [Status.MISCLASSIFIED] * 2) == ()
    (finding,) = ledger_findings(accounts, [Status.ROBUST, Status.MISCLASSIFIED])
    assert finding.evidence.startswith("the library broke 1 of 2 images")
