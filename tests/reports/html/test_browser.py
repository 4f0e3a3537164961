"""The page in a real browser: it sorts, filters, opens and asks nobody for anything."""

import os
import re
import shutil
from itertools import pairwise

import pytest
from PIL import Image

from reports.html.page import HTML
from tests.reports.html.synthetic import run_folder

pytestmark = pytest.mark.slow
ALARM = "<script>document.title = 'broken in'</script><img src=x onerror=\"document.title = 'broken in'\">"


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


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = run_folder(
        tmp_path_factory.mktemp("run"),
        names=["model-b", ALARM, "\u05d0\u05d1 long " + "x" * 500, "model-d", "model-e", "model-f"],
        spaces=True,
    )
    path = root / "report.html"
    path.write_text(HTML().render_run(root), "utf-8")
    return path.as_uri()


def opened(browser, address, width=1280, scheme="light"):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.seen = []
    page.on("console", lambda message: page.seen.append(message.text))
    page.on("pageerror", lambda error: page.seen.append(str(error)))
    page.on(
        "request",
        lambda request: page.seen.append(request.url) if not request.url.startswith("data:") else None,
    )
    page.goto(address)
    return page


def column(page, at):
    return page.eval_on_selector_all(
        "#board-0-table tbody tr", f"rows => rows.map(r => r.cells[{at}].innerText.trim())"
    )


def test_nothing_runs_from_a_name_and_nothing_is_fetched(browser, address):
    page = opened(browser, address)
    assert page.title() == "synthetic: robustness report"
    assert page.seen == [address]


def test_a_script_that_is_put_in_is_blocked(browser, address):
    page = opened(browser, address)
    page.evaluate("""() => { const s = document.createElement('script');
                             s.textContent = "document.title = 'broken in'"; document.body.append(s); }""")
    assert page.title() == "synthetic: robustness report"
    assert any("Content Security Policy" in text for text in page.seen)


def test_sorting_by_click_and_by_keyboard(browser, address):
    page = opened(browser, address)
    header = page.locator("#board-0-table thead th").nth(3)
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    values = [float(text.split()[0]) for text in column(page, 3)]
    assert values == sorted(values, reverse=True)
    header.locator("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert [float(text.split()[0]) for text in column(page, 3)] == sorted(values)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")  # the column of names
    assert page.locator("#board-0-table thead th").nth(1).get_attribute("aria-sort") == "ascending"
    assert header.get_attribute("aria-sort") == "none"
    assert page.locator("#status").inner_text() == "Sorted by Model, ascending."
    assert page.seen == [address]


def test_rows_without_a_value_stay_last(browser, address):
    page = opened(browser, address)
    for _ in range(2):
        page.locator("#board-0-table thead button").nth(0).click()
        assert column(page, 0)[-1] == "-"  # the row with a finding has no rank


def test_filtering(browser, address):
    page = opened(browser, address)
    page.get_by_label("Show only rows with").fill("MODEL-B")
    assert page.locator("#board-0-table tbody tr:visible").count() == 1
    assert page.locator("output").first.inner_text() == "1 of 6 rows"
    page.get_by_label("Show only rows with").fill("")
    assert page.locator("#board-0-table tbody tr:visible").count() == 6


def test_a_link_opens_the_closed_part_it_leads_to(browser, address):
    page = opened(browser, address)
    assert not page.locator("#model-1").evaluate("e => e.open")
    page.locator("#board-0-table a[href='#model-1']").click()
    page.wait_for_function("document.getElementById('model-1').open")


def test_paper_shows_what_is_closed(browser, address):
    page = opened(browser, address)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_no_width_makes_the_page_scroll_sideways(browser, address, width, scheme):
    page = opened(browser, address, width, scheme)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    light = page.evaluate("getComputedStyle(document.body).backgroundColor").split("(")[1].split(",")[0]
    assert (int(light) > 128) == (scheme == "light")


def test_what_is_cut_off_says_what_there_is_more(browser, address):
    page = opened(browser, address, 390)
    hint = page.locator("#board-0 .scroll + .hint").first
    assert re.fullmatch(r"\d+ more columns: .+ \u2192", hint.inner_text())
    page.locator("#board-0 .scroll").first.evaluate(
        "e => e.scrollTo({left: e.scrollWidth, behavior: 'instant'})"
    )
    page.wait_for_function("document.querySelector('#board-0 .scroll + .hint').hidden")


def test_a_phone_shows_figures_and_pictures_whole(browser, address):
    page = opened(browser, address, 390)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    beyond = """all => all.map(e => [e.getBoundingClientRect(), e.outerHTML.slice(0, 80)])
                        .filter(([box]) => box.width && box.right > 390).map(([, text]) => text)"""
    assert page.eval_on_selector_all(".picture svg, .picture svg text, .beside img, .strip img", beyond) == []


def test_fifty_models_ten_attacks_a_thousand_images(browser, tmp_path):
    root = run_folder(tmp_path, models=50, attacks=10, images=1000, size=28, spaces=True)
    text = HTML().render_run(root)
    assert len(text.encode()) < 5_000_000
    path = root / "report.html"
    path.write_text(text, "utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(0)
    page.goto(path.as_uri())
    # What loading costs is counted, not timed: parts of the page, and those that its script touched.
    assert page.evaluate("document.querySelectorAll('*').length") < 60_000
    assert page.locator("#board-0-table tbody tr").count() == 50


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_a_screenshot_at_phone_and_desktop_width_shows_something(browser, address, tmp_path, width, scheme):
    page = opened(browser, address, width, scheme)
    path = tmp_path / f"{width}.png"
    page.screenshot(path=path, timeout=0)
    with Image.open(path) as picture:
        assert picture.size == (width, 800)
        assert len(picture.convert("RGB").getcolors(2**24)) > 50  # text, bars and a figure, not a blank page


def test_what_cannot_be_seen_can_be_read(browser, address):
    page = opened(browser, address)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    selector = "svg.plot:not([aria-labelledby]):not([aria-label])"
    assert page.locator(selector).count() == 0
    levels = page.eval_on_selector_all("h1,h2,h3,h4,h5,h6", "all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.locator("th:not([scope])").count() == 0
    script = "e => { e.focus(); return getComputedStyle(e).outlineStyle }"
    page.keyboard.press("Tab")  # from now on focus is shown
    assert page.locator("thead button").first.evaluate(script) != "none"
