"""What an attack met becomes a finding only where it matters: on images that survived."""


import torch

from robench.findings import ledger_findings
from robench.ledger import Ledger
from robench.record import Status


def ledger(nonfinite, zero):
    made = Ledger.empty(len(zero))
    made.forwards += 5
    made.backwards += 5
    made.nonfinite, made.zero_gradient = torch.tensor(nonfinite), torch.tensor(zero)
    return made


def test_a_clean_ledger_raises_nothing():
    assert ledger_findings(ledger([False, False], [0, 4]), [Status.ROBUST, Status.ROBUST]) == ()


def test_zero_gradients_count_only_where_every_step_had_one_and_the_image_survived():
    statuses = [Status.ROBUST, Status.BROKEN, Status.ROBUST, Status.MISCLASSIFIED]
    (finding,) = ledger_findings(ledger([False] * 4, [5, 5, 4, 5]), statuses)
    assert finding.code == "zero-gradient"
    assert "1 of 2" in finding.evidence


def test_numbers_that_are_none_are_found_on_survivors():
    (finding,) = ledger_findings(ledger([True, True], [0, 0]), [Status.ROBUST, Status.BROKEN])
    assert finding.code == "nonfinite"
    assert "for 1 images" in finding.evidence
