"""A page with a guest in a real Chromium, through the real Collector into its files."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from browser._received import Received
from browser._site import PACKAGE, SPAN, TRACE, Site
from browser.conftest import Collect
from harness import Contract, wait_until
from sandscope._collector import CollectorProcess

pytestmark = [pytest.mark.collector, pytest.mark.xdist_group("browser")]
CANARY = "canary-7f3a"
GUEST = """async () => {
  const {instance} = await WebAssembly.instantiateStreaming(fetch("/guest.wasm?CANARY"), imports);
  window.guest = instance.exports;
  return [guest.add(1, 2), failing(guest.memory_bounds), failing(() => guest.divide(1, 0)), failing(guest.recurse)];
}""".replace("CANARY", CANARY)
APPLICATION = """async () => {
  const load = sandscope.trackModelLoad("https://user:CANARY@models.example.com/CANARY/mnist?key=CANARY");
  load.end();
  sandscope.trackInference("mnist", 784).end();
  sandscope.trackInference("mnist", 784).fail(new RangeError("CANARY"));
  const thrower = {env: {callback: () => { throw new Error("CANARY") }}};
  const {instance} = await WebAssembly.instantiate(await (await fetch("/guest.wasm")).arrayBuffer(), thrower);
  failing(() => instance.exports.call_back(1));
  await WebAssembly.compile(new TextEncoder().encode("CANARY")).catch(() => 0);
  setTimeout(() => { throw new TypeError("CANARY") });
  Promise.reject(new Error("CANARY"));
  document.cookie = "session=CANARY";
}""".replace("CANARY", CANARY)
VERDICT = [f"sandbox.verdict.{part}" for part in ("status", "actor", "cause")]


def prometheus_page(collector: CollectorProcess) -> str:
    """Return the page that Prometheus scrapes."""
    address = f"http://127.0.0.1:{collector.ports.prometheus}/metrics"
    with urllib.request.urlopen(address, timeout=30) as answer:
        return str(answer.read().decode())


class Visit:
    """A visit to a page, and what the Collector has received of it."""

    def __init__(self, chromium: Browser, address: str) -> None:
        self.context = chromium.new_context()
        self.page: Page = self.context.new_page()
        self.page.goto(address)


@pytest.fixture(scope="module")
def received(
    chromium: Browser, site: Site, collect: Collect, tmp_path_factory: pytest.TempPathFactory
) -> Received:
    """Return what the Collector has of a visit that is over: of its last moments, too."""
    data = tmp_path_factory.mktemp("browser")
    collector = collect(data, "prometheus", "names-wasm-torch", "security")
    port = collector.ports.browser
    settings = f'data-endpoint="http://127.0.0.1:{port}" data-functions="all" data-page="checkout" data-service="root"'
    site.add("/", settings, head=f'<meta name="traceparent" content="00-{TRACE}-{SPAN}-01">')
    visit = Visit(chromium, f"{site.origin}/?token={CANARY}#{CANARY}")
    answers = visit.page.evaluate(GUEST)
    assert answers == [3, "RuntimeError", "RuntimeError", "RangeError"]
    visit.page.evaluate(APPLICATION)
    visit.page.click("#run")
    visit.page.wait_for_function("document.getElementById('said').textContent === '3'")
    visit.page.wait_for_timeout(1500)  # web-vitals looks at interactions when the page has nothing else to do
    everything = Received(data)
    # What the page sends by itself, while it stays.
    assert wait_until(lambda: everything.spans("model load") != [])
    visit.page.evaluate("() => { guest.spin(1000); guest.truncate(1.5) }")
    visit.page.goto("about:blank")
    assert wait_until(lambda: everything.spans("wasm truncate") != [])
    assert wait_until(lambda: "browser.web_vital.shift" in everything.metrics())
    assert wait_until(
        lambda: (
            "CLS"
            in {log["attributes"]["browser.web_vital.name"] for log in everything.logs("browser.web_vital")}
        )
    )
    assert wait_until(lambda: "browser_web_vital_shift" in prometheus_page(collector))
    visit.context.close()
    everything.page = prometheus_page(collector)
    return everything


def _verdicts(received: Received, name: str) -> list[list[Any]]:
    return [[span["attributes"].get(part) for part in VERDICT] for span in received.spans(name)]


def test_traces_continue_that_of_the_server(received: Received) -> None:
    [load] = received.spans("page load")
    assert (load["traceId"], load["parentSpanId"]) == (TRACE, SPAN)
    assert load["attributes"] == {"browser.page": "checkout"}
    assert {span["traceId"] for span in received.spans()} == {TRACE}
    assert {span["parentSpanId"] for span in received.spans() if span is not load} >= {load["spanId"]}
    assert {log["traceId"] for log in received.logs()} == {TRACE}


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("wasm memory_bounds", ["SV", "engine", "sv_memory_bounds"]),
        ("wasm divide", ["RE", "guest", "re_arithmetic"]),
        ("wasm recurse", ["MLE", "engine", "mle_stack"]),
        ("wasm call_back", ["IE", "host", "ie_host_error"]),
        ("wasm truncate", ["OK", "guest", "normal_exit"]),
        ("model load", ["OK", "guest", "normal_exit"]),
    ],
)
def test_verdicts_of_the_real_engine(received: Received, name: str, verdict: list[str]) -> None:
    assert _verdicts(received, name) == [verdict]


def test_a_streamed_module_is_divided_into_compilation_and_instantiation(received: Received) -> None:
    streamed = [
        span for span in received.spans() if span["attributes"].get("wasm.api") == "instantiateStreaming"
    ]
    assert [span["name"] for span in streamed] == ["wasm compile", "wasm instantiate"]
    assert {span["attributes"]["wasm.module"] for span in streamed} == {"guest.wasm"}
    failed = [verdict for verdict in _verdicts(received, "wasm compile") if verdict[0] != "OK"]
    assert failed == [["IE", "host", "ie_compile"]]


def test_what_the_page_did_last_has_arrived(received: Received) -> None:
    assert [span["attributes"]["wasm.function"] for span in received.spans("wasm spin")] == ["spin"]
    assert received.metrics()["sandbox.executions"]["points"]


def test_each_execution_has_a_log_record_and_is_counted(received: Received) -> None:
    executions = [span for span in received.spans() if "sandbox.operation" in span["attributes"]]
    logs = received.logs("sandbox.execution")
    assert sorted(log["spanId"] for log in logs) == sorted(span["spanId"] for span in executions)
    counted = sum(
        int(point["asInt"]) if "asInt" in point else point["asDouble"]
        for point in received.metrics()["sandbox.executions"]["points"]
    )
    assert counted == len(executions)
    assert [log["attributes"]["sandbox.violation.type"] for log in received.logs("sandbox.security")] == [
        "sv_memory_bounds"
    ]
    assert [log["attributes"]["sandbox.limit"] for log in received.logs("sandbox.resource")] == ["stack"]


def test_a_violation_is_in_the_security_log_as_those_of_programs_are(received: Received) -> None:
    (record,) = received.security()
    assert (record["eventName"], record["severityText"]) == ("sandbox.security", "WARN")
    assert record["body"]["stringValue"] == "wasm memory_bounds: sv_memory_bounds"
    assert record["traceId"] == TRACE
    assert record["attributes"] == {
        "security.event.type": "sandbox_violation",
        "sandbox.runtime": "browser",
        "sandbox.violation.type": "sv_memory_bounds",
        "sandbox.violation.action": "trapped",
        "wasm.module": "guest.wasm",
        "wasm.function": "memory_bounds",
    }


def test_models_that_the_page_tells_of(received: Received) -> None:
    assert [span["attributes"]["browser.model.input_size"] for span in received.spans("model inference")] == [
        784,
        784,
    ]
    assert {span["attributes"]["browser.model"] for span in received.spans("model inference")} == {"mnist"}
    assert sorted(verdict[2] for verdict in _verdicts(received, "model inference")) == [
        "normal_exit",
        "re_page_error",
    ]


def test_the_names_of_the_document_are_on_the_page_for_prometheus(received: Received) -> None:
    samples = {line.partition("{")[0] for line in received.page.splitlines()}
    assert {"wasm_memory_pages", "wasm_compilation_time_seconds_count"} <= samples
    assert {"wasm_compilation_duration_seconds_count", "inference_duration_seconds_count"} <= samples
    assert {
        "browser_web_vital_duration_seconds_count",
        "browser_web_vital_shift_count",
        "browser_errors_total",
        "browser_memory_usage_bytes",
    } <= samples
    inferences = [line for line in received.page.splitlines() if 'sandbox_operation="inference"' in line]
    assert any(line.startswith("sandbox_execution_duration_seconds_count{") for line in inferences)
    assert all('job="shop-pages"' in line for line in inferences)


def test_errors_that_nothing_handles(received: Received) -> None:
    errors = [log["attributes"] for log in received.logs("browser.exception")]
    assert sorted((error["browser.error.source"], error["exception.type"]) for error in errors) == [
        ("error", "TypeError"),
        ("unhandled_rejection", "Error"),
    ]


def test_web_vitals(received: Received) -> None:
    vitals = {
        log["attributes"]["browser.web_vital.name"]: log["attributes"]
        for log in received.logs("browser.web_vital")
    }
    assert set(vitals) == {"CLS", "FCP", "INP", "LCP", "TTFB"}
    assert {vital["browser.web_vital.rating"] for vital in vitals.values()} <= {
        "good",
        "needs-improvement",
        "poor",
    }
    assert 0 < vitals["LCP"]["browser.web_vital.value"] < 60  # seconds
    points = received.metrics()["browser.web_vital.duration"]["points"]
    assert {point["attributes"]["browser.web_vital.name"] for point in points} >= {"FCP", "LCP", "TTFB"}


def test_no_string_of_the_user_is_sent(received: Received) -> None:
    assert CANARY not in received.text
    assert "127.0.0.1" not in received.text


def test_a_browser_cannot_choose_its_service(received: Received) -> None:
    assert {resource["service.name"] for resource in received.resources()} == {"shop-pages"}
    allowed = {
        "service.name",
        "service.instance.id",
        "telemetry.sdk.language",
        "telemetry.sdk.name",
        "telemetry.sdk.version",
    }
    assert set().union(*received.resources()) <= allowed


def test_everything_is_declared(received: Received) -> None:
    contract = Contract.whole()
    for name, metric in received.metrics().items():
        declared = contract.metrics[name]
        assert (metric.get("unit", ""), metric["description"]) == (declared["unit"], declared["brief"]), name
        assert {key for point in metric["points"] for key in point["attributes"]} <= contract.allowed(
            "metric", name
        )
    for span in received.spans():
        assert set(span["attributes"]) <= contract.allowed("span"), span["name"]
        for event in span.get("events", []):
            assert {each["key"] for each in event["attributes"]} <= contract.allowed("event", event["name"])
    for log in received.logs():
        assert set(log["attributes"]) <= contract.allowed("event", log["eventName"]), log["eventName"]
        assert log["attributes"].get("sandbox.verdict.cause", "normal_exit") in contract.causes


def test_the_guests_are_made_of_their_sources() -> None:
    wasmtime = pytest.importorskip("wasmtime")
    for source in (PACKAGE / "tests").glob("*.wat"):
        assert bytes(wasmtime.wat2wasm(source.read_text())) == source.with_suffix(".wasm").read_bytes(), (
            source.name
        )


def test_server_timing_continues_the_trace(
    chromium: Browser, site: Site, collect: Collect, tmp_path: Path
) -> None:
    port = collect(tmp_path).ports.browser
    site.add(
        "/timed",
        f'data-endpoint="http://127.0.0.1:{port}"',
        Server_Timing=f'traceparent;desc="00-{TRACE}-{SPAN}-01"',
    )
    visit = Visit(chromium, f"{site.origin}/timed")
    received = Received(tmp_path)
    wait_until(lambda: received.spans("page load") != [])
    visit.context.close()
    assert received.spans("page load")[0]["traceId"] == TRACE


def test_a_policy_that_forbids_webassembly(
    chromium: Browser, site: Site, collect: Collect, tmp_path: Path
) -> None:
    port = collect(tmp_path).ports.browser
    policy = f"script-src 'self' 'unsafe-inline'; connect-src 'self' http://127.0.0.1:{port}"
    site.add("/strict", f'data-endpoint="http://127.0.0.1:{port}"', Content_Security_Policy=policy)
    visit = Visit(chromium, f"{site.origin}/strict")
    visit.page.add_script_tag(
        content="WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])).catch(e => said(e.name))"
    )
    visit.page.wait_for_function("document.getElementById('said').textContent === 'CompileError'")
    received = Received(tmp_path)
    wait_until(lambda: received.logs("sandbox.security") != [])
    visit.context.close()
    assert _verdicts(received, "wasm compile") == [["SV", "engine", "sv_content_security_policy"]]
