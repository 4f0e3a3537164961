"""The repository's own site of boards in a real browser: on a desk and on a phone, and nothing is fetched."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow
SITE = Path(__file__).parents[4] / "docs" / "board"
WIDTHS = [390, 1280]


@pytest.fixture(scope="module")
def browser():
    is_required = os.environ.get("ROBENCH_BROWSER") == "required"  # .ci/browser: nothing may be skipped
    if not is_required:
        pytest.importorskip("playwright.sync_api")
    from playwright import sync_api as api

    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        assert not is_required, "no Chromium on this machine"
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield running
        running.close()


def opened(browser, path, width=1280):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_default_timeout(0)
    page.seen = []
    page.on("console", lambda message: page.seen.append(message.text))
    page.on("pageerror", lambda error: page.seen.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith(("data:", "file:")) else page.seen.append(request.url),
    )
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_and_asks_nobody_for_anything(browser, width, tmp_path):
    paths = [SITE / "index.html", *sorted((SITE / "models").glob("*.html"))]
    assert len(paths) > 5
    for path in paths:
        page = opened(browser, path, width)
        page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.seen == []
        page.screenshot(path=tmp_path / "one.png", timeout=0)
        with Image.open(tmp_path / "one.png") as picture:
            assert len(picture.convert("RGB").getcolors(2**24)) > 50
        page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_filters(browser, width):
    page = opened(browser, SITE / "index.html", width)
    boards = page.locator("section.board")
    assert boards.count() == 2
    page.locator("select[data-kind=norm]").select_option("L2")
    assert boards.locator("visible=true").count() > 0
    assert [board.is_visible() for board in boards.all()].count(True) == 1
    page.locator("select[data-kind=norm]").select_option("")
    page.locator("select[data-kind=Defense]").select_option("TRADES")
    rows = page.locator("section.board:first-of-type table").first.locator("tbody tr")
    assert [row.is_visible() for row in rows.all()].count(True) == 1
    assert page.locator("form.choices output").inner_text() == "2 of 2 boards, 2 rows"


def test_from_a_board_to_a_model_and_back(browser):
    page = opened(browser, SITE / "index.html")
    name = page.locator("section.board tbody th a").first.inner_text()
    page.locator("section.board tbody th a").first.click()
    page.wait_for_function("document.querySelector('#history-title') !== null")
    assert page.locator("h1").inner_text() == name
    page.locator("header a[href='../index.html']").click()
    page.wait_for_function("document.querySelector('form.choices') !== null")


def test_a_finding_opens_where_its_badge_leads(browser):
    page = opened(browser, SITE / "index.html")
    badge = page.locator("section.board a.badge").first
    place = badge.get_attribute("href").removeprefix("#")
    badge.click()
    page.wait_for_function(f"document.getElementById('{place}').closest('details').open")
