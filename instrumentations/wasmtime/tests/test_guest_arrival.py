"""The telemetry of a program's guests arrives over OTLP with either recorder."""

from __future__ import annotations

import pytest

from harness import OtlpSink, clean_environment, run_program

PROGRAM = """
import wasmtime

GUEST = '''(module $guest
  (import "otel" "span_start" (func $start (param i32 i32) (result i32)))
  (import "otel" "log" (func $log (param i32 i32 i32) (result i32)))
  (import "otel" "counter_add" (func $count (param i32 i32 f64) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "work")
  (func (export "run")
    (drop (call $start (i32.const 0) (i32.const 4)))
    (drop (call $log (i32.const 9) (i32.const 0) (i32.const 4)))
    (drop (call $count (i32.const 0) (i32.const 4) (f64.const 2)))
    unreachable))'''
linker = wasmtime.Linker(wasmtime.Engine())
store = wasmtime.Store(linker.engine)
linker.instantiate(store, wasmtime.Module(linker.engine, GUEST)).exports(store)["run"](store)
"""


@pytest.mark.parametrize("recorder", ["auto", "direct"])
def test_what_a_guest_emits_before_it_ends_the_program_arrives(recorder: str) -> None:
    """The span that is open at the trap is ended before the exporters are shut down."""
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, SANDSCOPE_RECORDER=recorder
        )
        run = run_program(PROGRAM, environment=environment)
    assert run.returncode == 1
    assert "wasm trap: wasm `unreachable` instruction executed" in run.stderr
    call, span = sink.span("wasm run"), sink.span("guest work")
    assert (span.trace_id, span.parent_span_id) == (call.trace_id, call.span_id)
    assert (span.status.message, span.end_time_unix_nano) == ("re_unreachable", call.end_time_unix_nano)
    logs = {log.event_name: log for log in sink.logs}
    assert logs["sandbox.guest.log"].span_id == span.span_id
    assert logs["sandbox.guest.log"].body.string_value == "work"
    (count,) = [metric for metric in sink.metrics if metric.name == "sandbox.guest.count"]
    assert [point.as_double for point in count.sum.data_points] == [2]
