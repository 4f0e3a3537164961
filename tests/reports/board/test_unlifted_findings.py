"""Which findings stand: hand-made cells, shard by shard."""

import pytest

from reports.board.unlifted_findings import unlifted_codes
from tests.records import asking, changed
from tests.reports.board.test_leaderboard import R, record


def cell(*findings, label="pgd", gradient="exact", gradients=40, start=0, **attack):
    one = record("a", "a", label, [R] * 5, findings=findings, gradient=gradient, start=start)
    source = {"gradients": gradients}
    return asking(changed(one, source=source, attack=attack), 100)


def clean(*findings):
    return record("a", "", "clean", [R] * 5, findings=findings, gradient="")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([clean("random-output"), cell()], {"random-output"}),
        ([clean(), cell("zero-gradient")], {"zero-gradient"}),
        ([clean(), cell("zero-gradient"), cell(gradient="kernel")], set()),
        ([clean(), cell("not-converged"), cell(label="apgd")], set()),
        # One step and controls lift nothing, and are not asked to.
        ([clean(), cell("not-converged"), cell(label="fgsm", gradients=1)], {"not-converged"}),
        ([clean(), cell("not-converged"), cell(label="noise", gradients=0, control=True)], {"not-converged"}),
        # An attack without gradients does.
        ([clean(), cell("not-converged"), cell(label="square", gradients=0, needs="score")], set()),
        # Each got nowhere in a way of its own.
        ([clean(), cell("nonfinite"), cell("not-converged", gradient="k")], {"nonfinite", "not-converged"}),
        ([clean(), cell("zero-gradient"), cell("uniform-output", gradient="k")], set()),
        # Shard by shard: what one attack met on the first and another on the second is lifted on both.
        ([cell("nonfinite"), cell(label="b"), cell(start=5), cell("nonfinite", label="b", start=5)], set()),
        ([clean(), cell("nonfinite"), cell(start=5)], {"nonfinite"}),
        # A mended verdict is right.
        ([clean(), cell("silent-success")], set()),
        ([clean()], set()),
    ],
)  # fmt: skip
def test_what_stands(records, expected):
    assert unlifted_codes(records) == expected
