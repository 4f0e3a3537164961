"""Two protocols side by side: which records count for which, medians over seeds, and a figure."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.graph_heads import EVERYTHING, PUBLISHED, Outcome, draw, outcomes, report
from robench.errors import ConfigError
from tests.reports.paper.made import B, R, details, record


def runs():
    graph, soft = details("gll"), details()
    ours = record("gll", "fgsm", [R, R, B, R], of=graph, gradient="exact")
    ours = replace(ours, attack=replace(ours.attack, label="IFGSM-30 (published)"))
    return [
        record("softmax", "clean", [R] * 4, of=soft),
        record("softmax", "fgsm", [R, B, B, R], of=soft),
        record("gll", "clean", [R] * 4, of=graph),
        ours,
        record("gll", "fgsm", [B, R, R, R], of=graph, gradient="kernel"),
        record("gll", "fgsm", [R, B, R, R], of=graph, source="softmax"),
    ]


def test_the_published_way_is_the_exact_gradient_and_the_other_is_all_there_is():
    ways = {(o.model, o.way): o.right.tolist() for o in outcomes(runs())}
    assert ways["gll", PUBLISHED] == [True, True, False, True]
    assert ways["gll", EVERYTHING] == [False, False, False, True]
    assert ways["softmax", EVERYTHING] == [True, False, False, True]
    assert ("softmax", PUBLISHED) not in ways


def made(model, way, seed, count, n=100):
    return Outcome(model=model, seed=seed, eps="0.1", way=way, right=np.arange(n) < count)


def test_medians_and_paired_tests_are_counted_by_seed(tmp_path):
    results = [
        made(model, way, seed, count)
        for seed in range(3)
        for model, way, count in (
            ("softmax", PUBLISHED, 50 + seed),
            ("softmax", EVERYTHING, 50),
            ("gll", PUBLISHED, 80),
            ("gll", EVERYTHING, 10),
        )
    ]
    text = report(results)
    assert "| softmax | - | 51.0 (50.0 to 52.0) | 50.0 (50.0 to 50.0) |" in text
    assert "| gll | 0.1 | published | +29.0 | 3 | 0 | 0 |" in text
    assert "| gll | 0.1 | everything | -40.0 | 0 | 3 | 0 |" in text
    draw(results, tmp_path / "figure.svg")
    picture = (tmp_path / "figure.svg").read_text("utf-8")
    assert "Linf 0.1" in picture
    assert "softmax" in picture


def test_a_run_that_lacks_images_is_refused():
    short = record("softmax", "clean", [R] * 3, of=details(), total=4)
    with pytest.raises(ConfigError, match="3 of 4 images of softmax"):
        outcomes([short])
