"""Guests compiled from source: C, Rust, Python, as modules and as components."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from opentelemetry import propagate
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id
from wasmtime import component

from harness import Telemetry
from sandscope_instrumentation_wasmtime import add_wasi_otel

Run = Callable[..., str]


@pytest.fixture
def traceparent(instrumented: Telemetry) -> Any:
    """Make a span current, and return its ``traceparent``."""
    with instrumented.tracer_provider.get_tracer("user").start_as_current_span("user"):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        yield carrier["traceparent"]


@pytest.fixture
def run(engine: wasmtime.Engine, tmp_path: Path) -> Run:
    """Return a function that runs a command (a module or component) and returns its output."""

    def run(guest: Any, *arguments: str) -> str:
        store, config = wasmtime.Store(engine), wasmtime.WasiConfig()
        config.argv = ("guest", *arguments)
        config.stdout_file = config.stderr_file = str(tmp_path / "out")
        store.set_wasi(config)
        try:
            if isinstance(guest, wasmtime.Module):
                linker = wasmtime.Linker(engine)
                linker.define_wasi()
                start: Any = linker.instantiate(store, guest).exports(store)["_start"]
                start(store)
            else:
                run_component(store, guest)
        finally:
            store.close()
        return (tmp_path / "out").read_text()

    return run


def run_component(store: wasmtime.Store, guest: component.Component) -> None:
    """Run a component that is a command."""
    linker = component.Linker(store.engine)
    linker.add_wasip2()
    (interface,) = (name for name in guest.type.exports(store.engine) if name.startswith("wasi:cli/run@"))
    instance = linker.instantiate(store, guest)
    index = instance.get_export_index(store, "run", instance.get_export_index(store, interface))
    assert index is not None
    function = instance.get_func(store, index)
    assert function is not None
    function(store)


def call(instrumented: Telemetry) -> dict[str, Any]:
    """Return name and attributes of the span of the only call."""
    (span,) = [span for span in instrumented.spans() if span.name.startswith("wasm ")]
    return {"name": span.name, **(span.attributes or {})}


def test_a_c_program_emits_spans_logs_and_counts(
    instrumented: Telemetry, traceparent: str, c_guest: wasmtime.Module, run: Run
) -> None:
    """Its spans are in the trace that its environment names, inside the call."""
    assert run(c_guest) == f"{traceparent}\n"
    spans = {span.name: span for span in instrumented.spans()}
    start, work, step = spans["wasm _start"], spans["guest work"], spans["guest step"]
    assert [span.parent and span.parent.span_id for span in (work, step)] == [
        start.context.span_id,
        work.context.span_id,
    ]
    assert {format_trace_id(span.context.trace_id) for span in spans.values()} == {traceparent.split("-")[1]}
    assert (work.attributes or {})["guest.language"] == "C"
    (log,) = [
        log.log_record for log in instrumented.logs() if log.log_record.event_name == "sandbox.guest.log"
    ]
    assert (log.body, log.severity_text, log.span_id) == ("half way", "INFO", step.context.span_id)
    assert instrumented.points("sandbox.guest.count") == [
        ({"sandbox.runtime": "wasmtime", "sandbox.guest.counter": "items"}, 2.5)
    ]
    assert call(instrumented)["sandbox.verdict.status"] == "OK"


def test_a_guest_is_named_after_its_file(
    instrumented: Telemetry, engine: wasmtime.Engine, c_binary: Path, run: Run
) -> None:
    """If the compiler omitted the names, as for a release build."""
    run(wasmtime.Module.from_file(engine, c_binary))
    assert call(instrumented)["wasm.module"] == "telemetry"
    (log,) = [
        log.log_record for log in instrumented.logs() if log.log_record.event_name == "sandbox.guest.log"
    ]
    assert (log.attributes or {})["wasm.module"] == "telemetry"


@pytest.mark.parametrize("settings", [{"probe": True, "output": True, "fuel": True, "cpu": True}])
def test_a_c_program_emits_under_the_probe_too(
    instrumented: Telemetry, settings: dict[str, Any], engine: wasmtime.Engine, c_binary: Path, run: Run
) -> None:
    """Both work between the guest and the program's linker."""
    run(wasmtime.Module.from_file(engine, c_binary))
    assert "wasm.output" in [log.log_record.event_name for log in instrumented.logs()], "the probe is there"
    (start,), (work,) = instrumented.spans("wasm _start"), instrumented.spans("guest work")
    assert work.parent is not None
    assert work.parent.span_id == start.context.span_id
    assert [value for _, value in instrumented.points("sandbox.guest.count")] == [2.5]


