"""The page in Chromium, on what a program recorded: its pictures are kept in `SANDSCOPE_PICTURES`, if that is set."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from harness import (
    ROOT,
    SANDSCOPE_RUN,
    clean_environment,
    collector_ports,
    requires_otelcol,
    run_program,
)
from harness._local_store import Store, request, span
from view.test_command import running

PROGRAM = (ROOT / "tests" / "view" / "programs" / "three_runtimes.py").read_text()
REQUESTS = 12
expect.set_options(timeout=30_000)
SIZES = {"wide": 1280, "narrow": 420}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the data folder of a run."""
    requires_otelcol()
    data = tmp_path_factory.mktemp("recorded") / "sandscope-data"
    environment = clean_environment(
        SANDSCOPE_DATA=str(data), SUBMISSIONS=str(REQUESTS), **collector_ports().environment
    )
    run = run_program(PROGRAM, way=SANDSCOPE_RUN, environment=environment)
    assert run.returncode == 0, run.stderr
    return data


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """Return a window in which nothing may go wrong and nothing may be asked of another machine."""
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(30_000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if _is_wrong(message) else None)
    page.on("request", lambda sent: None if "//127.0.0.1:" in sent.url else wrong.append(sent.url))
    yield page
    context.close()
    assert wrong == []


def _is_wrong(message: ConsoleMessage) -> bool:
    """Return whether it is an error, other than that the page asks once more after the test has ended its server."""
    return message.type == "error" and "ERR_CONNECTION_REFUSED" not in message.text


def _main(page: Page) -> str:
    return page.locator("main").inner_text()


def test_from_the_overview_to_the_waterfall(recorded: Path, page: Page) -> None:
    with running(recorded) as (_, address):
        page.goto(address)
        assert "token" not in page.url
        expect(page.get_by_text("how they ended")).to_be_visible()
        page.get_by_role("link", name="Executions", exact=True).click()
        page.get_by_label("Verdict").select_option("SV")
        expect(page).to_have_url(re.compile(r"/executions\?verdict=SV$"))
        expect(page.locator("tr.row")).to_have_count(1)
        page.get_by_label("Name").fill("peek")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("name=peek"))
        page.locator("tr.row").first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("wasm peek")
        expect(page.locator(".verdict")).to_contain_text("Memory access out of bounds.")
        waterfall = page.locator(".waterfall")
        for name in ("POST /submissions", "judge a submission judge", "wasm score wasmtime", "sh subprocess"):
            expect(waterfall.get_by_text(name)).to_be_visible()
        waterfall.get_by_text("judge a submission").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("judge a submission")
        page.go_back()
        page.go_back()
        expect(page.get_by_label("Verdict")).to_have_value("SV")


def test_from_a_metric_through_an_exemplar_to_its_trace(recorded: Path, page: Page) -> None:
    with running(recorded) as (_, address):
        page.goto(address)
        page.get_by_role("link", name="Metrics", exact=True).click()
        page.get_by_role("link", name="sandbox.execution.duration", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("sandbox.execution.duration")
        page.locator(".exemplar").first.dispatch_event("click")  # others may lie above it
        expect(page).to_have_url(re.compile("/traces/[0-9a-f]{32}/[0-9a-f]{16}$"))
        expect(page.locator(".waterfall .chosen")).to_be_visible()


def test_a_time_is_chosen_in_a_picture(recorded: Path, page: Page) -> None:
    with running(recorded) as (_, address):
        page.goto(f"{address}&runtime=wasmtime")
        area = page.locator(".chart .area").first
        box = area.bounding_box()
        assert box is not None
        all_of_them = page.locator(".tiles b").first.inner_text()
        page.mouse.move(box["x"] + 5, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60, steps=5)
        expect(page.locator(".selecting")).to_have_count(1)
        page.mouse.up()
        expect(page).to_have_url(re.compile(r"/\?runtime=wasmtime&since=[^&]+&until=[^&]+$"))
        expect(page.locator(".chip")).to_have_count(3)
        assert int(page.locator(".tiles b").first.inner_text()) < int(all_of_them)
        page.wait_for_load_state()
        chosen = page.url
        page.keyboard.press("-")
        expect(page).not_to_have_url(chosen)
        page.wait_for_load_state()
        page.keyboard.press("0")
        expect(page).to_have_url(re.compile(r"/\?runtime=wasmtime$"))
        page.go_back()
        page.go_back()
        expect(page).to_have_url(chosen)
        page.locator(".chart .plot a").first.click(position=None, force=True)
        expect(page).to_have_url(re.compile("/executions"))  # a click still leads to what it shows


def test_an_agents_tool_call(recorded: Path, page: Page) -> None:
    with running(recorded) as (_, address):
        page.goto(address)
        page.get_by_role("link", name="Agents", exact=True).click()
        expect(page.locator("tr.row")).to_have_count(2)
        expect(page.locator("tr.row").first).to_contain_text("re_nonzero_exit")


def test_the_keyboard(recorded: Path, page: Page) -> None:
    with running(recorded) as (_, address):
        page.goto(address)
        page.keyboard.press("g")
        page.keyboard.press("e")
        expect(page).to_have_url(re.compile("/executions$"))
        page.wait_for_load_state()  # its scripts handle the keys
        page.keyboard.press("/")
        page.keyboard.type("judge")
        page.keyboard.press("Enter")
        expect(page.locator("tr.row")).to_have_count(REQUESTS)
        page.wait_for_load_state()
        for key in "jjk":
            page.keyboard.press(key)
        expect(page.locator("tr.row").first).to_have_class(re.compile("marked"))
        page.keyboard.press("Enter")
        expect(page.locator(".waterfall .chosen")).to_contain_text("judge a submission")
        page.wait_for_load_state()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.keyboard.press("t")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
        page.reload()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_what_is_added_is_shown(tmp_path: Path, page: Page) -> None:
    store = Store(tmp_path)
    with running(tmp_path) as (_, address):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_have_text("Nothing has been recorded here yet")
        store.add(request(span(1, name="<b>the first</b>")))
        expect(page.get_by_role("link", name="<b>the first</b>")).to_be_visible()
        page.keyboard.press("p")
        expect(page.locator("#live")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_pictures(recorded: Path, chromium: Browser, tmp_path: Path, size: str, scheme: str) -> None:
    folder = Path(os.environ.get("SANDSCOPE_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    context = chromium.new_context(
        viewport={"width": SIZES[size], "height": 860}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    with running(recorded) as (_, address):
        page.goto(address)
        links = [link.get_attribute("href") for link in page.locator("header nav a").all()]
        page.goto(f"{address.split('/?')[0]}/executions?verdict=SV")
        links.append(page.locator("a.row-link").first.get_attribute("href"))
        links.append("/metrics/sandbox.execution.duration")
        for link in links:
            page.goto(f"{address.split('/?')[0]}{link}")
            name = str(link).strip("/").replace("metrics/", "metric/").split("/", maxsplit=1)[0] or "overview"
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), link
            page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)
            assert (folder / f"{name}-{size}-{scheme}.png").stat().st_size > 10_000
    context.close()
