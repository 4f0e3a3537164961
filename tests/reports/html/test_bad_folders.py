"""Folders that are empty, half-written or damaged: a page that says so, never a traceback."""

import json
import shutil

import pytest

from reports.html.page import HTML
from robench.errors import ConfigError
from robench.record.store import Store
from tests.reports.html.page_parser import parse, rows
from tests.reports.html.synthetic import run_folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("run"), models=1, images=100)


@pytest.fixture(scope="module")
def board(whole):
    return rows(parse(HTML().render_run(whole)), "board-0-table")


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def notices(page):
    return [e.text for e in page.all("details") if e.attributes.get("class") == "notice"]


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected a run folder"):
        HTML().render_run(tmp_path)
    with pytest.raises(ConfigError, match="expected a run folder"):
        HTML().render_run(tmp_path / "absent")


def test_an_empty_run_has_no_page_and_says_what_to_do(tmp_path):
    Store(tmp_path).prepare()
    with pytest.raises(ConfigError, match="at least one finished unit"):
        HTML().render_run(tmp_path)


def test_a_run_of_failures_lists_them(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    for number in range(60):
        store.write_error(
            f"job{number:02}", {"job": f"pgd <{number}>", "error": "Traceback\n  x\nOOM: no & memory"}
        )
    store.write_json("run.json", {"name": "r", "units": [], "failed_models": {"net": "a\nno file"}})
    (notice,) = notices(parse(HTML().render_run(tmp_path)))
    assert "(61)" in notice
    assert "pgd <0>: OOM: no & memory" in notice
    assert "model net: no file" in notice
    assert "and 11 more" in notice


@pytest.mark.thorough
def test_records_that_cannot_be_read_are_listed_and_left_out(folder):
    run_folder(folder, models=2, images=100)
    first, second, _, third = Store(folder).keys()[:4]
    newer = json.loads(Store(folder).unit(first).read_text()) | {"schema": 99}
    Store(folder).unit(first).write_text(json.dumps(newer))
    Store(folder).unit(second).write_text('{"key": "half-wri')
    Store(folder).unit(third).unlink()
    page = parse(HTML().render_run(folder))
    (notice,) = notices(page)
    assert "schema 99" in notice
    for key in (first, second, third):
        assert f"units/{key}.json" in notice
    assert [line for line in rows(page, "board-0-table") if "partial" in line[4]]


@pytest.mark.parametrize("content", ["", '{"units": ["a', "[1, 2]", "\x00\xff"])
def test_a_half_written_run_json_shows_every_unit(folder, board, content):
    (folder / "run.json").write_text(content, "latin-1")
    page = parse(HTML().render_run(folder))
    assert rows(page, "board-0-table") == board


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("models/model-00-0123/weights.card.yaml", b"name: [half"),
        ("models/model-00-0123/weights.card.yaml", b"- a list"),
        ("models/model-00-0123/history.csv", b"epoch,loss\n1,0.5\n2,"),
        ("models/model-00-0123/history.csv", b"\xff\xfe\x00"),
        ("models/model-00-0123/history.csv", b""),
        ("data/shard0.safetensors", b"\x10"),
        ("adv/adv0.safetensors", b""),
        ("config.yaml", b"\xff\xfe broken \xd8"),
        ("errors/x.json", b"{"),
    ],
)
def test_any_other_file_may_be_damaged(folder, board, name, content):
    (folder / name).write_bytes(content)
    page = parse(HTML().render_run(folder))
    assert rows(page, "board-0-table") == board
    if name.startswith(("data", "adv")):
        assert not list(page.all("img"))


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("1,0.5,1.5,100", "validation_robust_accuracy"),
        ("1,0.5,-0.25,100", "validation_robust_accuracy"),
        ("1,0.5,0.5,2.5", "validation_images"),
        ("1,0.5,0.5,-1", "validation_images"),
        ("1,0.5,0.5,1e300", "validation_images"),
        ("1e300,0.5,0.5,100", "epoch"),
    ],
)
def test_a_history_that_counts_more_than_there_is_is_named_and_left_out(folder, board, row, column):
    # An interval of 150 % of 100 images ended the page.
    header = "epoch,loss,validation_robust_accuracy,validation_images"
    (folder / "models/model-00-0123/history.csv").write_text(f"{header}\n{row}\n{row}\n")
    page = parse(HTML().render_run(folder))
    assert rows(page, "board-0-table") == board
    (notice,) = [text for text in notices(page) if "history.csv" in text]
    assert f"`{column}`" in notice


def test_one_model(tmp_path):
    page = parse(HTML().render_run(run_folder(tmp_path, models=1, attacks=1, images=20)))
    assert len(rows(page, "board-0-table")) == 2
    assert not [e for e in page.all("svg") if "tradeoff" in str(e.attributes)]
    assert "fewer than 100 images" in page.text
