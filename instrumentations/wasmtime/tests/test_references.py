"""A function has its name wherever the program gets it from; no table keeps a store alive."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from typing import Any

import pytest
import wasmtime

from harness import Telemetry
from sandscope_instrumentation_wasmtime._names import _references

GIVES = """(module $giver
  (table (export "table") 3 funcref) (elem (i32.const 0) $f $hidden)
  (global (export "global") funcref (ref.func $f))
  (func $f (export "f"))
  (func $hidden)
  (func (export "give") (result funcref) (ref.func $f)))"""
TAKES = """(module $taker (import "h" "take" (func $take (param funcref)))
  (elem declare func $f)
  (func $f (export "f"))
  (func (export "run") (call $take (ref.func $f))))"""


def last(telemetry: Telemetry) -> tuple[object, ...]:
    """Return span name, module and function of the last call."""
    span = telemetry.spans()[-1]
    attributes = span.attributes or {}
    return span.name, attributes.get("wasm.module"), attributes.get("wasm.function")


def test_a_function_from_a_table_a_global_or_a_result_is_named(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(GIVES)
    for function in (exports["table"].get(store, 0), exports["global"].value(store), exports["give"](store)):
        assert isinstance(function, wasmtime.Func)
        function(store)
        assert last(instrumented) == ("wasm f", "giver", "f")
    assert exports["table"].get(store, 7) is None


def test_a_function_that_is_not_exported_has_no_name(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(GIVES)
    exports["table"].get(store, 1)(store)
    assert last(instrumented) == ("wasm call", None, None)


def test_a_function_that_a_guest_passes_to_the_host_is_named(instrumented: Telemetry, load: Any) -> None:
    def take(function: wasmtime.Func) -> None:
        function(store)

    store, exports = load(TAKES, take)
    exports["run"](store)
    assert instrumented.spans()[0].name == "wasm f"
    assert (instrumented.spans()[0].attributes or {})["wasm.module"] == "taker"


def test_functions_of_two_stores_are_not_mixed_up(instrumented: Telemetry, load: Any) -> None:
    first, one = load(GIVES)
    second, two = load(GIVES.replace("$giver", "$other"))
    for store, exports, name in ((first, one, "giver"), (second, two, "other")):
        exports["table"].get(store, 0)(store)
        assert last(instrumented) == ("wasm f", name, "f")


def test_functions_of_many_instances_in_one_store_are_named(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    modules = [wasmtime.Module(store.engine, GIVES.replace("$giver", name)) for name in ("$one", "$two")]
    count = _references._MOST_EXPORTED + 2
    tables: list[Any] = [
        wasmtime.Instance(store, modules[number % 2], []).exports(store)["table"] for number in range(count)
    ]
    for number, table in enumerate(tables):
        table.get(store, 0)(store)
        assert last(instrumented) == ("wasm f", ("one", "two")[number % 2], "f")


def test_a_callers_export_has_its_module(instrumented: Telemetry, load: Any) -> None:
    text = """(module $m (import "h" "f" (func $f)) (func (export "run") (call $f)) (func (export "leaf")))"""
    store = wasmtime.Store()

    def host(caller: wasmtime.Caller) -> None:
        caller["leaf"](caller)  # type: ignore[operator]

    func = wasmtime.Func(store, wasmtime.FuncType([], []), host, access_caller=True)
    module = wasmtime.Module(store.engine, text)
    wasmtime.Instance(store, module, [func]).exports(store)["run"](store)  # type: ignore[operator]
    leaf, _run = instrumented.spans()
    assert dict(leaf.attributes or {})["wasm.module"] == "m"
    assert leaf.name == "wasm leaf"


def test_a_module_instantiated_inside_a_call_is_named(instrumented: Telemetry, load: Any) -> None:
    def host(caller: wasmtime.Caller) -> None:
        inner = wasmtime.Instance(caller, wasmtime.Module(store.engine, GIVES), [])
        exports = inner.exports(caller)
        exports["f"](caller)  # type: ignore[operator]
        exports["table"].get(caller, 0)(caller)  # type: ignore[attr-defined]

    store = wasmtime.Store()
    func = wasmtime.Func(store, wasmtime.FuncType([], []), host, access_caller=True)
    text = '(module $outer (import "h" "f" (func $f)) (func (export "run") (call $f)))'
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, text), [func]).exports(store)
    exports["run"](store)  # type: ignore[operator]
    assert [span.name for span in instrumented.spans()] == ["wasm f", "wasm f", "wasm run"]


@pytest.mark.usefixtures("instrumented")
def test_no_table_keeps_a_store_or_outlives_it(load: Any) -> None:
    gc.collect()
    before = len(_references._by_store)
    store, exports = load(GIVES)
    function = exports["table"].get(store, 0)
    function(store)
    assert len(_references._by_store) == before + 1
    reference = weakref.ref(store)
    del store, exports
    assert reference() is None
    assert len(_references._by_store) == before


@pytest.mark.usefixtures("instrumented")
def test_an_isolated_guest_needs_no_table(load: Any) -> None:
    gc.collect()
    before = len(_references._by_store)
    store, exports = load('(module (memory (export "m") 1) (func (export "f") (param i32)))')
    exports["f"](store, 1)
    assert len(_references._by_store) == before


OLDER = """
import sys, wasmtime
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

store = wasmtime.Store()
def made():
    return wasmtime.Instance(store, wasmtime.Module(store.engine, '(module $m (func (export "f")))'), [])
exports = made().exports(store)
function = exports["f"]
instance = made()
exporter = InMemorySpanExporter()
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(exporter))
WasmtimeInstrumentor().instrument(tracer_provider=provider)
function(store)
exports["f"](store)
instance.exports(store)["f"](store)
print([(span.name, span.attributes.get("wasm.module")) for span in exporter.get_finished_spans()])
"""


def test_what_is_older_than_the_instrumentation_has_its_functions_name() -> None:
    done = subprocess.run([sys.executable, "-c", OLDER], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == str([("wasm f", None)] * 3)


def test_a_function_that_was_not_named_in_time_is_recorded(telemetry: Telemetry, instrument: Any) -> None:
    store = wasmtime.Store()
    host = wasmtime.Func(store, wasmtime.FuncType([], []), lambda: None)
    instrument()
    host(store)
    assert last(telemetry) == ("wasm call", None, None)
