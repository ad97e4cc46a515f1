"""Violations and limits are events in the trace of the call, and are counted once, also outside of calls."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime
from wasmtime import component

from harness import Telemetry

PAGE = 65536
OUT_OF_BOUNDS = '(module $m (memory 1) (func (export "f") (drop (i32.load (i32.const 100000)))))'
LOOP = '(module (func (export "f") (loop $l br $l)))'
CALLS_HOST = '(module (import "h" "f" (func $f)) (func (export "run") (call $f)))'


def events(telemetry: Telemetry, name: str) -> list[dict[str, Any]]:
    """Return the attributes of the log records of an event, without the store's number."""
    found = []
    for log in telemetry.logs(name):
        record = log.log_record
        attributes = dict(record.attributes or {})
        assert isinstance(attributes.pop("wasm.sandbox.id", 1), int)
        assert attributes.pop("sandbox.runtime") == "wasmtime"
        assert record.severity_text == "WARN"
        if name == "sandbox.security":
            assert attributes.pop("security.event.type") == "sandbox_violation"
        usage, limit = attributes.get("sandbox.resource.usage"), attributes.get("sandbox.resource.limit")
        known = 100 * usage / limit if usage and limit else None
        assert attributes.pop("sandbox.resource.percentage", None) == pytest.approx(known)
        found.append(attributes)
    return found


def counted(telemetry: Telemetry, name: str) -> dict[tuple[str, str], float]:
    """Return a counter of violations by operation and by cause or limit."""
    return {
        (
            attributes["sandbox.operation"],
            attributes.get("sandbox.limit") or attributes["sandbox.verdict.cause"],
        ): value
        for attributes, value in telemetry.points(f"sandbox.{name}.violations")
    }


def from_component(core: str, store: wasmtime.Store) -> Any:
    """Instantiate a component around a core module, and return its function `f`."""
    text = f"""(component (core module $m {core}) (core instance $i (instantiate $m))
      (func (export "f") (canon lift (core func $i "f"))))"""
    built = component.Component(store.engine, text)
    return component.Linker(store.engine).instantiate(store, built).get_func(store, "f")


@pytest.mark.parametrize("calls", [1, 40])
def test_a_trapped_access_is_an_event_of_its_call(calls: int, instrumented: Telemetry, load: Any) -> None:
    store, exports = load(OUT_OF_BOUNDS)
    for _ in range(calls):
        with pytest.raises(wasmtime.Trap):
            exports["f"](store)
    expected = {
        "sandbox.violation.type": "sv_memory_bounds",
        "sandbox.violation.action": "trapped",
        "wasm.module": "m",
        "wasm.function": "f",
    }
    assert events(instrumented, "sandbox.security") == [expected] * calls
    assert counted(instrumented, "security") == {("call", "sv_memory_bounds"): calls}
    for span, log in zip(instrumented.spans(), instrumented.logs("sandbox.security"), strict=True):
        assert log.log_record.span_id == span.context.span_id
        assert log.log_record.trace_id == span.context.trace_id
        event, exception = span.events
        assert exception.name == "exception"
        assert (event.name, dict(event.attributes or {})) == (
            "sandbox.security",
            dict(log.log_record.attributes or {}),
        )
        assert (span.attributes or {})["wasm.sandbox.id"] == (log.log_record.attributes or {})[
            "wasm.sandbox.id"
        ]


