"""The two pictures of a report's page in the README: python -m tests.reports.html.screenshots RUN FOLDER."""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, TOP, PHONE = 1280, 1180, (390, 844)


def take(run, folder):
    """Write report.png, the first board, and report-phone.png, one image under every attack."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        raise SystemExit("expected a Chromium, got none: `make browser-test` installs one")
    address = (Path(run).resolve() / "report.html").as_uri()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": TOP}, color_scheme="light")
        page.set_default_timeout(0)
        page.goto(address)
        keep(page.screenshot(), Path(folder) / "report.png")
        width, height = PHONE
        phone = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="dark", device_scale_factor=2
        )
        phone.set_default_timeout(0)
        phone.goto(address)
        phone.evaluate("""() => {
            const of = document.querySelector('.beside').closest('section');
            const title = [...of.querySelectorAll('h4')].find(h => h.innerText.startsWith('One image'));
            title.scrollIntoView({behavior: 'instant'});
        }""")
        keep(phone.screenshot(), Path(folder) / "report-phone.png")
        browser.close()


def keep(picture, path):
    Image.open(io.BytesIO(picture)).convert("RGB").save(path, optimize=True)
    print(f"{path}: {path.stat().st_size} bytes")  # noqa: T201


if __name__ == "__main__":
    take(*sys.argv[1:])
