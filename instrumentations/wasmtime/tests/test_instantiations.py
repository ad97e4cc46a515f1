"""An instantiation that runs code of the guest, or fails, is an execution: no guest that dies early is missing."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import wasmtime
from opentelemetry import trace
from wasmtime import component

from harness import Telemetry

STARTS = "(module $plugin (func $begin {body}) (start $begin))"
CALLS_HOST = '(module (import "h" "f" (func $f)) (start $f))'


def executions(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """Return the number of executions by operation and cause."""
    return {
        (attributes["sandbox.operation"], attributes["sandbox.verdict.cause"]): value
        for attributes, value in telemetry.points("sandbox.executions")
    }


def instantiate(how: str, store: wasmtime.Store, body: str) -> Any:
    """Instantiate a guest with a start function, in one of several ways."""
    engine = store.engine
    if how == "component":
        text = STARTS.format(body=body).replace("(module", "(core module")
        text = f"(component {text} (core instance $i (instantiate $plugin)))"
        return component.Linker(engine).instantiate(store, component.Component(engine, text))
    module = wasmtime.Module(engine, STARTS.format(body=body))
    if how == "instance":
        return wasmtime.Instance(store, module, [])
    if how == "binary":
        binary = wasmtime.wat2wasm(STARTS.format(body=body))
        return wasmtime.Instance(store, wasmtime.Module(engine, binary), [])
    linker: Any = wasmtime.Linker(engine)
    return (
        linker.instantiate(store, module)
        if how == "linker"
        else linker.instantiate_pre(module).instantiate(store)
    )


HOW = ["instance", "binary", "linker", "component"] + (
    ["prepared"] if hasattr(wasmtime, "InstancePre") else []
)


@pytest.mark.parametrize("how", HOW)
def test_a_start_function_that_traps_is_a_failed_execution(how: str, instrumented: Telemetry) -> None:
    with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError)):
        instantiate(how, wasmtime.Store(), "unreachable")
    (span,) = instrumented.spans()
    assert span.name == "wasm instantiate"
    attributes = dict(span.attributes or {})
    assert attributes["sandbox.operation"] == "instantiate"
    assert (attributes["sandbox.verdict.status"], attributes["sandbox.verdict.cause"]) == (
        "RE",
        "re_unreachable",
    )
    assert how == "component" or attributes["wasm.module"] == "plugin"
    assert isinstance(attributes["wasm.sandbox.id"], int)
    (log,) = instrumented.logs("sandbox.execution")
    assert log.log_record.span_id == span.context.span_id
    assert executions(instrumented) == {("instantiate", "re_unreachable"): 1}
    assert [value for _, value in instrumented.points("sandbox.execution.active")] == [0]


@pytest.mark.parametrize("how", HOW)
def test_a_start_function_that_returns_is_an_execution(how: str, instrumented: Telemetry) -> None:
    instantiate(how, wasmtime.Store(), "nop")
    assert [span.name for span in instrumented.spans()] == ["wasm instantiate"]
    assert executions(instrumented) == {("instantiate", "normal_exit"): 1}


def test_the_memory_that_a_start_function_has_left_is_its_peak(instrumented: Telemetry) -> None:
    text = (
        '(module (memory (export "memory") 1) (func $init (drop (memory.grow (i32.const 3)))) (start $init))'
    )
    store = wasmtime.Store()
    wasmtime.Linker(store.engine).instantiate(store, wasmtime.Module(store.engine, text))
    wasmtime.Instance(store, wasmtime.Module(store.engine, text), [])
    peaks = [(span.attributes or {})["wasm.memory.peak"] for span in instrumented.spans()]
    assert peaks == [4 * 65536, 8 * 65536]
    (found,) = instrumented.points("wasm.memory.peak")
    assert found[0]["sandbox.operation"] == "instantiate"
    assert instrumented.points("wasm.memory.usage") == [({}, 8 * 65536)]


def test_of_seven_plugins_seven_are_counted(instrumented: Telemetry) -> None:
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)

    def start(text: str, **limits: int) -> None:
        store = wasmtime.Store(engine)
        store.set_fuel(1000)
        store.set_limits(**limits)
        try:
            linker = wasmtime.Linker(engine)
            exports = linker.instantiate(store, wasmtime.Module(engine, text)).exports(store)
            exports["run"](store)  # type: ignore[operator] # a function
        except (wasmtime.Trap, wasmtime.WasmtimeError):
            pass

    start('(module (func (export "run")))')
    start('(module (func (export "run") unreachable))')
    start('(module (func $s unreachable) (start $s) (func (export "run")))')
    start('(module (func $s (loop $l (br $l))) (start $s) (func (export "run")))')
    start('(module (memory 1) (data (i32.const 70000) "x") (func (export "run")))')
    start('(module (import "host" "secrets" (func)) (func (export "run")))')
    start('(module (memory 10) (func (export "run")))', memory_size=65536)
    assert executions(instrumented) == {
        ("call", "normal_exit"): 1,
        ("call", "re_unreachable"): 1,
        ("instantiate", "re_unreachable"): 1,
        ("instantiate", "tle_fuel"): 1,
        ("instantiate", "sv_memory_bounds"): 1,
        ("instantiate", "sv_unknown_import"): 1,
        ("instantiate", "mle_store_limit"): 1,
    }
    assert len(instrumented.spans()) == len(instrumented.logs("sandbox.execution")) == 7
    assert sum(value for _, value in instrumented.points("sandbox.limit.violations")) == 2
    assert sum(value for _, value in instrumented.points("sandbox.security.violations")) == 2


def test_a_module_that_a_linker_instantiates_at_once_is_counted_if_it_fails(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    linker = wasmtime.Linker(store.engine)
    with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError)):
        linker.define_module(
            store, "plugin", wasmtime.Module(store.engine, STARTS.format(body="unreachable"))
        )
    with pytest.raises(TypeError):
        linker.define_module(store, "plugin", 5)  # type: ignore[arg-type]
    (span,) = instrumented.spans()
    assert (span.attributes or {})["wasm.module"] == "plugin"
    assert executions(instrumented) == {("instantiate", "re_unreachable"): 1}


def test_an_instantiation_that_runs_no_code_is_no_execution(instrumented: Telemetry, load: Any) -> None:
    load('(module $start (memory 1) (data (i32.const 0) "(start 0)") (func (export "start")))')
    store = wasmtime.Store()
    text = "(component (core module $m) (core instance $i (instantiate $m)))"
    component.Linker(store.engine).instantiate(store, component.Component(store.engine, text))
    assert instrumented.spans() == []
    assert executions(instrumented) == {}


def test_what_runs_inside_a_start_function_is_inside_its_span(instrumented: Telemetry) -> None:
    store, seen = wasmtime.Store(), []

    def host() -> None:
        seen.append(trace.get_current_span().get_span_context().span_id)

    function = wasmtime.Func(store, wasmtime.FuncType([], []), host)
    wasmtime.Instance(store, wasmtime.Module(store.engine, CALLS_HOST), [function])
    (span,) = instrumented.spans()
    assert seen == [span.context.span_id]


def test_what_a_host_function_raises_in_a_start_function_is_the_hosts(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    function = wasmtime.Func(store, wasmtime.FuncType([], []), lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        wasmtime.Instance(store, wasmtime.Module(store.engine, CALLS_HOST), [function])
    assert executions(instrumented) == {("instantiate", "ie_host_error"): 1}


def test_imports_that_do_not_fit_are_the_hosts(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, CALLS_HOST)
    number = wasmtime.Global(store, wasmtime.GlobalType(wasmtime.ValType.i32(), False), wasmtime.Val.i32(1))
    for imports in ([], [number]):
        with pytest.raises(wasmtime.WasmtimeError):
            wasmtime.Instance(store, module, imports)
    assert executions(instrumented) == {("instantiate", "ie_link"): 2}


def test_a_failure_lasts_as_long_as_the_instantiation(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, '(module (memory 1) (data (i32.const 70000) "x"))')
    with pytest.raises(wasmtime.Trap):
        wasmtime.Instance(store, module, [])
    (span,) = instrumented.spans()
    (log,) = instrumented.logs("sandbox.execution")
    seconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
    assert 0.000005 < seconds == pytest.approx((log.log_record.attributes or {})["sandbox.duration"])


@pytest.mark.parametrize("settings", [{"spans": "off"}], ids=["off"])
def test_without_spans_it_is_counted(instrumented: Telemetry) -> None:
    for body in ("unreachable", "nop"):
        with contextlib.suppress(wasmtime.Trap):
            instantiate("instance", wasmtime.Store(), body)
    assert instrumented.spans() == instrumented.logs("sandbox.execution") == []
    assert executions(instrumented) == {
        ("instantiate", "re_unreachable"): 1,
        ("instantiate", "normal_exit"): 1,
    }


@pytest.mark.parametrize("settings", [{"spans": "outer"}], ids=["outer"])
def test_with_outer_an_instantiation_inside_a_call_is_counted(instrumented: Telemetry, load: Any) -> None:
    def host() -> None:
        instantiate("instance", wasmtime.Store(), "nop")

    store, exports = load('(module (import "h" "f" (func $f)) (func (export "run") (call $f)))', host)
    exports["run"](store)
    assert [span.name for span in instrumented.spans()] == ["wasm run"]
    assert executions(instrumented) == {("instantiate", "normal_exit"): 1, ("call", "normal_exit"): 1}
