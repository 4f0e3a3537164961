"""Figures: what they show is the board, names cannot hurt them, and the same records give the same bytes."""

import pytest

from reports.board.leaderboard import boards
from reports.figures.palette import GREY
from reports.figures.selection import draw_to
from reports.figures.style import shown
from reports.figures.tradeoff import MOST_NAMED, Tradeoff
from reports.figures.transfer import TransferMap
from robench.errors import ConfigError
from tests.reports.board.test_leaderboard import TEN, B, R, record

HOSTILE = "$\\frac{<script>$ | =1+1 \x1b[31m \u202eabc " + "x" * 500


def texts(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_tradeoff_has_a_point_with_its_intervals_for_every_model():
    (board,) = boards(TEN)
    figure = Tradeoff().draw(board)
    (axes,) = figure.axes
    points = {(round(float(c.lines[0].get_xdata()[0]), 6), round(float(c.lines[0].get_ydata()[0]), 6))
              for c in axes.containers}  # fmt: skip
    assert points == {(100 * r.clean.value, 100 * r.worst_case.value) for r in board.rows}
    row = next(r for r in board.rows if r.model == "a")
    bars = [tuple(b.get_segments()[0][:, 1]) for c in axes.containers for b in c.lines[2][1:]]
    assert any(pytest.approx((100 * row.worst_case.low, 100 * row.worst_case.high)) == bar for bar in bars)
    assert {"a", "b"} <= set(texts(figure))


def test_tradeoff_of_many_models_names_the_first_of_the_board_and_says_what_it_leaves_out():
    count = MOST_NAMED + 7
    many = [
        one
        for at in range(count)
        for one in (
            record(f"m{at}", "", "clean", [R] * 40, gradient=""),
            record(f"m{at}", f"m{at}", "pgd", [*[B] * at, *[R] * (40 - at)]),
        )
    ]
    (board,) = boards(many)
    figure = Tradeoff().draw(board)
    (axes,) = figure.axes
    names = {text for text in texts(figure) if text in {row.model for row in board.rows}}
    assert names == {row.model for row in board.rows[:MOST_NAMED]}
    assert len(axes.containers) == MOST_NAMED
    grey = next(line for line in axes.lines if line.get_color() == GREY)
    rest = [100 * row.worst_case.value for row in board.rows[MOST_NAMED:]]
    assert sorted(grey.get_ydata()) == pytest.approx(sorted(rest))
    assert any("the other 7 are grey points" in text.replace("\n", " ") for text in texts(figure))


def test_transfer_map_shows_every_pair_and_leaves_unknown_ones_empty():
    (board,) = boards(TEN)
    shares = {(t.source, t.target): t.robust for t in board.transfers if not t.attack}
    labels = texts(TransferMap().draw(board))
    for share in shares.values():
        assert f"{100 * share.value:.1f}" in labels
    some = [r for r in TEN if not (r.source.name == "b" and r.target.name == "a")]
    (partial,) = boards(some)
    numbers = [t for t in texts(TransferMap().draw(partial)) if t.count(".") == 1 and t[0].isdigit()]
    assert len(numbers) == 3


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_same_records_same_bytes_whatever_the_names(tmp_path, suffix):
    records = [record(HOSTILE, "", "clean", [R] * 10, gradient=""),
               record(HOSTILE, HOSTILE, "pgd", [B, *[R] * 9])]  # fmt: skip
    first = Tradeoff()(records, tmp_path / f"one{suffix}")
    second = Tradeoff()(records, tmp_path / f"two{suffix}")
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) > 1000
    if suffix == ".svg":
        page = first.read_text("utf-8")
        assert "<script>" not in page
        assert "\x1b" not in page


def test_names_are_printable_and_short():
    assert shown("plain") == "plain"
    assert len(shown(HOSTILE)) <= 28
    assert "\u202e" not in shown("\u202eabc")


def test_a_figure_that_cannot_be_drawn_says_why(tmp_path):
    with pytest.raises(ConfigError, match=r"\.svg"):
        draw_to(Tradeoff().draw, TEN, tmp_path / "x.jpeg", board=None)
    with pytest.raises(ConfigError, match="toy test"):
        draw_to(Tradeoff().draw, TEN, tmp_path / "x.svg", board="L7")
    two = [*TEN, record("a", "a", "pgd", [R] * 10, eps=0.5)]
    with pytest.raises(ConfigError, match="one board"):
        draw_to(Tradeoff().draw, two, tmp_path / "x.svg", board=None)
    clean = [record("a", "", "clean", [R] * 10, gradient="")]
    with pytest.raises(ConfigError, match="clean and robust"):
        Tradeoff()(clean, tmp_path / "x.svg")
    white = [record("a", "", "clean", [R] * 10, gradient=""), record("a", "a", "pgd", [R] * 10)]
    with pytest.raises(ConfigError, match="one model, 'a'"):
        TransferMap()(white, tmp_path / "x.svg")
    both = [*white, record("b", "", "clean", [R] * 10, gradient=""), record("b", "b", "pgd", [R] * 10)]
    with pytest.raises(ConfigError, match="white-box"):
        TransferMap()(both, tmp_path / "x.svg")
    assert not list(tmp_path.iterdir())


def test_matplotlib_settings_are_as_before():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    Tradeoff().draw(boards(TEN)[0])
    assert dict(mpl.rcParams) == before
