"""A page in a real Chromium, found again in the real Prometheus, Jaeger and Loki."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples.read_back import jaeger_trace, loki_records, prometheus_query
from playwright.sync_api import Browser

from browser._site import SPAN, TRACE, Site
from browser.conftest import Collect
from harness import wait_until
from harness._dashboards import QUERIES
from harness._stores import Stores

pytestmark = [pytest.mark.stores, pytest.mark.collector, pytest.mark.xdist_group("browser")]


@pytest.fixture
def reached(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """Return the stores, whose addresses Collectors know."""
    for name, value in stores.collector.items():
        monkeypatch.setenv(name, value)
    return stores


def test_a_page_is_in_the_stores(
    chromium: Browser, site: Site, collect: Collect, reached: Stores, tmp_path: Path
) -> None:
    port = collect(tmp_path, "jaeger", "loki", "prometheus-otlp").ports.browser
    settings = f'data-endpoint="http://127.0.0.1:{port}" data-functions="all"'
    site.add("/stored", settings, head=f'<meta name="traceparent" content="00-{TRACE}-{SPAN}-01">')
    page = chromium.new_page()
    page.goto(f"{site.origin}/stored")
    page.evaluate("""async () => {
      const {instance} = await WebAssembly.instantiateStreaming(fetch("/guest.wasm"), imports);
      failing(instance.exports.memory_bounds);
      Promise.reject(new Error("nothing handles it"));
    }""")
    page.goto("about:blank")
    page.close()
    refused = 'sandbox_security_violations_total{sandbox_runtime="browser", job="shop-pages"}'
    assert wait_until(lambda: prometheus_query(reached.prometheus, refused) != [])
    assert wait_until(lambda: "wasm memory_bounds" in {s.name for s in jaeger_trace(reached.jaeger, TRACE)})
    empty = [
        (panel, legend)
        for (board, panel, legend), expression in QUERIES.items()
        if board == "browser"
        and not wait_until(
            lambda expression=expression: prometheus_query(
                reached.prometheus, expression.replace("$job", "shop-pages")
            )
        )
    ]
    assert empty == []
    query = f'{{service_name="shop-pages"}} | trace_id="{TRACE}" |= "sv_memory_bounds"'
    assert wait_until(lambda: loki_records(reached.loki, query) != [])
