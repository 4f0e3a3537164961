"""Axes of curves."""

import pytest

from reports.figures.lines import scale
from reports.figures.style import styled


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("end", [0.0, 1.0, 40.0])
def test_an_axis_has_a_length_even_where_nothing_was_spent(end, log):
    from matplotlib.figure import Figure

    with styled():
        axes = Figure().subplots()
        scale(axes, end, log=log)
        assert axes.get_xlim() == (0, end or 1.0)
