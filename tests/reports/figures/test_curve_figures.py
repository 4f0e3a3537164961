"""Figures of curves: they show the curves, for one model and for fifty, and say why they cannot be drawn."""

import dataclasses

import pytest

from reports.board.curves import IN_TURN, Line, Panel, board_curves, families
from reports.board.grouping import split_into_boards
from reports.board.leaderboard import boards
from reports.figures.curve_figures import Compute, Restarts, Steps
from reports.figures.eps import Eps
from reports.figures.lines import MOST_PANELS, arranged, draw_panels
from reports.figures.palette import LIT
from reports.figures.sizes import Sizes
from reports.figures.training import Training
from robench.cli.app import app
from robench.errors import ConfigError
from robench.record.measures.curves import curve_of
from tests.records import changed
from tests.reports.board.test_curves import RADII, RECORDS
from tests.reports.board.test_leaderboard import TEN, R, record
from tests.reports.figures.test_figures import HOSTILE, texts
from tests.reports.html.synthetic import run_folder

PLUGINS = {"steps": Steps, "compute": Compute, "restarts": Restarts}


def curves():
    (board,), (samples,) = boards(RECORDS), split_into_boards(RECORDS)
    return board_curves(board, samples)


def lines_of(axes):
    return {(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in axes.lines}


@pytest.mark.parametrize("name", PLUGINS)
def test_a_figure_shows_the_curves_with_their_bands(name):
    figure = PLUGINS[name]().draw(curves())
    panels = {"steps": curves().points, "compute": curves().passes, "restarts": curves().tries}[name]
    titles = {panel.attack or "all attacks, in turn" for panel in panels}
    assert titles <= {axes.get_title(loc="left") for axes in figure.axes} | {texts(figure)[0]} | set(
        texts(figure)
    )
    axes = {a.get_title(loc="left"): a for a in figure.axes}["pgd"] if len(panels) > 1 else figure.axes[0]
    (pgd,) = [panel for panel in panels if panel.attack == "pgd"]
    for line in pgd.lines:
        x = (*line.curve.x, max(line.curve.end, line.curve.x[-1]))
        y = tuple(100 * r / line.curve.n for r in (*line.curve.robust, line.curve.robust[-1]))
        assert (x, y) in lines_of(axes)
    assert len(axes.collections) == len(pgd.lines)  # the bands
    low, high = zip(*pgd.lines[0].curve.band(), strict=True)
    edges = {round(float(v), 9) for band in axes.collections for v in band.get_paths()[0].vertices[:, 1]}
    assert {round(100 * v, 9) for v in (*low, *high)} <= edges


def test_several_attacks_on_one_model_share_a_panel():
    one = [Panel(attack=a, lines=(Line(model="m", fingerprint="f", curve=curve_of({0: 1.0}, end=3)),))
           for a in ("pgd", "square", IN_TURN)]  # fmt: skip
    ((title, lines),) = arranged(one)
    assert (title, [name for name, _ in lines]) == ("m", ["pgd", "square", "all attacks, in turn"])


@pytest.mark.thorough
def test_fifty_models_and_ten_attacks_stay_readable():
    curve = curve_of(dict(enumerate(map(float, range(1000)))), end=1000)
    many = tuple(Line(model=f"model-{i:02}", fingerprint="f", curve=curve) for i in range(50))
    figure = draw_panels([Panel(attack=f"a{i}", lines=many) for i in range(10)], title="t", xlabel="x")
    assert len(figure.axes) == MOST_PANELS
    legend = [t for t in texts(figure) if t.startswith(("model-", "the other"))]
    assert legend == [*(f"model-{i:02}" for i in range(LIT)), "the other 42 models"]
    assert any("4 more attacks are in curves.csv" in t for t in texts(figure))


def test_eps_shows_exact_lines_and_the_boards_radii():
    family = families(boards(RADII), split_into_boards(RADII))[0]
    figure = Eps().draw(family)
    (axes,) = figure.axes
    lines = lines_of(axes)
    assert ((0.0, 0.05, 0.2, 0.3, 0.3), (80.0, 60.0, 40.0, 20.0, 20.0)) in lines
    assert ((0.0, 0.1, 0.3), (100.0, 80.0, 60.0)) in lines  # without small perturbations: joined points
    only = dataclasses.replace(family, models=tuple(m for m in family.models if not m.exact))
    assert [t.get_text() for t in Eps().draw(only).axes[0].get_xticklabels()] == ["0", "0.1", "0.3"]
    with pytest.raises(ConfigError, match="eps: inf"):
        Sizes().draw(only)


def test_sizes_shows_the_quartiles():
    family = families(boards(RADII), split_into_boards(RADII))[0]
    (axes,) = Sizes().draw(family).axes
    (a,) = [one for one in family.models if one.exact]
    lines = [tuple(map(float, line.get_xdata())) for line in axes.lines]
    assert (a.exact.reached(0.5),) in lines  # 3 of 5 broken
    assert (a.exact.reached(0.25), a.exact.reached(0.75)) in lines
    right = float(axes.get_xlim()[1])
    assert (0.0, right) in lines  # a fifth of the images is never broken: 95 % lies beyond


def renamed(one):
    """The same record with a hostile name in place of `a`."""
    return changed(one, **{s: {"name": HOSTILE} for s in ("target", "source") if getattr(one, s).name == "a"})


@pytest.mark.thorough
@pytest.mark.parametrize("name", [*PLUGINS, "eps", "sizes"])
@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_same_records_same_bytes_whatever_the_names(tmp_path, name, suffix):
    plugin = {**PLUGINS, "eps": Eps, "sizes": Sizes}[name]()
    records = [renamed(one) for one in (RECORDS if name in PLUGINS else RADII)]
    paths = [plugin(records, tmp_path / f"{i}{suffix}", board="Linf") for i in (1, 2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    if suffix == ".svg":
        assert "<script>" not in paths[0].read_text("utf-8")


def test_a_figure_that_cannot_be_drawn_says_why(tmp_path):
    path = tmp_path / "x.svg"
    with pytest.raises(ConfigError, match="when they broke"):
        Steps()(TEN, path)
    with pytest.raises(ConfigError, match="restarts: 5"):
        Restarts()(TEN, path)
    with pytest.raises(ConfigError, match="finite eps"):
        Compute()([record("a", "", "clean", [R], gradient="")], path)
    with pytest.raises(ConfigError, match=r"eps: \[2/255, 4/255, 8/255\]"):
        Eps()(TEN, path)
    with pytest.raises(ConfigError, match="Linf, untargeted"):
        Eps()(RADII, path, board="L7")
    with pytest.raises(ConfigError, match="robench plot FIGURE RUN"):
        Training()([], path)
    assert not list(tmp_path.iterdir())


@pytest.mark.thorough
def test_plot_draws_trainings_from_folders_and_says_what_there_is(tmp_path, capsys):
    from typer.testing import CliRunner

    root = run_folder(tmp_path / "run")
    runner = CliRunner()
    outcome = runner.invoke(app, ["plot", "training", str(root), "-o", str(tmp_path / "t.svg")])
    assert outcome.exit_code == 0
    assert "stage 2" in (tmp_path / "t.svg").read_text()
    with pytest.raises(ConfigError, match="'model-00'"):
        Training().of_runs([root], tmp_path / "t.svg", board="other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"history\.csv"):
        Training().of_runs([tmp_path / "empty"], tmp_path / "t.svg")
    for name in (*PLUGINS,):
        assert (
            runner.invoke(app, ["plot", name, str(root), "-o", str(tmp_path / f"{name}.png")]).exit_code == 0
        )
