"""Takes the picture of a web page that stands in `web_page.md`.

    .venv/bin/python docs/web_page.py dist/beam "a man in a red shirt rides a bike through the park ." docs/web_page.png

Needs Chromium. Asks for the best answers and draws the attention where the files have them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from keras_transformer.export.serving import make_server

SIZE = {"width": 760, "height": 600}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="artifact folder")
    parser.add_argument("text", help="what is typed")
    parser.add_argument("output", type=Path, help="PNG file to write")
    parser.add_argument("--dark", action="store_true", help="in dark colours")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or sys.exit("Chromium is not installed: apt-get install chromium")
    with make_server(arguments.folder, port=0) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport=SIZE, color_scheme="dark" if arguments.dark else "light")
        page.goto(server.address)
        take(page, arguments.text, arguments.output)
        browser.close()
        server.shutdown()


def take(page: Any, text: str, output: Path) -> None:
    """Types a text and takes the picture of what the page then shows, without the examples."""
    page.wait_for_selector("body[data-state=ready]")
    page.fill("#text", text)
    best = page.locator("#mode option").filter(has_text="best")
    page.select_option("#mode", best.last.get_attribute("value"))
    page.click("#run")
    page.wait_for_selector("#answer > *")
    if page.is_visible("#attention"):
        page.click("#attention summary")
        page.wait_for_selector("#picture table")
    page.evaluate("examples.hidden = true; document.activeElement.blur()")
    page.screenshot(path=output, full_page=True)


if __name__ == "__main__":
    main()
