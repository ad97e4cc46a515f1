"""The overlay `sampling`: what is kept for its own sake, what with its trace, and what a killed Collector still has."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector._log_records import attributes_of, body_of, records_in, send
from collector._spans import event, execution, names_in, send_spans, span, spans_in
from harness import wait_until
from sandscope import SandscopeError
from sandscope._collector import CollectorProcess, Composition, validate
from sandscope._verdict import Status

Start = Callable[..., CollectorProcess]
pytestmark = pytest.mark.collector
NOT_IN_SHARE = "ffffff"
"""The end of a trace id that is in no share below 100 %."""
WAIT = "2s"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_SAMPLING_WAIT", WAIT)


def trace(number: int, end: str = NOT_IN_SHARE) -> str:
    return f"{number:026x}{end}"


def kept_for(collector: CollectorProcess) -> dict[str, str | None]:
    """Return why each span in the file is there."""
    found = spans_in(collector.data / "traces.jsonl")
    return {each["name"]: attributes_of(each).get("sandscope.kept") for each in found}


KEPT: dict[str, tuple[dict[str, Any], str]] = {
    **{
        status: (execution(status, trace(1), status), "verdict")
        for status in ("RE", "TLE", "MLE", "PLE", "FSE", "SIG", "SV", "ABUSE", "IE")
    },
    "slow": (execution("slow", trace(1), seconds=1.5), "slow"),
    "error of the program": (span("error of the program", trace(1), error=True), "error"),
    "denied": (
        execution("denied", trace(1), events=(event("other"), event("sandbox.security"))),
        "security",
    ),
    "control": (
        execution(
            "control",
            trace(1),
            events=(event("sandbox.control", security__event__type="sandbox_control_missing"),),
        ),
        "security",
    ),
    "share": (execution("share", trace(1, "000001")), "share"),
    "share of errors": (execution("share of errors", trace(1, "000002"), "RE"), "share"),
}


def test_every_status_is_decided() -> None:
    assert set(Status.__args__) == {"OK", *KEPT} & set(Status.__args__)


def test_what_is_kept_for_its_own_sake_is_in_the_file_before_it_is_acknowledged(start: Start) -> None:
    collector = start("sampling", "local")
    for given, reason in KEPT.values():
        assert send_spans(collector.ports.otlp_http, given) == 200
        assert kept_for(collector)[given["name"]] == reason
    assert names_in(collector.data / "traces.jsonl") == sorted(KEPT)


def test_the_rest_is_kept_with_its_trace_only_and_everything_arrives_once(start: Start) -> None:
    collector = start("sampling", "local")
    http = collector.ports.otlp_http
    send_spans(http, execution("before", trace(1)), execution("dull", trace(2)), span("page", trace(3)))
    send_spans(http, execution("failed", trace(1), "TLE"), execution("also failed", trace(1), "RE"))
    send_spans(http, execution("after", trace(1)), span("parent", trace(1), seconds=60))
    file = collector.data / "traces.jsonl"
    expected = ["after", "also failed", "before", "failed", "parent"]
    assert wait_until(lambda: names_in(file) == expected)
    send_spans(http, execution("much later", trace(1)))
    assert wait_until(lambda: names_in(file) == sorted([*expected, "much later"]))
    collector.stop()
    assert names_in(file) == sorted([*expected, "much later"])
    assert kept_for(collector)["before"] is None


def test_a_trace_that_has_been_dropped_is_kept_from_its_first_failure_on(start: Start) -> None:
    collector = start("sampling", "local", "own-metrics")
    http = collector.ports.otlp_http
    send_spans(http, execution("forgotten", trace(1)))
    send_spans(http, execution("failed at once", trace(2), "RE"))
    file = collector.data / "traces.jsonl"
    metrics = collector.data / "metrics.jsonl"
    dropped = "otelcol_processor_tail_sampling_global_count_traces_sampled"
    assert wait_until(lambda: metrics.exists() and '"not_sampled"' in metrics.read_text())
    assert dropped in metrics.read_text()
    send_spans(http, execution("failed", trace(1), "RE"))
    send_spans(http, execution("next", trace(1)))
    assert wait_until(lambda: names_in(file) == ["failed", "failed at once", "next"])


def test_a_killed_collector_has_what_is_kept_for_its_own_sake(start: Start) -> None:
    collector = start("sampling", "local")
    http = collector.ports.otlp_http
    for number in range(50):
        send_spans(http, execution("sibling", trace(number)))
        assert send_spans(http, execution("failed", trace(number), "RE")) == 200
    assert collector.pid is not None
    os.kill(collector.pid, signal.SIGKILL)
    assert wait_until(lambda: collector.pid is None)
    collector.stop()
    names = names_in(collector.data / "traces.jsonl")
    assert names.count("failed") == 50
    assert names.count("sibling") <= 50  # of these, the last ones may be lost


def test_a_collector_that_is_stopped_decides_before(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_SAMPLING_WAIT", "600s")
    collector = start("sampling", "local")
    http = collector.ports.otlp_http
    send_spans(http, *(execution(f"sibling {number}", trace(number)) for number in range(20)))
    send_spans(http, *(execution(f"failed {number}", trace(number), "RE") for number in range(20)))
    collector.stop()
    assert len(names_in(collector.data / "traces.jsonl")) == 40


@pytest.mark.parametrize(("share", "expected"), [("0", 0), ("0.5", 10), ("10", 200), ("100", 2000)])
def test_the_share_is_of_traces(
    share: str, expected: int, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDSCOPE_SHARE", share)
    collector = start("sampling", "local")
    ends = [f"{(2 * number + 1) * 0x1000000 // 4000:06x}" for number in range(2000)]
    send_spans(
        collector.ports.otlp_http,
        *(execution(f"{end} {part}", trace(1, end)) for end in ends for part in "ab"),
    )
    found = names_in(collector.data / "traces.jsonl")
    assert len(found) == 2 * expected
    assert found == sorted(f"{end} {part}" for end in ends[:expected] for part in "ab")


@pytest.mark.parametrize("variable", ["SANDSCOPE_SHARE", "SANDSCOPE_SLOW", "SANDSCOPE_SAMPLING_WAIT"])
def test_a_value_that_is_no_number_is_an_error_at_start(
    variable: str, otelcol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "much")
    with pytest.raises(SandscopeError, match=r"much|'decision_wait' time: invalid duration"):
        validate(otelcol, Composition.of("sampling"))


def test_a_program_cannot_decide_and_slow_is_what_the_operator_says(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDSCOPE_SLOW", "0.05")
    collector = start("sampling", "local")
    given = [
        execution("forged", trace(1), sandscope__kept="verdict"),
        execution("slow", trace(2), seconds=0.06),
        span("the program itself", trace(3), seconds=3600),
    ]
    assert send_spans(collector.ports.otlp_http, *given) == 200
    assert names_in(collector.data / "traces.jsonl") == ["slow"]
    collector.stop()
    assert names_in(collector.data / "traces.jsonl") == ["slow"]


def test_log_records_and_what_goes_to_kafka_are_not_sampled(start: Start) -> None:
    collector = start("sampling", "local")
    for number in range(20):
        assert send(collector.ports.otlp_http, body_of(f"record {number}", event="sandbox.execution")) == 200
    assert len(records_in(collector.data / "logs.jsonl")) == 20
    (kafka,) = (file for file in Composition.of("kafka").files if file.stem == "kafka")
    assert kafka.read_text().count("receivers: [forward/received]") == 3
