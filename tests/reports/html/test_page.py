"""The page as a whole: what a browser, a screen reader and an attacker find in it."""

import base64
import hashlib
import re
import shutil

import pytest

from reports.board.leaderboard import boards
from reports.html.page import HTML
from reports.text.doubt_sentences import short_sentence
from reports.text.escape import visible
from robench.record.store import Store
from tests.records import changed
from tests.reports.html.page_parser import parse, rows
from tests.reports.html.synthetic import run_folder
from tests.reports.text.test_renderers import HOSTILE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def text(folder):
    return HTML().render_run(folder)


@pytest.fixture(scope="module")
def page(text):
    return parse(text)


@pytest.mark.thorough
def test_a_reader_without_eyes_or_mouse_finds_everything(page):
    (html,) = page.all("html")
    assert html.attributes["lang"] == "en"
    assert len(list(page.all("h1"))) == 1
    assert [e.text.strip() for e in page.all("h2")] == [
        "Leaderboards", "Models", "Trainings", "Provenance", "How to read this",
    ]  # fmt: skip
    assert all(image.attributes["alt"] for image in page.all("img"))
    for drawing in page.all("svg"):
        assert drawing.attributes.get("aria-hidden") == "true" or (
            drawing.attributes["role"] == "img" and len(drawing.attributes["aria-label"]) > 20
        )
    ids = {e.attributes["for"] for e in page.all("label")}
    assert {e.attributes["id"] for e in page.all("input")} == ids
    first = next(e for e in page.all("a"))
    assert (first.attributes["class"], first.attributes["href"]) == ("skip", "#main")


def test_tables_have_captions_headers_and_buttons(page):
    tables = [t for t in page.all("table") if t.attributes.get("class") != "beside"]  # pictures: not sorted
    assert len(tables) == 7  # a board, one per model, and one for each of three figures of curves
    for table in tables:
        (caption,) = table.all("caption")
        assert caption.text.strip()
        (head,) = table.all("thead")
        for header in head.all("th"):
            assert (header.attributes["scope"], header.attributes["aria-sort"]) == ("col", "none")
            assert len(list(header.all("button"))) == 1
        (body,) = table.all("tbody")
        for row in body.all("tr"):
            assert [h.attributes["scope"] for h in row.all("th")] == ["row"]
            assert len(list(row.all("th", "td"))) == len(list(head.all("th")))


def test_every_link_leads_somewhere_and_every_id_is_unique(page):
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(set(ids)) == len(ids)
    links = [e.attributes["href"] for e in page.all("a")]
    assert links
    assert {link.removeprefix("#") for link in links} <= set(ids)
    doubts = [e.attributes["href"] for e in page.all("a") if e.attributes.get("class") == "doubt-link"]
    assert "#board-0-finding-0" in doubts
    inside = re.compile(r"url\(#([^)]+)\)")
    for element in page.all():
        for value in element.attributes.values():
            assert set(inside.findall(value or "")) <= set(ids)


def test_nothing_is_fetched_and_only_our_script_runs(page):
    (policy,) = [
        e.attributes["content"] for e in page.all("meta")
        if e.attributes.get("http-equiv") == "Content-Security-Policy"
    ]  # fmt: skip
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    for tag in ("script", "style"):
        (element,) = page.all(tag)
        assert not element.attributes
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    for element in page.all():
        assert not {name for name in element.attributes if name.startswith("on") or name == "style"}
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            value = element.attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (element.tag, value)
        assert element.tag not in {"iframe", "object", "embed", "form", "base", "foreignobject"}


def test_the_numbers_are_those_of_the_boards(page, folder):
    (board,) = boards(Store(folder).read_records())
    header, *body = rows(page, "board-0-table")
    assert header[:6] == ["Rank", "Model", "Worst case, %", "Clean, %", "Remarks", "Architecture"]
    assert header[6] == "White-box, %"
    assert [line[1] for line in body] == [row.model for row in board.rows]
    for line, row in zip(body, board.rows, strict=True):
        worst = row.worst_case
        low, high = 100 * worst.low, 100 * worst.high
        assert line[2] == f"{100 * worst.value:.1f} [{low:.1f}, {high:.1f}]"
        own = [doubt for doubt in board.doubts if doubt.model == row.model and doubt.unlifted]
        assert line[4] == (" ".join(f"{short_sentence(one)} {one.code}" for one in own) or "-")
        assert line[5] == "toy"
        assert line[7:9] == [f"{100 * row.attacks[label].value:.1f}" for label in board.attacks]
    (table,) = [e for e in page.all("table") if e.attributes["id"] == "board-0-table"]
    bars = [e for e in table.all("rect") if e.attributes["class"] == "range"]
    worst = board.rows[0].worst_case
    assert float(bars[0].attributes["x"]) == pytest.approx(100 * worst.low, abs=0.05)
    assert float(bars[0].attributes["width"]) == pytest.approx(100 * (worst.high - worst.low), abs=0.06)


