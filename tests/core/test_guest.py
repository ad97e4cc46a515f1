"""Guests' telemetry is limited, in the trace of their execution, and distinguishable from the host's telemetry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import StatusCode

from harness import Contract, Telemetry
from sandscope import OK, Execution, Verdict, _guard
from sandscope._deferred._deferred_recorder import DeferredRecorder
from sandscope._guests import _guest_telemetry
from sandscope._recording._direct_recorder import DirectRecorder
from sandscope.instrumentation import GuestLimits, GuestTelemetry, Recorder, Refusal, Scope, Site

SITE = Site("wasmtime", "call", "wasm run")
COUNTED = Site("wasmtime", "call", "wasm run", traced=False)
TRAP = Verdict("RE", "guest", "re_unreachable")


@pytest.fixture
def recorder(telemetry: Telemetry) -> Recorder:
    """Return a recorder of an SDK that keeps telemetry in memory."""
    return telemetry.recorder(Scope("scope", "1"))


@pytest.fixture
def guest(
    recorder: Recorder, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GuestTelemetry]:
    """Return small limits; afterwards, check that all telemetry is declared and that there were no errors."""
    monkeypatch.setattr(_guest_telemetry, "_counters", set())
    limits = GuestLimits(spans=5, open_spans=3, attributes=2, logs=2, name=8, value=4, body=6)
    yield GuestTelemetry(recorder, "wasmtime", limits)
    assert Contract.whole().violations(telemetry) == []
    assert _guard.counts() == {}


def begin(recorder: Recorder, site: Site = SITE) -> Execution:
    """Begin an execution."""
    execution = recorder.begin(site)
    assert execution is not None
    return execution


def refused(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """Return the number of rejected calls, by signal and reason."""
    points = telemetry.points("sandbox.guest.refused")
    return {(a["sandbox.guest.signal"], a["sandbox.guest.reason"]): value for a, value in points}


def span_ids(telemetry: Telemetry) -> dict[str, tuple[int, int | None]]:
    """Return the span id and the parent's span id of each span, by name."""
    return {
        span.name: (span.context.span_id, span.parent and span.parent.span_id) for span in telemetry.spans()
    }


def test_spans_are_children_of_the_execution_and_of_each_other(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry
) -> None:
    execution = begin(recorder)
    outer = guest.start_span(b"outer")
    inner = guest.start_span(b"inner")
    assert (outer, inner) == (1, 2)
    assert guest.end_span(inner) == 0
    sibling = guest.start_span("sibling")
    assert [guest.end_span(sibling), guest.end_span(outer)] == [0, 0]
    execution.finish()
    spans = span_ids(telemetry)
    assert set(spans) == {"guest outer", "guest inner", "guest sibling", "wasm run"}
    assert spans["guest outer"][1] == spans["wasm run"][0]
    assert spans["guest inner"][1] == spans["guest sibling"][1] == spans["guest outer"][0]
    assert len({span.context.trace_id for span in telemetry.spans()}) == 1


def test_without_a_handle_the_last_started_span_is_used(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry
) -> None:
    execution = begin(recorder)
    guest.start_span(b"outer")
    guest.start_span(b"inner")
    guest.set_attribute(b"a", b"1")
    guest.end_span()
    guest.set_attribute(b"b", b"2")
    guest.end_span()
    assert guest.end_span() == Refusal.INVALID
    execution.finish()
    attributes = {span.name: dict(span.attributes or {}) for span in telemetry.spans()}
    assert attributes["guest inner"] == {"sandbox.runtime": "wasmtime", "guest.a": "1"}
    assert attributes["guest outer"] == {"sandbox.runtime": "wasmtime", "guest.b": "2"}


@pytest.mark.parametrize(
    ("verdict", "description"),
    [(TRAP, "re_unreachable"), (OK, "unfinished")],
)
def test_open_spans_end_with_the_execution(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry, verdict: Verdict, description: str
) -> None:
    execution = begin(recorder)
    guest.start_span(b"outer")
    guest.start_span(b"inner")
    execution.finish(verdict)
    (call,) = telemetry.spans("wasm run")
    for name in ("guest outer", "guest inner"):
        (span,) = telemetry.spans(name)
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, description)
        assert span.end_time == call.end_time


def test_handles_are_invalid_in_another_execution(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry
) -> None:
    outer = begin(recorder)
    handle = guest.start_span(b"mine")
    nested = begin(recorder)
    assert guest.end_span(handle) == guest.set_attribute(b"a", b"1", handle) == Refusal.INVALID
    assert guest.start_span(b"nested") == handle
    nested.finish()
    assert guest.end_span(handle) == 0
    outer.finish()
    (span,) = telemetry.spans("guest mine")
    assert span.status.status_code is StatusCode.UNSET
    assert refused(telemetry) == {("span", "invalid"): 1, ("attribute", "invalid"): 1}


