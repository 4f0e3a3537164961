"""Which gradient source's verdict counts, by hand."""

from robench.api.single_attack import SourceVerdicts, strongest

R, B, M, F = "robust", "broken", "misclassified", "failed"
FIRST = SourceVerdicts(status=[R, R, F, B, B, M, F], distance=[0.0, 0.0, 0.1, 2.0, 1.0, 0.5, 0.1])
SECOND = SourceVerdicts(status=[R, F, B, B, B, M, F], distance=[0.0, 0.1, 9.0, 1.0, 2.0, 0.1, 0.0])


def test_robust_is_the_weakest_claim_and_of_equal_ones_the_first_counts():
    assert strongest([FIRST, SECOND], minimises=False) == [0, 1, 1, 0, 0, 0, 0]
    assert strongest([SECOND, FIRST], minimises=False) == [0, 0, 0, 0, 0, 0, 0]


def test_an_attack_that_minimises_keeps_the_smallest_change_that_broke():
    assert strongest([FIRST, SECOND], minimises=True) == [0, 1, 1, 1, 0, 0, 0]
    assert strongest([FIRST], minimises=True) == [0] * 7
