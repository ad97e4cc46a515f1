"""A real Chromium, for the tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from harness._requires import lacking


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Return a Chromium; while it runs, other tests cannot use `asyncio.run`."""
    path = shutil.which("chromium")
    if path is None:
        lacking("Chromium is not installed: `apt install chromium`.")
    with sync_playwright() as playwright:
        # CI runs as root in a container, where Chromium's own sandbox does not work.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
