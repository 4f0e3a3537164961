"""Feature space on the page: what was kept is shown, hostile names are text, damage is a line."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from reports.board.feature_spaces import read_feature_spaces, same_networks
from reports.figures.features import Features
from reports.figures.neighbours import Neighbours
from reports.html.page import HTML
from robench.cli import app
from robench.errors import ConfigError
from robench.record.feature_snapshot import read_snapshot, write_snapshot
from robench.record.store import Store
from tests.reports.html.page_parser import parse
from tests.reports.html.synthetic import run_folder
from tests.reports.html.test_gallery import decoded

HOSTILE = "<img src=x onerror=alert(1)> $\\frac{ \x1b[31m \u202e" + "x" * 300


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("run"), models=3, spaces=True)


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def spaces(page):
    return [e for e in page.all("div") if e.attributes.get("class") == "geometry"]


def views_of(root):
    store = Store(root)
    return read_feature_spaces(root, store.read_records(), store.read_json("run.json").get("geometry"))


@pytest.mark.thorough
def test_heads_on_one_network_share_a_figure(whole):
    feature_spaces, faults = views_of(whole)
    assert faults == []
    groups = same_networks(feature_spaces)
    assert [[v.record.target.name for v in group] for group in groups] == [
        ["model-00"], ["model-01", "model-02"],
    ]  # fmt: skip
    page = parse(HTML().render_run(whole))
    sections = spaces(page)
    assert len(sections) == 3
    figures = [list(e.all("svg")) for e in sections]
    assert sorted(map(len, figures)) == [0, 1, 1]
    (borrower,) = [e for e in sections if not list(e.all("svg"))]
    assert "the picture there shows both heads" in " ".join(borrower.text.split())
    for (drawing,) in [f for f in figures if f]:
        assert "principal components" in drawing.attributes["aria-label"]
        assert "of 200 after attack-0" in drawing.attributes["aria-label"]


def test_other_features_are_another_network(folder):
    store = Store(folder)
    path = store.snapshot("space-3")
    snapshot = read_snapshot(path)
    features = snapshot.cloud.clean_features + 0.1
    write_snapshot(path, replace(snapshot, cloud=replace(snapshot.cloud, clean_features=features)))
    assert [len(group) for group in same_networks(views_of(folder)[0])] == [1, 1, 1]


@pytest.mark.thorough
def test_neighbours_are_the_kept_pictures_in_order(whole):
    page = parse(HTML().render_run(whole))
    nearest = read_snapshot(Store(whole).snapshot("space-1")).nearest
    (section,) = [
        e
        for e in page.all("details")
        if e.attributes.get("class") == "model" and "model-00" in next(e.all("summary")).text
    ]
    (own,) = spaces(section)
    lists = list(own.all("ol"))
    assert len(lists) == 8  # four images, before and after
    items = [list(one.all("li")) for one in lists]
    assert [i.attributes["class"] for i in items[1]] == ["own", "taken", "other", "other", "other"]
    assert ["".join(i.text.split()) for i in items[0]] == [
        "class00", "class10.25", "class20.5", "class30.75", "class41",
    ]  # fmt: skip
    for at, item in enumerate(items[0]):
        (image,) = item.all("img")
        assert (decoded(image.attributes["src"]) == nearest.pictures[at, 0]).all()
    queries = [e for e in own.all("figure") if e.attributes.get("class") == "query"]
    (first,) = queries[0].all("img")
    assert (decoded(first.attributes["src"]) == nearest.queries[0, 0, 0]).all()
    assert [" ".join(q.text.split()) for q in queries[:2]] == ["before: class 0", "after: class 1"]


@pytest.mark.thorough
@pytest.mark.parametrize("keep", [0, 9, 0.5, 0.999])
def test_a_half_written_file_is_a_line_and_the_rest_is_shown(folder, keep):
    path = Store(folder).snapshot("space-2")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    page = parse(HTML().render_run(folder))
    (notice,) = [e for e in page.all("details") if e.attributes.get("class") == "notice"]
    assert "geometry/space-2.safetensors" in notice.text
    assert len(spaces(page)) == 2
    outcome = CliRunner().invoke(app, ["plot", "features", str(folder), "-o", str(folder / "x.svg")])
    assert outcome.exit_code == 0, outcome.output
    assert "geometry/space-2.safetensors: expected" in outcome.stderr
    assert "it is left out" in outcome.stderr


@pytest.mark.thorough
def test_a_listed_file_that_is_gone_or_elsewhere_is_a_line(folder):
    Store(folder).snapshot("space-2").unlink()
    facts = Store(folder).read_json("run.json")
    Store(folder).write_json("run.json", facts | {"geometry": ["space-1", "space-2", "../../etc/passwd"]})
    page = parse(HTML().render_run(folder))
    (notice,) = [e for e in page.all("details") if e.attributes.get("class") == "notice"]
    assert "space-2" in notice.text
    assert "passwd" in notice.text
    assert len(spaces(page)) == 1


@pytest.mark.thorough
def test_older_folders_lack_the_section_and_say_nothing(tmp_path):
    root = run_folder(tmp_path, models=2)
    facts = Store(root).read_json("run.json")
    del facts["geometry"]
    Store(root).write_json("run.json", facts)
    shutil.rmtree(root / "geometry")
    page = parse(HTML().render_run(root))
    assert spaces(page) == []
    assert not [e for e in page.all("details") if e.attributes.get("class") == "notice"]
    for figure in (Features(), Neighbours()):
        with pytest.raises(ConfigError, match="expected run folders that keep"):
            figure.of_runs([root], tmp_path / "x.svg")


def test_what_belongs_to_another_plan_is_passed_over(folder):
    (folder / "run.json").unlink()
    snapshot = read_snapshot(Store(folder).snapshot("space-1"))
    write_snapshot(Store(folder).snapshot("other"), replace(snapshot, units=("gone",)))
    write_snapshot(Store(folder).snapshot("zz-twice"), snapshot)
    spaces, faults = read_feature_spaces(folder, Store(folder).read_records(), None)
    assert (len(spaces), faults) == (3, [])


@pytest.mark.thorough
def test_a_reason_is_shown_and_escaped(folder):
    path = Store(folder).snapshot("space-1")
    write_snapshot(path, replace(read_snapshot(path), cloud=None, reason="a <b>net</b> without nn.Linear"))
    page = parse(HTML().render_run(folder))
    assert "No picture of its features: a <b>net</b> without nn.Linear." in page.text


@pytest.mark.thorough
def test_features_that_do_not_vary_say_so(folder):
    for key in ("space-2", "space-3"):
        path = Store(folder).snapshot(key)
        snapshot = read_snapshot(path)
        equal = np.ones_like(snapshot.cloud.clean_features)
        write_snapshot(path, replace(snapshot, cloud=replace(snapshot.cloud, clean_features=equal)))
    page = parse(HTML().render_run(folder))
    assert page.text.count("those of all these images are equal") == 2


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_figures_of_hostile_names_are_the_same_each_time(tmp_path, suffix):
    root = run_folder(tmp_path / "run", names=[HOSTILE, "b", "c"], spaces=True)
    for figure in (Features(), Neighbours()):
        first = figure.of_runs([root], tmp_path / f"one{suffix}").read_bytes()
        assert first == figure.of_runs([root], tmp_path / f"two{suffix}").read_bytes()
        assert b"<img" not in first
        assert b"\x1b[31m" not in first
    page = parse(HTML().render_run(root))
    assert not [e for e in page.all("img") if "onerror" in e.attributes]


def test_the_figure_is_the_plane_of_the_clean_features(whole):
    spaces, _ = views_of(whole)
    group = same_networks(spaces)[1]
    names = {space.model: space.record.target.name for space in spaces}
    clean, first, second = Features().draw([group], names).axes
    marks = [len(line.get_xdata()) for line in clean.lines]
    assert marks == [100, 0, 100, 0]  # on clean images no head is asked
    for axes, space in ((first, group[0]), (second, group[1])):
        cloud = space.snapshot.cloud
        right = cloud.adversarial == cloud.label
        counts = [int((right & (cloud.label == 0)).sum()), int((~right & (cloud.label == 0)).sum())]
        assert [len(line.get_xdata()) for line in axes.lines][:2] == counts
        assert axes.get_xlim() == clean.get_xlim()
    fewer = Features().draw([group], names, most=10).axes[0]
    assert [len(line.get_xdata()) for line in fewer.lines] == [10, 0, 10, 0]


def test_records_alone_hold_no_features(whole, tmp_path):
    for figure in (Features(), Neighbours()):
        with pytest.raises(ConfigError, match=r"expected a run folder: .* got results alone"):
            figure(Store(whole).read_records(), tmp_path / "x.svg")


def test_networks_whose_pictures_show_other_classes_are_labelled_each_for_itself(whole):
    """Run folders choose their two classes apart: one legend for all would name the wrong ones."""
    groups = same_networks(views_of(whole)[0])
    cloud = groups[1][0].snapshot.cloud
    other = replace(cloud, classes=(4, 7), label=np.where(cloud.label == 0, 4, 7))
    second = [replace(v, snapshot=replace(v.snapshot, cloud=other)) for v in groups[1]]
    names = {space.model: "net" for group in groups for space in group}
    figure = Features().draw([groups[0], second], names)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["hollow: the model is wrong"]
    labels = [
        [text.get_text() for text in axes.get_legend().get_texts()]
        for axes in figure.axes
        if axes.get_legend()
    ]
    assert labels == [["class class 0", "class class 1"], ["class class 4", "class class 7"]]
    (alike,) = Features().draw(groups, names).legends
    assert [text.get_text() for text in alike.get_texts()][:2] == ["class class 0", "class class 1"]