def test_a_components_trap_is_an_event_too(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    function = from_component('(memory 1) (func (export "f") (drop (i32.load (i32.const 100000))))', store)
    with pytest.raises(wasmtime.WasmtimeError):
        function(store)
    (event,) = events(instrumented, "sandbox.security")
    assert event["sandbox.violation.type"] == "sv_memory_bounds"
    assert "wasm.sandbox.id" in (instrumented.logs("sandbox.security")[0].log_record.attributes or {})


@pytest.mark.parametrize("settings", [{"bounds": "failure"}], ids=["failure"])
def test_a_failure_by_configuration_is_no_event(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(OUT_OF_BOUNDS)
    with pytest.raises(wasmtime.Trap):
        exports["f"](store)
    assert events(instrumented, "sandbox.security") == []
    assert counted(instrumented, "security") == {}


@pytest.mark.parametrize("settings", [{"spans": "off"}], ids=["off"])
def test_without_spans_the_event_is_still_logged(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(OUT_OF_BOUNDS)
    with (
        instrumented.tracer_provider.get_tracer("user").start_as_current_span("user"),
        pytest.raises(wasmtime.Trap),
    ):
        exports["f"](store)
    (log,) = instrumented.logs()
    assert log.log_record.event_name == "sandbox.security"
    assert log.log_record.span_id == instrumented.spans("user")[0].context.span_id


def test_a_trap_that_propagates_through_several_calls_is_one_event(
    instrumented: Telemetry, load: Any
) -> None:
    inner_store, inner = load(OUT_OF_BOUNDS)
    store, exports = load(CALLS_HOST, lambda: inner["f"](inner_store))
    with pytest.raises(wasmtime.Trap):
        exports["run"](store)
    (log,) = instrumented.logs("sandbox.security")
    assert log.log_record.span_id == instrumented.spans("wasm f")[0].context.span_id
    assert [event.name for event in instrumented.spans("wasm run")[0].events] == ["exception"]


def test_out_of_fuel_has_the_fuel_that_was_set(instrumented: Telemetry, load: Any) -> None:
    config = wasmtime.Config()
    config.consume_fuel = True
    store, exports = load(LOOP, config=config, fuel=1000)
    with pytest.raises(wasmtime.Trap):
        exports["f"](store)
    (event,) = events(instrumented, "sandbox.resource")
    assert event == {"sandbox.limit": "fuel", "sandbox.resource.limit": 1000, "wasm.function": "f"}
    assert counted(instrumented, "limit") == {("call", "fuel"): 1}


@pytest.mark.parametrize("size", [None, 300_000])
def test_an_exhausted_stack_has_the_size_that_was_set(
    size: int | None, instrumented: Telemetry, load: Any
) -> None:
    config = wasmtime.Config()
    if size is not None and not hasattr(wasmtime.Config, "max_wasm_stack"):
        pytest.skip("this version of wasmtime cannot set the stack's size")
    if size is not None:
        config.max_wasm_stack = size
    store, exports = load('(module (func $f (export "f") (call $f)))', config=config)
    with pytest.raises(wasmtime.Trap):
        exports["f"](store)
    known = {} if size is None else {"sandbox.resource.limit": size}
    assert events(instrumented, "sandbox.resource") == [
        {"sandbox.limit": "stack", "wasm.function": "f"} | known
    ]


def test_an_epoch_deadline_has_the_ticks_that_were_set(instrumented: Telemetry) -> None:
    config = wasmtime.Config()
    config.epoch_interruption = True
    store = wasmtime.Store(wasmtime.Engine(config))
    store.set_epoch_deadline(3)
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, LOOP), []).exports(store)
    for _ in range(3):
        store.engine.increment_epoch()
    with pytest.raises(wasmtime.Trap):
        exports["f"](store)  # type: ignore[operator] # a function
    assert events(instrumented, "sandbox.resource") == [
        {"sandbox.limit": "epoch", "sandbox.resource.limit": 3, "wasm.function": "f"}
    ]


@pytest.mark.parametrize("end", ["return", "exit", "unreachable", "host"])
def test_other_ends_are_no_events(end: str, instrumented: Telemetry, load: Any) -> None:
    if end == "host":
        store, exports = load(CALLS_HOST, lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            exports["run"](store)
    else:
        store, exports = load(f'(module (func (export "f") {"unreachable" if end != "return" else ""}))')
        if end == "return":
            exports["f"](store)
        else:
            with pytest.raises(wasmtime.Trap):
                exports["f"](store)
    assert events(instrumented, "sandbox.security") == events(instrumented, "sandbox.resource") == []


LIMITS = {
    "memory": ("(module (memory 10))", {"memory_size": PAGE}, "memory", 10 * PAGE, PAGE),
    "table": ("(module (table 10 funcref))", {"table_elements": 2}, "table", 10, 2),
    "instances": ("(module)", {"instances": 0}, "instance", 1, 0),
    "memories": ("(module (memory 1))", {"memories": 0}, "memory", 1, 0),
    "tables": ("(module (table 1 funcref))", {"tables": 0}, "table", 1, 0),
}


@pytest.mark.parametrize("what", LIMITS)
def test_an_instance_beyond_a_limit(what: str, instrumented: Telemetry) -> None:
    text, limits, name, wanted, given = LIMITS[what]
    store = wasmtime.Store()
    store.set_limits(**limits)
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Linker(store.engine).instantiate(store, wasmtime.Module(store.engine, text))
    assert events(instrumented, "sandbox.resource") == [
        {"sandbox.limit": name, "sandbox.resource.usage": wanted, "sandbox.resource.limit": given}
    ]
    assert counted(instrumented, "limit") == {("instantiate", name): 1}
    assert counted(instrumented, "security") == {}


def test_a_component_beyond_a_limit(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    store.set_limits(memory_size=PAGE)
    with pytest.raises(wasmtime.WasmtimeError):
        from_component('(memory 10) (func (export "f"))', store)
    assert counted(instrumented, "limit") == {("instantiate", "memory"): 1}


def test_an_unknown_import_is_refused(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, '(module (import "wasi_snapshot_preview1" "path_open" (func)))')
    with (
        instrumented.tracer_provider.get_tracer("user").start_as_current_span("user"),
        pytest.raises(wasmtime.WasmtimeError, match="unknown import"),
    ):
        wasmtime.Linker(store.engine).instantiate(store, module)
    assert events(instrumented, "sandbox.security") == [
        {
            "sandbox.violation.type": "sv_unknown_import",
            "sandbox.violation.action": "refused",
            "sandbox.violation.resource": "wasi_snapshot_preview1::path_open",
            "sandbox.capability": "filesystem",
        }
    ]
    (log,) = instrumented.logs("sandbox.security")
    (span,) = instrumented.spans("wasm instantiate")
    assert log.log_record.span_id == span.context.span_id
    assert span.parent == instrumented.spans("user")[0].context
    assert (
        span.status.description == "unknown import: `wasi_snapshot_preview1::path_open` has not been defined"
    )
    assert counted(instrumented, "security") == {("instantiate", "sv_unknown_import"): 1}


def test_a_prepared_instance_is_refused_its_unknown_import(instrumented: Telemetry) -> None:
    if not hasattr(wasmtime, "InstancePre"):
        pytest.skip("this version of wasmtime has no InstancePre")
    engine = wasmtime.Engine()
    linker: Any = wasmtime.Linker(engine)
    with pytest.raises(wasmtime.WasmtimeError, match="unknown import"):
        linker.instantiate_pre(wasmtime.Module(engine, '(module (import "env" "f" (func)))'))
    assert counted(instrumented, "security") == {("instantiate", "sv_unknown_import"): 1}


def test_a_components_unknown_import_is_refused(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    text = '(component (import "wasi:filesystem/types@0.2.0" (instance (export "x" (func)))))'
    with pytest.raises(wasmtime.WasmtimeError):
        component.Linker(store.engine).instantiate(store, component.Component(store.engine, text))
    (event,) = events(instrumented, "sandbox.security")
    assert event["sandbox.violation.resource"] == "wasi:filesystem/types@0.2.0"
    assert event["sandbox.capability"] == "filesystem"


@pytest.mark.parametrize(
    "name",
    ["a` has not been defined", "\n\nStack backtrace:", "::" * 20_000, "memory minimum size of 9 pages"],
)
def test_a_hostile_name_is_truncated_and_not_mistaken_for_a_message(
    name: str, instrumented: Telemetry
) -> None:
    store = wasmtime.Store()
    written = name.replace("\n", "\\n")
    module = wasmtime.Module(store.engine, f'(module (import "env" "{written}" (func)))')
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Linker(store.engine).instantiate(store, module)
    (event,) = events(instrumented, "sandbox.security")
    assert event["sandbox.violation.resource"].startswith("env::")
    assert len(event["sandbox.violation.resource"]) <= 128
    assert counted(instrumented, "limit") == {}


def test_a_trap_in_a_start_function_is_counted_as_an_instantiation(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, '(module (memory 1) (data (i32.const 70000) "x"))')
    with pytest.raises(wasmtime.Trap):
        wasmtime.Instance(store, module, [])
    (event,) = events(instrumented, "sandbox.security")
    assert (event["sandbox.violation.type"], event["sandbox.violation.action"]) == (
        "sv_memory_bounds",
        "trapped",
    )
    assert counted(instrumented, "security") == {("instantiate", "sv_memory_bounds"): 1}


class SilentError(Exception):
    """An exception whose message cannot be read."""

    def __str__(self) -> str:
        raise AssertionError


def test_what_a_host_function_raises_in_a_start_function_is_neither(instrumented: Telemetry) -> None:
    def host() -> None:
        raise SilentError

    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, '(module (import "h" "f" (func $f)) (start $f))')
    function = wasmtime.Func(store, wasmtime.FuncType([], []), host)
    with pytest.raises(SilentError):
        wasmtime.Instance(store, module, [function])
    assert counted(instrumented, "security") == counted(instrumented, "limit") == {}
    (span,) = instrumented.spans("wasm instantiate")
    assert (span.attributes or {})["sandbox.verdict.cause"] == "ie_host_error"


GROWN: dict[str, tuple[str, dict[str, int], str, int | None, int]] = {
    "memory": ('(module (memory (export "x") 1))', {"memory_size": 2 * PAGE}, "memory", 2 * PAGE, 11 * PAGE),
    "maximum": ('(module (memory (export "x") 1 2))', {}, "memory", 2 * PAGE, 11 * PAGE),
    "both": ('(module (memory (export "x") 1 2))', {"memory_size": 3 * PAGE}, "memory", 2 * PAGE, 11 * PAGE),
    "table": ('(module (table (export "x") 1 funcref))', {"table_elements": 5}, "table", 5, 11),
    "table's own": ('(module (table (export "x") 1 4 funcref))', {}, "table", 4, 11),
}


@pytest.mark.parametrize("what", GROWN)
def test_what_the_host_cannot_grow(what: str, instrumented: Telemetry, load: Any) -> None:
    text, limits, limit, given, wanted = GROWN[what]
    store, exports = load(text)
    store.set_limits(**limits)
    arguments = (store, 10) if limit == "memory" else (store, 10, None)
    with pytest.raises(wasmtime.WasmtimeError, match="failed to grow"):
        exports["x"].grow(*arguments)
    expected = {"sandbox.limit": limit, "sandbox.resource.limit": given, "sandbox.resource.usage": wanted}
    assert events(instrumented, "sandbox.resource") == [expected]
    assert counted(instrumented, "limit") == {("grow", limit): 1}


def test_a_wrong_way_to_grow_is_no_limit(instrumented: Telemetry, load: Any) -> None:
    store, exports = load('(module (memory (export "m") 1))')
    with pytest.raises(wasmtime.WasmtimeError, match="negative"):
        exports["m"].grow(store, -1)
    with pytest.raises(TypeError, match="missing 2 required positional arguments: 'store' and 'delta'"):
        exports["m"].grow()
    assert counted(instrumented, "limit") == {}


def test_a_size_beyond_the_largest_integer_is_capped(instrumented: Telemetry) -> None:
    config = wasmtime.Config()
    config.wasm_memory64 = True
    store = wasmtime.Store(wasmtime.Engine(config))
    store.set_limits(memory_size=PAGE)
    module = wasmtime.Module(store.engine, "(module (memory i64 0x1000000000000))")
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Linker(store.engine).instantiate(store, module)
    (event,) = events(instrumented, "sandbox.resource")
    assert event["sandbox.resource.usage"] == 2**63 - 1