def test_spans_are_bounded_by_execution(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry
) -> None:
    execution = begin(recorder)
    assert [guest.start_span(b"open") for _ in range(4)] == [1, 2, 3, Refusal.LIMIT]
    for _ in range(3):
        guest.end_span()
    assert [guest.start_span(b"more") for _ in range(3)] == [4, 5, Refusal.LIMIT]
    execution.finish()
    again = begin(recorder)
    assert guest.start_span(b"again") == 1
    again.finish()
    assert refused(telemetry) == {("span", "limit"): 2}
    assert len(telemetry.spans()) == 8


def test_attributes_are_bounded_by_span(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry
) -> None:
    execution = begin(recorder)
    guest.start_span(b"span")
    answers = [guest.set_attribute(key, b"123456") for key in (b"a", b"b", b"c", b"a")]
    assert answers == [0, 0, Refusal.LIMIT, 0]
    execution.finish()
    (span,) = telemetry.spans("guest span")
    assert dict(span.attributes or {}) == {
        "sandbox.runtime": "wasmtime",
        "guest.a": "1234",
        "guest.b": "1234",
    }


def test_attributes_of_the_call_itself(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry
) -> None:
    """Span 0 is the call; it is also meant where no span is open. Its attributes are bounded as those of a span."""
    execution = begin(recorder)
    answers = [
        guest.set_attribute(b"a", b"1"),
        guest.start_span(b"span"),
        guest.set_attribute(b"b", b"1234567", 0),
    ]
    answers += [guest.set_attribute(b"c", b"1", 0), guest.set_attribute(b"a", b"2", 0)]
    assert answers == [0, 1, 0, Refusal.LIMIT, 0]
    execution.finish()
    for attributes in (telemetry.spans("wasm run")[0].attributes, telemetry.logs()[0].log_record.attributes):
        found = {key: value for key, value in (attributes or {}).items() if key.startswith("guest.")}
        assert found == {"guest.a": "2", "guest.b": "1234"}
    assert "guest.a" not in (telemetry.spans("guest span")[0].attributes or {})


def test_log_records_are_bounded_and_in_the_innermost_span(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry
) -> None:
    execution = begin(recorder)
    guest.log(9, b"in the call")
    guest.start_span(b"span")
    guest.log(17, b"in")
    assert guest.log(9, b"too many") == Refusal.LIMIT
    before = trace.get_current_span()
    execution.finish()
    assert before is not trace.get_current_span(), "the execution was current all the time"
    logs = [log.log_record for log in telemetry.logs() if log.log_record.event_name == "sandbox.guest.log"]
    spans = span_ids(telemetry)
    assert [(log.body, log.severity_text, log.span_id) for log in logs] == [
        ("in the", "INFO", spans["wasm run"][0]),
        ("in", "ERROR", spans["guest span"][0]),
    ]


@pytest.mark.parametrize(
    ("number", "text"), [(1, "DEBUG"), (8, "DEBUG"), (12, "INFO"), (13, "WARN"), (24, "ERROR")]
)
def test_severities_are_opentelemetrys_numbers(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry, number: int, text: str
) -> None:
    execution = begin(recorder)
    assert guest.log(number, b"text") == 0
    assert guest.log(0, b"text") == guest.log(25, b"text") == Refusal.INVALID
    execution.finish()
    assert telemetry.logs()[0].log_record.severity_text == text


def test_counts_of_one_name_add_up(guest: GuestTelemetry, telemetry: Telemetry) -> None:
    assert guest.count(b"items", 2) == guest.count("items", 0.5) == guest.count(b"a.b-c_D9", 0) == 0
    points = telemetry.points("sandbox.guest.count")
    assert {a["sandbox.guest.counter"]: value for a, value in points} == {"items": 2.5, "a.b-c_D9": 0}


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), -float("inf"), 1e16])
def test_an_invalid_count_is_refused(guest: GuestTelemetry, telemetry: Telemetry, value: float) -> None:
    assert guest.count(b"items", value) == Refusal.INVALID
    assert telemetry.points("sandbox.guest.count") == []
    assert refused(telemetry) == {("count", "invalid"): 1}


@pytest.mark.parametrize(
    "name", [b"", b"1a", b"a b", b"a\n", b'a"b', b"\xc3\xa4", b"a" * 64, b"\xff", b"a\0", "ä", "a\ud800"]
)
def test_a_name_that_breaks_the_rule_is_refused(
    recorder: Recorder, guest: GuestTelemetry, name: bytes | str
) -> None:
    execution = begin(recorder)
    guest.start_span(b"span")
    assert guest.count(name, 1) == guest.set_attribute(name, b"1") == Refusal.INVALID
    execution.finish()


