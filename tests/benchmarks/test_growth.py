"""How work grows: the slope of a law is its power, and the plan of the runs is valid."""

from xml.etree import ElementTree

import pytest

from benchmarks.growth import NET, PLAN, SERIES, Series, draw, graph_call
from robench.plan import config


@pytest.mark.parametrize("power", [0, 1, 1.5, 2])
def test_the_slope_is_the_power_of_the_law(power):
    series = Series(work="w", size="s", seconds={size: 0.1 * size**power for size in (1, 10, 30)})
    assert series.slope == pytest.approx(power)
    assert f"| {power:.2f} |" in series.line()


def test_series_are_drawn_as_panels(tmp_path):
    series = [
        Series(work=name, size="images", seconds={1: 1.0, 2: 2.0 * place})
        for place, name in enumerate("abcd", 1)
    ]
    draw(series, tmp_path / "growth.svg")
    text = "".join(ElementTree.parse(tmp_path / "growth.svg").getroot().itertext())
    assert all(f"slope {one.slope:.2f}" in text for one in series)


def test_the_plan_of_the_runs_is_valid_and_sizes_grow(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "growth.yaml").write_text(PLAN)
    assert config.load(tmp_path / "growth.yaml").shard == 20
    assert all(list(sizes) == sorted(set(sizes)) for _, _, sizes, _ in SERIES.values())


def test_a_graph_of_few_points_is_solved():
    graph_call(100)()
