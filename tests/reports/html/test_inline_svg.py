"""Figures inside a page: no style attribute, ids of their own, colours of the theme, names as text."""

import pytest

from reports.figures import training
from reports.html import inline_svg as module
from reports.html.inline_svg import inline_svg
from robench.errors import ConfigError
from tests.reports.html.page_parser import parse

ROWS = [
    {"epoch": 1.0, "stage": 1.0, "loss": 2.0, "train_accuracy": 0.2, "validation_accuracy": 0.3},
    {"epoch": 2.0, "stage": 1.0, "loss": 1.0, "train_accuracy": 0.4, "validation_accuracy": 0.5, "best": 1.0},
    {"epoch": 1.0, "stage": 2.0, "loss": 0.5, "train_accuracy": 0.6, "validation_accuracy": 0.7, "best": 1.0},
    {"epoch": 2.0, "stage": 2.0, "loss": 0.4, "validation_accuracy": 0.6},
]


def lines(axes):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def test_training_curves_show_the_history():
    left, right = training.draw(ROWS).axes
    assert lines(left)["training, clean"] == ([1, 2, 3], pytest.approx([20, 40, 60]))
    assert lines(left)["held out, clean"] == ([1, 2, 3, 4], pytest.approx([30, 50, 70, 60]))
    assert list(right.lines[0].get_ydata()) == [2.0, 1.0, 0.5, 0.4]
    upright = [line.get_xdata()[0] for line in left.lines if len(set(line.get_xdata())) == 1]
    assert upright == [2.5, 3.0]  # the second stage begins between 2 and 3; the third epoch was kept
    assert [text.get_text() for text in left.texts] == ["stage 2"]


def test_no_history_no_curves():
    with pytest.raises(ConfigError, match="at least one epoch"):
        training.draw([])
    assert training.draw([{"epoch": 1.0}]).axes  # nothing was measured: empty axes, no error


def test_two_figures_share_a_page_without_style_or_ids():
    figure = training.draw(ROWS)
    page = parse(
        inline_svg(figure, name="one", description='a "b" <c>')
        + inline_svg(figure, name="two", description="d")
    )
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    first, second = page.all("svg")
    assert first.attributes["aria-label"] == 'a "b" <c>'
    for drawing, name in ((first, "one-"), (second, "two-")):
        for element in drawing.all():
            assert "style" not in element.attributes
            assert element.attributes.get("href", f"#{name}").startswith(f"#{name}")
        assert not list(drawing.all("style", "metadata", "script", "image"))
    assert "held out, clean" in first.text


def test_black_becomes_the_colour_of_the_text():
    (drawing,) = parse(inline_svg(training.draw(ROWS), name="x", description="d")).all("svg")
    colours = {e.attributes.get(k) for e in drawing.all() for k in ("fill", "stroke")} - {None}
    assert not colours & {"#000000", "#ffffff", "black", "white"}
    assert "currentColor" in colours
    assert "var(--c0, #0072B2)" in colours  # the page's own, in light and dark


@pytest.mark.thorough
def test_a_figure_that_was_laid_out_before_is_the_one_that_matplotlib_lays_out(monkeypatch):
    once = inline_svg(training.draw(ROWS), name="a", description="one")
    monkeypatch.setattr(module, "_lay_out", lambda figure: None)
    assert inline_svg(training.draw(ROWS), name="a", description="one") == once
