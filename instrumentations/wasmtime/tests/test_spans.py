"""Settings decide which calls have a span and a log record; all are counted."""

from __future__ import annotations

import functools
import threading
from typing import Any

import pytest
import wasmtime
from opentelemetry import trace
from wasmtime import component

from harness import Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

CALLS_HOST = """(module $m (import "h" "f" (func $f))
  (func (export "run") (call $f)) (func (export "leaf")) (func (export "trap") unreachable))"""
HOST_COMPONENT = """(component (import "h" (func $h)) (core func $lower (canon lower (func $h)))
  (core module $m (import "" "h" (func $h)) (func (export "f") (call $h)))
  (core instance $i (instantiate $m (with "" (instance (export "h" (func $lower))))))
  (func (export "f") (canon lift (core func $i "f"))))"""

spans = functools.partial(pytest.mark.parametrize, "settings", ids=str)


def nested(load: Any, leaf: str = "leaf") -> None:
    """Call run, which calls the host, which calls a leaf twice."""
    inner: list[Any] = []

    def host() -> None:
        for _ in range(2):
            inner[0](store)

    store, exports = load(CALLS_HOST, host)
    inner.append(exports[leaf])
    exports["run"](store)


def executions(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """Return how many executions ended, by operation and cause."""
    return {
        (attributes["sandbox.operation"], attributes["sandbox.verdict.cause"]): count
        for attributes, count in telemetry.points("sandbox.executions")
    }


@spans([{"spans": "all"}])
def test_all(instrumented: Telemetry, load: Any) -> None:
    nested(load)
    assert [span.name for span in instrumented.spans()] == ["wasm leaf", "wasm leaf", "wasm run"]
    assert len(instrumented.logs()) == 3
    assert executions(instrumented) == {("call", "normal_exit"): 3}


@spans([{"spans": "outer"}])
def test_outer(instrumented: Telemetry, load: Any) -> None:
    nested(load)
    assert [span.name for span in instrumented.spans()] == ["wasm run"]
    assert len(instrumented.logs()) == 1
    assert executions(instrumented) == {("call", "normal_exit"): 3}
    assert instrumented.points("sandbox.execution.active")[0][1] == 0


@spans([{"spans": "outer"}])
def test_outer_after_a_trap(instrumented: Telemetry, load: Any) -> None:
    with pytest.raises(wasmtime.Trap):
        nested(load, "trap")
    nested(load)
    assert [span.name for span in instrumented.spans()] == ["wasm run", "wasm run"]
    assert executions(instrumented) == {("call", "re_unreachable"): 2, ("call", "normal_exit"): 3}


@spans([{"spans": "outer"}])
def test_outer_is_for_each_thread(instrumented: Telemetry, load: Any) -> None:
    def host() -> None:
        other, leaf = load('(module (func (export "leaf")))')
        thread = threading.Thread(target=lambda: leaf["leaf"](other))
        thread.start()
        thread.join()

    store, exports = load(CALLS_HOST, host)
    exports["run"](store)
    assert [span.name for span in instrumented.spans()] == ["wasm leaf", "wasm run"]


@spans([{"spans": "outer"}])
def test_outer_with_a_component_inside_a_module(instrumented: Telemetry, load: Any) -> None:
    inner = wasmtime.Store()
    linker = component.Linker(inner.engine)
    with linker.root() as root:
        root.add_func("h", lambda _store: None)
    function = linker.instantiate(inner, component.Component(inner.engine, HOST_COMPONENT)).get_func(
        inner, "f"
    )
    assert function is not None
    store, exports = load(CALLS_HOST, lambda: function(inner))
    exports["run"](store)
    assert [span.name for span in instrumented.spans()] == ["wasm run"]
    assert executions(instrumented) == {("call", "normal_exit"): 2}


@spans([{"spans": "off"}, {"spans": "off", "host_spans": True}])
def test_off(instrumented: Telemetry, load: Any) -> None:
    seen: list[bool] = []
    store, exports = load(CALLS_HOST, lambda: seen.append(trace.get_current_span().is_recording()))
    exports["run"](store)
    with pytest.raises(wasmtime.Trap):
        exports["trap"](store)
    assert instrumented.spans() == []
    assert instrumented.logs() == []
    assert executions(instrumented) == {("call", "normal_exit"): 1, ("call", "re_unreachable"): 1}
    assert [value for _, value in instrumented.points("sandbox.execution.duration")] == [1.0, 1.0]
    assert seen == [False]


def test_a_change_of_the_setting_reaches_functions_that_were_named_before(
    telemetry: Telemetry, instrument: Any, load: Any
) -> None:
    store, exports = load(CALLS_HOST, lambda: None)
    for mode, count in (("all", 1), ("off", 1), ("outer", 2), ("off", 2), ("all", 3)):
        instrument(spans=mode)
        exports["leaf"](store)
        WasmtimeInstrumentor().uninstrument()
        assert len(telemetry.spans()) == count


def host_spans(telemetry: Telemetry) -> list[tuple[str, object, object]]:
    """Return name, attribute and cause of the host functions' spans."""
    return [
        (
            span.name,
            (span.attributes or {}).get("wasm.host_function"),
            (span.attributes or {})["sandbox.verdict.cause"],
        )
        for span in telemetry.spans()
        if (span.attributes or {})["sandbox.operation"] == "host_call"
    ]


@spans([{"host_spans": True}])
def test_a_call_of_a_host_function_is_a_span_between_guests(instrumented: Telemetry, load: Any) -> None:
    nested(load)
    first, second, host, run = instrumented.spans()
    assert [each.name for each in (first, second, host, run)] == [
        "wasm leaf",
        "wasm leaf",
        "wasm host host",
        "wasm run",
    ]
    assert first.parent is not None
    assert host.parent is not None
    assert first.parent.span_id == host.context.span_id
    assert host.parent.span_id == run.context.span_id
    assert executions(instrumented) == {("call", "normal_exit"): 3, ("host_call", "normal_exit"): 1}


@spans([{"host_spans": True, "spans": "outer"}])
def test_host_spans_inside_the_outermost_call(instrumented: Telemetry, load: Any) -> None:
    nested(load)
    assert [span.name for span in instrumented.spans()] == ["wasm host host", "wasm run"]


@spans([{"host_spans": True}])
def test_a_host_functions_name_is_its_imports(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    linker = wasmtime.Linker(store.engine)
    none = wasmtime.FuncType([], [])
    linker.define_func("env", "log", none, lambda: None)
    linker.define_func(module="env", name="caller", ty=none, func=lambda caller: None, access_caller=True)
    text = """(module (import "env" "log" (func $l)) (import "env" "caller" (func $c))
      (func (export "run") (call $l) (call $c)))"""
    exports = linker.instantiate(store, wasmtime.Module(store.engine, text)).exports(store)
    exports["run"](store)  # type: ignore[operator]
    assert host_spans(instrumented) == [
        ("wasm host env.log", "env.log", "normal_exit"),
        ("wasm host env.caller", "env.caller", "normal_exit"),
    ]


@spans([{"host_spans": True}])
def test_a_components_host_function_is_a_span(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    linker = component.Linker(store.engine)
    with linker.root() as root:
        root.add_func(name="h", func=lambda _store: None)
    built = component.Component(store.engine, HOST_COMPONENT)
    linker.instantiate(store, built).get_func(store, "f")(store)  # type: ignore[misc]
    assert host_spans(instrumented) == [("wasm host h", "h", "normal_exit")]


@spans([{"host_spans": True}])
def test_a_host_function_that_raises_is_its_own_error(instrumented: Telemetry, load: Any) -> None:
    def host() -> None:
        raise KeyError("bug")

    store, exports = load(CALLS_HOST, host)
    with pytest.raises(KeyError):
        exports["run"](store)
    assert host_spans(instrumented) == [("wasm host host", "host", "ie_host_error")]


@spans([{"host_spans": True}])
def test_a_trap_that_a_host_function_passes_on_is_the_guests(instrumented: Telemetry, load: Any) -> None:
    with pytest.raises(wasmtime.Trap):
        nested(load, "trap")
    assert host_spans(instrumented) == [("wasm host host", "host", "re_unreachable")]


@spans([{"host_spans": True}])
def test_host_functions_without_a_name(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(CALLS_HOST, functools.partial(lambda _: None, 1))
    exports["run"](store)
    assert host_spans(instrumented) == [("wasm host call", None, "normal_exit")]


@pytest.mark.parametrize("host_spans", [True, False])
def test_host_functions_registered_before_uninstrument_are_not_recorded_after_it(
    host_spans: bool, telemetry: Telemetry, instrument: Any, load: Any
) -> None:
    instrument(host_spans=host_spans)
    called: list[None] = []
    store, exports = load(CALLS_HOST, lambda: called.append(None))
    WasmtimeInstrumentor().uninstrument()
    exports["run"](store)
    assert len(called) == 1
    assert telemetry.spans() == []


def test_host_spans_are_off_by_default(instrumented: Telemetry, load: Any) -> None:
    nested(load)
    assert host_spans(instrumented) == []
