"""What the receiver for browsers lets in: only from allowed origins, in limits, and under its own name."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from browser._received import Received
from browser._site import Site
from browser.conftest import Collect
from harness import wait_until

pytestmark = [pytest.mark.collector, pytest.mark.xdist_group("browser")]
POST = """async address => {
  const request = {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"};
  try { return (await fetch(address, request)).status }
  catch (error) { return error.name }
}"""


def _send(address: str, content: Any, origin: str) -> tuple[int, dict[str, str]]:
    """Return status and headers of the answer to a request, as a browser sends it."""
    headers = {"Content-Type": "application/json", "Origin": origin}
    request = urllib.request.Request(address, json.dumps(content).encode(), headers)  # noqa: S310 - the Collector's
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def _attribute(name: str, value: str) -> dict[str, Any]:
    return {"key": name, "value": {"stringValue": value}}


def _counter(name: str, runtime: str = "browser") -> dict[str, Any]:
    attributes = [_attribute("sandbox.runtime", runtime)]
    point = {"asInt": "1", "timeUnixNano": "1790000000000000000", "attributes": attributes}
    return {"name": name, "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]}}


def test_only_pages_of_the_allowed_origins_can_send(
    chromium: Browser, site: Site, foreign: Site, collect: Collect, tmp_path: Path
) -> None:
    port = collect(tmp_path).ports.browser
    answers = {}
    for each in (site, foreign):
        each.add(
            "/", f'data-endpoint="http://127.0.0.1:{port}" data-page="{"own" if each is site else "foreign"}"'
        )
        page = chromium.new_page()
        page.goto(each.origin)
        answers[each.origin] = page.evaluate(POST, f"http://127.0.0.1:{port}/v1/traces")
        page.wait_for_timeout(1500)
        page.close()
    assert answers == {site.origin: 200, foreign.origin: "TypeError"}
    received = Received(tmp_path)
    assert wait_until(lambda: received.spans("page load") != [])
    assert {span["attributes"]["browser.page"] for span in received.spans("page load")} == {"own"}


def test_no_cookies_are_sent(chromium: Browser, site: Site, collect: Collect, tmp_path: Path) -> None:
    port = collect(tmp_path).ports.browser
    site.add("/", f'data-endpoint="http://127.0.0.1:{port}"', Set_Cookie="session=secret")
    page = chromium.new_page()
    sent: list[dict[str, str]] = []
    page.on(
        "response", lambda answer: sent.append(answer.request.all_headers()) if "/v1/" in answer.url else None
    )
    page.goto(site.origin)
    page.wait_for_timeout(2000)
    page.close()
    assert sent
    assert all("cookie" not in headers and "authorization" not in headers for headers in sent)


def test_a_request_that_is_too_large_is_refused(site: Site, collect: Collect, tmp_path: Path) -> None:
    port = collect(tmp_path).ports.browser
    status, _ = _send(
        f"http://127.0.0.1:{port}/v1/traces", {"resourceSpans": [], "x": "x" * 300_000}, site.origin
    )
    assert 400 <= status < 500


def test_what_a_browser_claims_is_limited(site: Site, collect: Collect, tmp_path: Path) -> None:
    port = collect(tmp_path).ports.browser
    claims = [
        _attribute("service.name", "payments"),
        _attribute("host.name", "victim"),
        _attribute("service.version", "9" * 500),
    ]
    metrics = [_counter("sandbox.executions"), _counter("http.server.requests")]
    content = {
        "resourceMetrics": [{"resource": {"attributes": claims}, "scopeMetrics": [{"metrics": metrics}]}]
    }
    assert _send(f"http://127.0.0.1:{port}/v1/metrics", content, site.origin)[0] == 200
    received = Received(tmp_path)
    assert wait_until(lambda: received.metrics() != {})
    assert received.resources() == [{"service.name": "shop-pages", "service.version": "9" * 128}]
    assert set(received.metrics()) == {"sandbox.executions"}


def test_no_page_speaks_for_a_program(site: Site, collect: Collect, tmp_path: Path) -> None:
    """Its own runtime, and of security events only what its engine has trapped."""
    port = collect(tmp_path, "security").ports.browser
    identity = {"traceId": "1" * 32, "spanId": "2" * 16}
    spans, records = [], []
    for runtime in ("browser", "torch"):
        attributes = [_attribute("sandbox.runtime", runtime)]
        spans.append({**identity, "name": runtime, "attributes": attributes})
        violation = _attribute("security.event.type", "sandbox_violation")
        records.append({"body": {"stringValue": runtime}, "attributes": [*attributes, violation]})
    records.append(
        {"body": {"stringValue": "x"}, "attributes": [_attribute("security.event.type", "auth_failure")]}
    )
    metrics = [_counter("sandbox.executions"), _counter("sandbox.security.violations", "torch")]
    for path, content in (
        ("traces", {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}),
        ("metrics", {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}),
        ("logs", {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}),
    ):
        assert _send(f"http://127.0.0.1:{port}/v1/{path}", content, site.origin)[0] == 200
    received = Received(tmp_path)
    assert wait_until(lambda: received.metrics() != {} and received.spans() != [] and received.logs() != [])
    assert [span["name"] for span in received.spans()] == ["browser"]
    assert set(received.metrics()) == {"sandbox.executions"}
    assert [record["body"]["stringValue"] for record in received.logs()] == ["browser"]
    security = (tmp_path / "security.jsonl").read_text()
    assert ("sandbox_violation" in security, "auth_failure" in security) == (True, False)