def test_the_first_screen_says_what_was_asked_and_what_the_answer_is(page, folder):
    (board,) = boards(Store(folder).read_records())
    (article,) = [e for e in page.all("article") if e.attributes.get("class") == "answer"]
    text = " ".join(article.text.split())
    assert text.startswith(
        "On how many of 120 images (toy test) does each of 3 models stay right when an attacker may change "
        "every pixel value by at most 0.1?"
    )
    best = next(row for row in board.rows if row.rank)
    assert f"{100 * best.worst_case.value:.1f} % right against everything tried: {best.model}" in text
    assert "In doubt, with no rank: model-01." in text
    assert "images are wrong or broken on every model." in text


def test_a_doubt_names_its_attack_and_library_and_what_is_lifted_is_folded_away(page):
    (doubts,) = [e for e in page.all("section") if e.attributes.get("class") == "doubts"]
    text = " ".join(doubts.text.split())
    assert "An attack had no gradient to follow on some images zero-gradient" in text
    assert "model-01: what was seen" in text
    assert "met by attack-0 (robench), attack-01 (robench)" in text


def test_a_model_has_one_colour_on_the_page_and_one_in_doubt_is_hollow(page):
    (table,) = [e for e in page.all("table") if e.attributes["id"] == "board-0-table"]
    own = {}
    for row in next(iter(table.all("tbody"))).all("tr"):
        (head,) = row.all("th")
        (mark,) = head.all("span")
        own[head.text.strip()] = mark.attributes["class"].split()
    assert {name: marks[1] for name, marks in own.items()} == {name: f"m{at}" for at, name in enumerate(own)}
    assert [name for name, marks in own.items() if "hollow" in marks] == ["model-01"]
    for legend in (e for e in page.all("ul") if e.attributes.get("class") == "legend"):
        for item in legend.all("li"):
            (mark,) = item.all("span") if "doubt" not in item.text else [next(iter(item.all("span")))]
            assert mark.attributes["class"].split()[1] == own[item.text.split()[0]][1]


def test_what_is_said_of_ranks_is_how_they_are_given(page):
    """A row is compared with the first of a rank: see `test_leaderboard.py` on chains of neighbours."""
    (reading,) = [e for e in page.all("section") if e.attributes.get("id") == "reading"]
    assert "cannot tell them from the first of that rank" in " ".join(reading.text.split())


@pytest.mark.thorough
def test_same_folder_same_bytes_wherever_it_lies(folder, text, tmp_path):
    assert HTML().render_run(folder) == text
    elsewhere = shutil.copytree(folder, tmp_path / "elsewhere")
    assert HTML().render_run(elsewhere) == text


@pytest.mark.thorough
def test_the_plugin_writes_the_page_of_its_records(folder, text, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (path,) = HTML()(Store(folder).read_records(), copy)
    assert path == copy / "report.html"
    assert path.read_text("utf-8") == text


@pytest.fixture(scope="module")
def harmless():
    """The tags of a page about two models with plain names, figures left out."""
    return without_figures(parse(HTML().render(named("a", "b"))))


def named(first, second):
    from tests.reports.board.test_leaderboard import B, R, record

    records = [record(first, "", "clean", [R] * 4, gradient=""),
            record(first, first, second, [B, R, R, R], findings=(second,)),
            record(second, "", "clean", [R] * 4, gradient=""),
            record(second, first, second, [B, R, R, R])]  # fmt: skip
    dataset, target = {"name": first, "classes": [second] * 3}, {"details": {second: first}}
    return [changed(one, dataset=dataset, target=target, key=f"k{at}") for at, one in enumerate(records)]


@pytest.mark.thorough
@pytest.mark.parametrize("name", [n for n in HOSTILE.values() if n], ids=[k for k in HOSTILE if k != "empty"])
def test_a_hostile_name_is_text_and_nothing_else(name, harmless):
    page = parse(HTML().render(named(name, name + "2")))
    assert [e.tag for e in page.all("script", "style")] == ["style", "script"]
    assert without_figures(page) == harmless
    names = {line[1] for line in rows(page, "board-0-table")[1:]}
    assert names == {" ".join(visible(n).split()) for n in (name, name + "2")}


def without_figures(page):
    """Return the tags outside of figures, which may draw a name's signs one by one."""
    inside = {id(e) for figure in page.all("svg") for e in figure.all()}
    return [e.tag for e in page.all() if id(e) not in inside]


@pytest.mark.thorough
def test_records_alone_give_a_page_without_what_only_a_folder_holds():
    page = parse(HTML().render(named("a", "b")))
    assert [e.text.strip() for e in page.all("h2")][-1] == "How to read this"
    assert not list(page.all("img"))
