"""Executions of a program as parents: of children, of other threads and of forked processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import wasmtime
from opentelemetry import trace

import sandscope
from core._verdicts import verdicts_of
from deferred._forked import in_child
from harness import OtlpSink, Telemetry, clean_environment, run_program, wait_until
from sandscope import _manual
from sandscope._own_process import _inherited
from sandscope_instrumentation_subprocess import SubprocessInstrumentor
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor


def test_the_environment_continues_the_trace_and_changes_nothing_else(
    recorded: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    inherited = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    own = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    monkeypatch.setenv("TRACEPARENT", inherited)
    monkeypatch.setenv("TRACESTATE", "stale=1")
    at_start = frozenset({b"TRACEPARENT=" + inherited.encode()})
    monkeypatch.setattr(_inherited, "entries_at_start", lambda: at_start)
    before = dict(os.environ)
    with sandscope.execution("docker", "run") as run:
        identity = trace.get_current_span(run.context).get_span_context()
        parent = f"00-{identity.trace_id:032x}-{identity.span_id:016x}-{identity.trace_flags:02x}"
        given = {"A": "1"}
        assert run.environment(given) == {"A": "1", "TRACEPARENT": parent}
        assert given == {"A": "1"}
        rest = {name: value for name, value in before.items() if name != "TRACESTATE"}
        assert run.environment() == {**rest, "TRACEPARENT": parent}
        assert run.environment(before) == {**rest, "TRACEPARENT": parent}, "a copy of what was inherited"
        assert run.environment({"TRACEPARENT": own}) == {"TRACEPARENT": own}, "set by the program"
        assert sandscope.child_environment({}) == {"TRACEPARENT": parent}
        assert dict(os.environ) == before
        monkeypatch.setenv("TRACEPARENT", own)
        for environment in (run.environment(), run.environment(dict(os.environ))):
            assert (environment["TRACEPARENT"], environment["TRACESTATE"]) == (own, "stale=1"), (
                "set by the program"
            )


def test_nested_executions_and_spans_are_children(recorded: Telemetry) -> None:
    instrumentors = (SubprocessInstrumentor(), WasmtimeInstrumentor())
    for instrumentor in instrumentors:
        instrumentor.instrument(**recorded.providers)
    try:
        with sandscope.execution("judge", "submission", name="judge"):
            subprocess.run([sys.executable, "-c", ""], check=True)
            store = wasmtime.Store()
            text = '(module (import "host" "f" (func $f)) (func (export "run") (call $f)))'
            host = wasmtime.Func(store, wasmtime.FuncType([], []), _inner)
            exports = wasmtime.Instance(store, wasmtime.Module(store.engine, text), [host]).exports(store)
            exports["run"](store)
        assert wait_until(lambda: len(recorded.spans()) == 4)
    finally:
        for instrumentor in instrumentors:
            instrumentor.uninstrument()
    (outer,), (inner,), (wasm,) = (recorded.spans(name) for name in ("judge", "inner", "wasm run"))
    parents = {span.name: span.parent and span.parent.span_id for span in recorded.spans()}
    assert parents.pop("judge") is None
    assert parents.pop("inner") == wasm.context.span_id
    assert set(parents.values()) == {outer.context.span_id}
    assert inner.context.trace_id == outer.context.trace_id


@sandscope.execution("test", "inside", name="inner")
def _inner() -> None:
    pass


def test_leaving_on_another_thread_or_in_another_context_does_not_raise(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_manual, "_recorder", telemetry.recorder(_manual.SCOPE))
    errors: list[BaseException] = []

    def in_thread() -> None:
        context = sandscope.execution("docker", "run", name="thread")
        context.__enter__()

        def leave() -> None:
            try:
                context.__exit__(None, None, None)
            except BaseException as error:  # noqa: BLE001 -- the test fails on any error
                errors.append(error)

        other = threading.Thread(target=leave)
        other.start()
        other.join()

    def generator() -> Iterator[int]:
        with sandscope.execution("docker", "run", name="generator"):
            yield 1

    def in_generator() -> None:
        import contextvars

        steps = generator()
        contextvars.copy_context().run(next, steps)
        contextvars.copy_context().run(steps.close)

    for work in (in_thread, in_generator):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert errors == []
    assert [span.name for span in telemetry.spans()] == ["thread", "generator"]
    assert verdicts_of(telemetry) == [("OK", "guest", "normal_exit"), ("IE", "host", "ie_interrupted")]
    caplog.clear()


def test_a_forked_child_records_its_executions(recorded: Telemetry) -> None:
    def child() -> list[str]:
        recorded.clear()
        with sandscope.execution("docker", "run", name="of the child"):
            pass
        return [span.name for span in recorded.spans()]

    with sandscope.execution("docker", "run", name="of the parent"):
        assert in_child(child) == ["of the child"]
    assert [span.name for span in recorded.spans()] == ["of the parent"]


PROGRAM = """
import sandscope
with sandscope.execution("docker", "run", name="before"):
    pass
import sandscope.auto
with sandscope.execution("docker", "run", name="after"):
    pass
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
with sandscope.execution("docker", "run", name="replaced"):
    pass
print([span.name for span in exporter.get_finished_spans()])
"""


@pytest.mark.parametrize("first", ["set up before", "set up after"])
def test_it_uses_the_providers_that_the_program_sets(first: str) -> None:
    program = PROGRAM if first == "set up after" else "import sandscope.auto\n" + PROGRAM
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        run = run_program(program, way=(), environment=environment)
        assert (run.stdout, run.stderr) == ("['replaced']\n", "")
        names = {span.name for span in sink.spans}
    assert names == ({"before", "after"} if first == "set up before" else {"after"})