def test_counter_names_are_bounded_by_process(
    recorder: Recorder, telemetry: Telemetry, guest: GuestTelemetry
) -> None:
    other = GuestTelemetry(recorder, "wasmtime")
    assert {guest.count(f"n{number}", 1) for number in range(256)} == {0}
    assert guest.count("one.more", 1) == other.count("one.more", 1) == Refusal.LIMIT
    assert guest.count("n7", 1) == 0
    assert len(telemetry.points("sandbox.guest.count")) == 256
    assert refused(telemetry) == {("count", "limit"): 2}


def test_text_that_is_not_utf8_is_replaced_and_long_text_cut(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry
) -> None:
    execution = begin(recorder)
    guest.start_span(b"\xff\xfea" + "ä".encode() * 100)
    guest.set_attribute(b"key", "\ud800x")
    guest.log(9, b"\xf0\x9f\x98\x80" * 3 + b"\xf0\x9f")
    assert guest.start_span(b"") == Refusal.INVALID
    execution.finish()
    (span,) = [span for span in telemetry.spans() if span.name.startswith("guest")]
    assert span.name == "guest \ufffd\ufffda" + "ä" * 5
    assert (span.attributes or {})["guest.key"] == "?x"
    assert telemetry.logs()[0].log_record.body == "\U0001f600" * 3 + "\ufffd"


def test_without_a_traced_execution_only_counts_are_accepted(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry
) -> None:
    execution = begin(recorder, COUNTED)
    with telemetry.tracer_provider.get_tracer("user").start_as_current_span("user"):
        answers = [
            guest.start_span(b"a"),
            guest.end_span(1),
            guest.set_attribute(b"a", b""),
            guest.log(9, b"a"),
        ]
        assert answers == [Refusal.OFF] * 4
        assert guest.count(b"items", 1) == 0
    execution.finish()
    assert [span.name for span in telemetry.spans()] == ["user"]
    assert refused(telemetry) == {("span", "off"): 2, ("attribute", "off"): 1, ("log", "off"): 1}


def test_nothing_is_accepted_in_another_runtimes_execution(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry
) -> None:
    execution = begin(recorder, Site("subprocess", "process", "true"))
    assert guest.start_span(b"a") == guest.log(9, b"a") == Refusal.OFF
    execution.finish()
    assert [span.name for span in telemetry.spans()] == ["true"]


def test_nothing_is_accepted_while_instrumentation_is_suppressed(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry
) -> None:
    execution = begin(recorder)
    with suppress_instrumentation():
        assert guest.start_span(b"a") == guest.log(9, b"a") == guest.count(b"items", 1) == Refusal.OFF
    execution.finish()
    assert [span.name for span in telemetry.spans()] == ["wasm run"]
    assert telemetry.points("sandbox.guest.count") == []


def test_nothing_is_accepted_after_the_end(
    recorder: Recorder, guest: GuestTelemetry, telemetry: Telemetry
) -> None:
    execution = begin(recorder)
    inside = execution.context
    execution.finish()
    with trace.use_span(trace.get_current_span(inside), end_on_exit=False):
        assert guest.start_span(b"late") == Refusal.OFF
    assert [span.name for span in telemetry.spans()] == ["wasm run"]


def test_errors_of_the_sdk_are_not_raised(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the SDK raises, only the guest's telemetry is lost."""

    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("broken SDK")

    guest = GuestTelemetry(recorder, "wasmtime")
    execution = begin(recorder)
    with monkeypatch.context() as broken:
        broken.setattr(recorder, "tracer", type("Tracer", (), {"start_span": fail})())
        broken.setattr(recorder, "measure", fail)
        assert guest.start_span(b"a") == guest.count(b"items", 1) == Refusal.OFF
    execution.finish()
    assert _guard.counts() == {"guest.span": 1, "guest.count": 1, "guest.refuse": 2}


def test_providers_that_the_program_sets_later_get_the_telemetry() -> None:
    """A deferred recorder that has fallen back to direct does so for guests, too."""
    first, later = Telemetry("deferred"), Telemetry("direct")
    recorder = first.recorder(Scope("scope", "1"))
    guest = GuestTelemetry(recorder, "wasmtime")
    assert isinstance(recorder, DeferredRecorder)
    direct = later.recorder(Scope("scope", "1"))
    assert isinstance(direct, DirectRecorder)
    recorder.fall_back_to(direct)
    execution = begin(recorder)
    guest.start_span(b"work")
    guest.log(9, b"text")
    guest.count(b"items", 1)
    execution.finish()
    assert [span.name for span in later.spans()] == ["guest work", "wasm run"]
    assert later.logs()[0].log_record.event_name == "sandbox.guest.log"
    assert len(later.points("sandbox.guest.count")) == 1
    assert first.spans() == []
    first.shutdown()
    later.shutdown()