def test_a_c_program_that_traps_leaves_no_span_open(
    instrumented: Telemetry, c_guest: wasmtime.Module, run: Run
) -> None:
    with pytest.raises(wasmtime.Trap):
        run(c_guest, "trap")
    (start,) = instrumented.spans("wasm _start")
    for name in ("guest work", "guest step"):
        (span,) = instrumented.spans(name)
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "re_unreachable")
        assert span.end_time == start.end_time
    assert call(instrumented)["sandbox.verdict.cause"] == "re_unreachable"


def test_a_c_program_that_exits_with_a_code(
    instrumented: Telemetry, c_guest: wasmtime.Module, run: Run
) -> None:
    with pytest.raises(wasmtime.ExitTrap) as caught:
        run(c_guest, "3")
    assert caught.value.code == 3
    assert call(instrumented)["sandbox.verdict.cause"] == "re_exit_code"


def test_a_rust_program_continues_the_trace(
    instrumented: Telemetry, traceparent: str, rust_guest: Any, run: Run
) -> None:
    """The same source, as a module and as a component."""
    assert run(rust_guest) == f"{traceparent}\n"
    said = call(instrumented)
    assert said["sandbox.verdict.status"] == "OK"
    assert said["name"] == f"wasm {said['wasm.function']}"
    assert said["wasm.function"] == "_start" or said["wasm.function"].startswith("wasi:cli/run@0.2.")


@pytest.mark.parametrize(("argument", "cause"), [("3", "re_exit_code"), ("panic", "re_unreachable")])
def test_a_rust_program_that_fails(
    instrumented: Telemetry, rust_guest: Any, run: Run, argument: str, cause: str
) -> None:
    """An exit code has its own exception class; a panic is a trap."""
    with pytest.raises((wasmtime.WasmtimeError, wasmtime.Trap)):
        run(rust_guest, argument)
    assert call(instrumented)["sandbox.verdict.cause"] == cause


def test_cpython_runs_as_a_guest(
    instrumented: Telemetry, traceparent: str, python_guest: wasmtime.Module, run: Run
) -> None:
    assert run(python_guest, "-c", "import os; print(os.environ['TRACEPARENT'])") == f"{traceparent}\n"
    assert call(instrumented)["sandbox.verdict.status"] == "OK"


def test_cpython_that_raises_exits_with_a_code(
    instrumented: Telemetry, python_guest: wasmtime.Module, run: Run
) -> None:
    with pytest.raises(wasmtime.ExitTrap) as caught:
        run(python_guest, "-c", "raise ValueError('no')")
    assert caught.value.code == 1
    assert call(instrumented)["sandbox.verdict.cause"] == "re_exit_code"


@pytest.fixture
def world(instrumented: Telemetry, python_component: component.Component, engine: wasmtime.Engine) -> Any:
    """Return a function that calls an export of the Python component."""
    store = wasmtime.Store(engine)
    store.set_wasi(wasmtime.WasiConfig())
    linker = component.Linker(engine)
    linker.add_wasip2()
    add_wasi_otel(linker)
    instance = linker.instantiate(store, python_component)

    def call(name: str) -> Any:
        function = instance.get_func(store, name)
        assert function is not None
        return function(store)

    yield call
    store.close()


def test_a_python_component_is_called_by_name(instrumented: Telemetry, world: Any) -> None:
    assert world("answer") == 42
    said = call(instrumented)
    assert (said["name"], said["wasm.function"]) == ("wasm answer", "answer")


def test_a_python_component_finds_the_trace(traceparent: str, world: Any) -> None:
    assert dict(world("environment"))["TRACEPARENT"] == traceparent


def test_a_python_component_that_raises_leaves_no_span_open(instrumented: Telemetry, world: Any) -> None:
    with pytest.raises(wasmtime.WasmtimeError):
        world("fail")
    assert call(instrumented)["sandbox.verdict.cause"] == "re_unreachable"
    (span,) = instrumented.spans("guest span")
    assert span.status.description == "re_unreachable"


def test_a_component_emits_spans_by_wasi_otel(instrumented: Telemetry, world: Any) -> None:
    """They are in the trace of the call, whichever trace the component claims."""
    seen = world("work")
    (work,) = instrumented.spans("wasm work")
    (outer,), (inner,) = instrumented.spans("guest outer"), instrumented.spans("guest inner")
    assert seen == f"{format_trace_id(work.context.trace_id)} {format_span_id(inner.context.span_id)}"
    assert outer.parent is not None
    assert inner.parent is not None
    assert (outer.parent.span_id, inner.parent.span_id) == (work.context.span_id, outer.context.span_id)
    assert {span.context.trace_id for span in (outer, inner)} == {work.context.trace_id}
    assert (inner.status.status_code, inner.status.description) == (StatusCode.ERROR, "no luck")
    assert outer.status.status_code is StatusCode.UNSET
    attributes = dict(outer.attributes or {})
    assert attributes == {"sandbox.runtime": "wasmtime", "guest.language": "Python", "guest.size": "3"}
