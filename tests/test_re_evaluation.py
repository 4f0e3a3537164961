"""The tables of docs/wnll-re-evaluation.md, counted by hand on four images and two seeds."""

import dataclasses

from benchmarks.re_evaluation import report
from tests.reports.board.test_leaderboard import B, M, R, record


def seeded(seed, *args, **kwargs):
    original = record(*args, **kwargs)
    return dataclasses.replace(original, seed=seed, key=f"{seed}-{original.key}")


def runs():
    for seed, status in ((0, B), (1, R)):
        yield seeded(seed, "softmax", "", "clean", [R, R, R, M], gradient="")
        yield seeded(seed, "softmax", "softmax", "published", [R, R, B, M], gradient="published")
        yield seeded(seed, "softmax", "softmax", "adaptive", [R, R, B, M], gradient="adaptive")
        yield seeded(seed, "softmax-wnll", "softmax-wnll", "adaptive", [R, R, R, M], gradient="adaptive")
        yield seeded(
            seed, "softmax-published", "softmax-published", "published", [R, R, R, M], gradient="published"
        )
        yield seeded(seed, "softmax-wnll", "softmax-wnll", "published", [R, R, R, M], gradient="published")
        yield seeded(seed, "softmax-wnll", "softmax-wnll", "ifgsm", [status, R, R, M], gradient="exact")
        yield seeded(seed, "softmax-wnll", "softmax", "published", [R, B, R, M], gradient="published")


def test_columns_and_pairs_by_hand():
    lines = report(runs())
    assert "| clean |  | 75.0 (75.0, 75.0) |  |  |" in lines
    assert "| published | published | 50.0 (50.0, 50.0) | 75.0 (75.0, 75.0) | 75.0 (75.0, 75.0) |" in lines
    assert "| ifgsm | exact |  | 62.5 (50.0, 75.0) |  |" in lines
    assert "| transfer | from softmax |  | 50.0 (50.0, 50.0) |  |" in lines
    # Image by image: exact takes image 0 for seed 0 only, transfer takes image 1, image 3 was wrong before.
    # The published head was not attacked adaptively, so it has none.
    worst = "| worst case | image by image, over everything | 50.0 (50.0, 50.0) | 37.5 (25.0, 50.0) |  |"
    assert worst in lines
    where = next(i for i, line in enumerate(lines) if line.startswith("**Honest: WNLL against softmax, same"))
    seed_0, seed_1 = lines[where + 4], lines[where + 5]
    assert seed_0.startswith("| 0 | 50.0 [15.0, 85.0] | 25.0 [4.6, 69.9] | -25.0 [")
    assert seed_0.endswith("| 2 | 1 | 1 | 4 |")  # images 0 and 1 against image 2; exact McNemar of 2 : 1 is 1
    assert seed_1.endswith("| 1 | 1 | 1 | 4 |")


def test_one_seed_has_no_brackets():
    lines = report(r for r in runs() if r.seed == 1)
    assert "| ifgsm | exact |  | 75.0 |  |" in lines
