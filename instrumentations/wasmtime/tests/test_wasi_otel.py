"""Components emit spans by ``wasi:otel`` if the program has added it to their linker."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime
from wasmtime import component

from harness import Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor, add_wasi_otel
from sandscope_instrumentation_wasmtime._guest_telemetry import _wasi_otel

# It asks for the span context and returns the length of the trace id.
GUEST = """(component $guest
  (import "wasi:otel/tracing@0.2.0-rc.2" (instance $tracing
    (type $flags' (flags "sampled"))
    (export "trace-flags" (type $flags (eq $flags')))
    (type $state' (list (tuple string string)))
    (export "trace-state" (type $state (eq $state')))
    (type $context' (record
      (field "trace-id" string) (field "span-id" string) (field "trace-flags" $flags)
      (field "is-remote" bool) (field "trace-state" $state)))
    (export "span-context" (type $context (eq $context')))
    (export "current-span-context" (func (result $context)))))
  (core module $memory (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024))
  (core instance $m (instantiate $memory))
  (alias core export $m "memory" (core memory $mem))
  (alias core export $m "realloc" (core func $realloc))
  (alias export $tracing "current-span-context" (func $current'))
  (core func $current (canon lower (func $current') (memory $mem) (realloc $realloc)))
  (core instance $host (export "current" (func $current)) (export "memory" (memory $mem)))
  (core module $code
    (import "host" "current" (func $current (param i32))) (import "host" "memory" (memory 1))
    (func (export "run") (result i32) (call $current (i32.const 64)) (i32.load (i32.const 68))))
  (core instance $c (instantiate $code (with "host" (instance $host))))
  (alias core export $c "run" (core func $run))
  (func (export "run") (result s32) (canon lift (core func $run))))"""


def run(linker: component.Linker) -> Any:
    """Run the guest."""
    store = wasmtime.Store(linker.engine)
    function = linker.instantiate(store, component.Component(linker.engine, GUEST)).get_func(store, "run")
    assert function is not None
    return function(store)


@pytest.fixture
def linker() -> component.Linker:
    """Return a linker with the interface."""
    linker = component.Linker(wasmtime.Engine())
    add_wasi_otel(linker)
    return linker


def test_a_guest_gets_the_ids_of_its_call(instrumented: Telemetry, linker: component.Linker) -> None:
    assert run(linker) == 32
    assert [span.name for span in instrumented.spans()] == ["wasm run"]


def test_a_guest_runs_where_nothing_is_instrumented(linker: component.Linker) -> None:
    assert run(linker) == 32


def test_a_linker_may_be_older_than_the_instrumentation(
    telemetry: Telemetry, instrument: Any, linker: component.Linker
) -> None:
    instrument()
    assert run(linker) == 32
    WasmtimeInstrumentor().uninstrument()
    assert _wasi_otel._Destination.guest is None
    assert run(linker) == 32
    assert [span.name for span in telemetry.spans()] == ["wasm run"]


def test_it_is_not_defined_twice(linker: component.Linker) -> None:
    with pytest.raises(wasmtime.WasmtimeError, match="defined twice"):
        add_wasi_otel(linker)
    assert run(linker) == 32, "the linker is not left locked"


def test_without_it_a_guest_is_not_linked(instrumented: Telemetry) -> None:
    with pytest.raises(wasmtime.WasmtimeError, match="implementation was not found"):
        run(component.Linker(wasmtime.Engine()))


# -- what a hostile guest may emit


def record(**fields: Any) -> component.Record:
    """Return a record as wasmtime passes it."""
    made = component.Record()
    vars(made).update({name.replace("_", "-"): value for name, value in fields.items()})
    return made


def ended(handle: str, name: str = "name", *attributes: tuple[str, str], error: str | None = None) -> Any:
    """Return a span that has ended."""
    return record(
        span_context=record(span_id=handle),
        name=name,
        attributes=[record(key=key, value=value) for key, value in attributes],
        status=component.Variant("error", error) if error is not None else component.Variant("unset"),
    )


@pytest.fixture
def inside(instrumented: Telemetry) -> Any:
    """Return a function that runs a callback inside a guest's call."""

    def inside(act: Any) -> None:
        store = wasmtime.Store()
        module = wasmtime.Module(store.engine, '(module (import "h" "f" (func)) (export "run" (func 0)))')
        host = wasmtime.Func(store, wasmtime.FuncType([], []), act)
        exports: Any = wasmtime.Instance(store, module, [host]).exports(store)
        exports["run"](store)

    return inside


def start(handle: str) -> None:
    """Start a span."""
    _wasi_otel._on_start(None, record(trace_id="0" * 32, span_id=handle))


def refused(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """Return how many calls were refused, by signal and reason."""
    points = telemetry.points("sandbox.guest.refused")
    return {(a["sandbox.guest.signal"], a["sandbox.guest.reason"]): value for a, value in points}


def test_ids_that_are_used_twice_long_or_unknown_are_refused(instrumented: Telemetry, inside: Any) -> None:
    def act() -> None:
        start("a")
        start("a")
        start("b" * 33)
        _wasi_otel._on_end(None, ended("c"))
        _wasi_otel._on_end(None, ended("a", "first"))
        _wasi_otel._on_end(None, ended("a", "second"))

    inside(act)
    assert [span.name for span in instrumented.spans()] == ["guest first", "wasm run"]
    assert refused(instrumented) == {("span", "invalid"): 4}


def test_attributes_are_bounded(instrumented: Telemetry, inside: Any) -> None:
    """The text of a JSON string is its value; any other JSON is kept as it is."""
    values = ['"text"', "[1]", '"\\ud800"', '"cut', '"' + "x" * 100_000 + '"', ""]

    def act() -> None:
        start("a")
        _wasi_otel._on_end(None, ended("a", "n" * 1000, *((f"k{i}", v) for i, v in enumerate(values))))
        start("b")
        _wasi_otel._on_end(None, ended("b", "", *((f"k{i}", "1") for i in range(100)), error="e" * 5000))

    inside(act)
    first, second, _ = instrumented.spans()
    attributes = {key: value for key, value in (first.attributes or {}).items() if key.startswith("guest.")}
    assert first.name == "guest " + "n" * 128
    assert list(attributes.values()) == ["text", "[1]", "?", '"cut', '"' + "x" * 1023, ""]
    assert (second.name, len(second.attributes or {})) == ("guest span", 1 + 32)
    assert len(second.status.description or "") == 1024
    assert refused(instrumented) == {("attribute", "limit"): 1}
