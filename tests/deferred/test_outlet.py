"""A signal that cannot be exported delays no other, is tried again, and is counted if it is given up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult

from deferred._programs import Exporter, Program
from harness import OtlpSink, wait_until
from sandscope._deferred import _outlet
from sandscope._internals import watch_rejections
from sandscope._internals._rejections import is_rejection


class Failing(Exporter):
    """Fails a number of times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times, self.calls = times, 0

    def export(self, batch: Any) -> Any:
        self.calls += 1
        return SpanExportResult.FAILURE if self.calls <= self.times else super().export(batch)


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outlet, "_PAUSE", 0.01)


def _hanging() -> tuple[Exporter, threading.Event, threading.Event]:
    hangs, go_on = threading.Event(), threading.Event()
    return Exporter(lambda: (hangs.set(), go_on.wait(60))), hangs, go_on


def test_a_signal_that_hangs_does_not_delay_the_other() -> None:
    for hung in ("spans", "logs"):
        exporter, hangs, go_on = _hanging()
        program = Program(**{hung: exporter})
        other = program.logs if hung == "spans" else program.spans
        try:
            program.run(1)
            assert hangs.wait(30)
            program.run(9)
            assert wait_until(lambda other=other: len(other.arrived) == 10)
        finally:
            go_on.set()
        assert wait_until(lambda program=program: program.accounted() == [10, 10])


def test_a_request_that_fails_is_sent_again_and_before_later_ones() -> None:
    program = Program(spans=Failing(_outlet.TRIES - 1))
    program.run(10)
    assert wait_until(lambda: program.spans.calls)
    program.run(10)
    assert wait_until(lambda: len(program.spans.arrived) == 20)
    assert program.outcomes("span") == {"sent": 20}
    starts = [span.start_time for span in program.spans.arrived]
    assert starts == sorted(starts)


def test_a_request_that_keeps_failing_is_given_up() -> None:
    program = Program(spans=Failing(_outlet.TRIES))
    program.run(10)
    assert wait_until(lambda: program.outcomes("span"))
    assert program.outcomes("span") == {"not_delivered": 10}
    program.run(10)
    assert wait_until(lambda: len(program.spans.arrived) == 10)
    assert program.outcomes("span") == {"not_delivered": 10, "sent": 10}


def test_records_that_cannot_be_encoded_are_counted_once_if_their_request_is_sent_again() -> None:
    from typing import cast

    from sandscope.instrumentation import Site

    program = Program(spans=Failing(2))
    program.run(3)
    program.run(1, Site("wasmtime", "call", "odd", attributes=cast(Any, 5)))
    assert wait_until(lambda: program.outcomes("span").get("sent"))
    assert program.outcomes("span") == {"sent": 3, "not_encoded": 1}


def test_what_is_given_up_is_counted_once_even_if_it_arrives() -> None:
    exporter, hangs, go_on = _hanging()
    program = Program(spans=exporter)
    program.run(5)
    assert hangs.wait(30)
    program.run(5)
    program.pipeline.give_up()
    assert program.outcomes("span") == {"not_delivered": 10}
    go_on.set()
    assert wait_until(lambda: len(program.spans.arrived) == 5)
    program.run(5)
    assert program.pipeline.flush()
    assert program.outcomes("span") == {"not_delivered": 15}
    assert program.executions() == 15


def test_at_the_end_each_request_is_tried_once() -> None:
    program = Program(spans=Failing(1), high_water=10_000)
    program.pipeline.idle = False  # no background thread
    program.run(1500)
    program.pipeline.close()
    assert program.spans.calls == 3
    assert program.outcomes("span") == {"not_delivered": 512, "sent": 1500 - 512}


@pytest.mark.parametrize(
    ("status", "requests"), [(302, 1), (400, 1), (401, 1), (404, 1), (500, 1), (503, None)]
)
def test_a_rejected_request_is_not_sent_again(status: int, requests: int | None) -> None:
    with OtlpSink(status=status) as sink:
        exporters = (OTLPSpanExporter(f"{sink.endpoint}/v1/traces", timeout=0.5), Exporter())
        program = Program(*exporters)
        program.run(2)
        assert wait_until(lambda: program.outcomes("span"))
        assert program.outcomes("span") == {"not_delivered": 2}
        assert sink.requests == (requests or sink.requests) >= 1
        assert requests or sink.requests >= _outlet.TRIES


def test_the_status_of_a_response_is_seen_on_the_thread_that_has_sent() -> None:
    with OtlpSink(answers={"/v1/logs": 413}) as sink:
        exporter = OTLPLogExporter(f"{sink.endpoint}/v1/logs")
        was_rejected = watch_rejections(exporter)
        assert was_rejected is not None
        assert not was_rejected()
        exporter.export([])
        assert was_rejected()
        assert _on_a_thread(was_rejected) is False
        sink.answers.clear()
        exporter.export([])
        assert not was_rejected()


def test_an_unknown_exporter_is_not_watched() -> None:
    assert watch_rejections(object()) is None
    assert not is_rejection(None)


def _on_a_thread(work: Callable[[], object]) -> object:
    result: list[object] = []
    thread = threading.Thread(target=lambda: result.append(work()))
    thread.start()
    thread.join()
    return result[0]
