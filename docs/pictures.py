"""Take the pictures of the README: ``make pictures``. It needs Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
SANDSCOPE = str(Path(sys.executable).with_name("sandscope"))
PROGRAM = ROOT / "tests" / "view" / "programs" / "three_runtimes.py"
ARGUMENTS = ["--no-sandbox", "--disable-lcd-text"]  # grey letters make small files
SIZE = {"width": 1200, "height": 590}
SCALE = 0.7


def take(page: Page, address: str) -> None:
    """Take them."""
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    page.goto(address)
    page.wait_for_selector(".tiles")
    page.screenshot(path=folder / "overview.png")
    page.goto(f"{address.split('/?', maxsplit=1)[0]}/executions?verdict=SV")
    page.locator("a.row-link").first.click()
    page.wait_for_selector(".waterfall")
    page.screenshot(path=folder / "trace.png")


def main() -> None:
    """Record a program, and take pictures of the page."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        data = str(Path(folder) / "sandscope-data")
        run = [SANDSCOPE, "run", "--data", data, "--", sys.executable, str(PROGRAM)]
        subprocess.run(run, check=True, env={**os.environ, "SUBMISSIONS": "60"})
        subprocess.run(
            [SANDSCOPE, "query", "SELECT 1", "--data", data], check=True, stdout=subprocess.DEVNULL
        )
        view = [SANDSCOPE, "view", "--no-open", "--data", data]
        with subprocess.Popen(view, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None  # noqa: S101 -- for mypy
            address = process.stdout.readline().split()[-1]
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            take(browser.new_page(viewport=SIZE, device_scale_factor=SCALE), address)  # type: ignore[arg-type] # a dictionary of its own type
            browser.close()
            process.terminate()


if __name__ == "__main__":
    main()
