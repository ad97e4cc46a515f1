"""A span and its log record say why a guest failed: the engine's words, the exit code, the guest's backtrace."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime
from opentelemetry.trace import StatusCode
from wasmtime import component

from harness import Telemetry

EXITS = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const {code}))))"""
DEEP = """(module $deep (func $fall (param i32) (if (i32.eqz (local.get 0)) (then unreachable))
  (call $fall (i32.sub (local.get 0) (i32.const 1)))) (func (export "f") (param i32) (call $fall (local.get 0))))"""
COMPONENT = """(component (core module $m (func (export "f") (param i32) unreachable))
  (core instance $i (instantiate $m)) (func (export "f") (param "x" u32) (canon lift (core func $i "f"))))"""


def record(telemetry: Telemetry) -> dict[str, Any]:
    """Return the attributes of the only log record of an execution."""
    (log,) = telemetry.logs("sandbox.execution")
    return dict(log.log_record.attributes or {})


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_exit_code_is_an_attribute(code: int, instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    store.set_wasi(wasmtime.WasiConfig())
    linker = wasmtime.Linker(store.engine)
    linker.define_wasi()
    exports = linker.instantiate(store, wasmtime.Module(store.engine, EXITS.format(code=code))).exports(store)
    with pytest.raises(wasmtime.ExitTrap):
        exports["_start"](store)  # type: ignore[operator] # a function
    (span,) = instrumented.spans()
    assert (span.attributes or {})["wasm.exit_code"] == record(instrumented)["wasm.exit_code"] == code
    if code:
        assert (span.status.status_code, span.status.description) == (
            StatusCode.ERROR,
            f"Exited with i32 exit status {code}",
        )
    else:
        assert span.status.status_code is StatusCode.UNSET


TRAPS = {
    "unreachable": "wasm `unreachable` instruction executed",
    "(drop (i32.div_s (i32.const 1) (i32.const 0)))": "integer divide by zero",
    "(drop (i32.load (i32.const 70000)))": (
        "memory fault at wasm address 0x11170 in linear memory of size 0x10000: out of bounds memory access"
    ),
}


@pytest.mark.parametrize("body", TRAPS)
def test_the_words_of_a_trap_are_the_description_of_the_status(
    body: str, instrumented: Telemetry, load: Any
) -> None:
    store, exports = load(f'(module (memory 1) (func (export "f") {body}))')
    with pytest.raises(wasmtime.Trap):
        exports["f"](store)
    (span,) = instrumented.spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, TRAPS[body])
    assert record(instrumented)["exception.message"] == TRAPS[body]


def test_the_backtrace_of_the_guest_is_an_exception_event_and_on_the_record(
    instrumented: Telemetry, load: Any
) -> None:
    store, exports = load(DEEP)
    with pytest.raises(wasmtime.Trap):
        exports["f"](store, 2)
    (span,) = instrumented.spans()
    (event,) = span.events
    attributes = dict(event.attributes or {})
    frames = attributes.pop("exception.stacktrace").splitlines()
    assert event.name == "exception"
    assert attributes == {"exception.type": "Trap", "exception.message": TRAPS["unreachable"]}
    assert [frame.partition(" - ")[2] for frame in frames[:3]] == ["deep!fall"] * 3
    assert len(frames) == 4
    assert record(instrumented)["exception.stacktrace"].splitlines() == frames


@pytest.mark.parametrize("name", ["fall", "x" * 10_000, "Caused by:", "$(Stack backtrace:)"])
def test_a_backtrace_is_cut(name: str, instrumented: Telemetry, load: Any) -> None:
    store, exports = load(DEEP.replace("$fall", f'$"{name}"'))
    with pytest.raises(wasmtime.Trap):
        exports["f"](store, 500)
    trace = record(instrumented)["exception.stacktrace"]
    assert len(trace) <= 4096
    assert len(trace.splitlines()) <= 33
    assert instrumented.spans()[0].status.description == TRAPS["unreachable"]


def test_the_trap_of_a_component_says_why_too(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    built = component.Component(store.engine, COMPONENT)
    function: Any = component.Linker(store.engine).instantiate(store, built).get_func(store, "f")
    with pytest.raises(wasmtime.WasmtimeError):
        function(store, 1)
    (span,) = instrumented.spans()
    assert span.status.description == TRAPS["unreachable"]
    assert "m!" in record(instrumented)["exception.stacktrace"]


def test_a_trap_that_propagates_has_its_words_in_all_calls_and_each_call_its_own_backtrace(
    instrumented: Telemetry, load: Any
) -> None:
    inner_store, inner = load('(module $inner (func (export "f") unreachable))')
    store, exports = load(
        '(module $outer (import "h" "f" (func $f)) (func (export "run") (call $f)))',
        lambda: inner["f"](inner_store),
    )
    with pytest.raises(wasmtime.Trap):
        exports["run"](store)
    spans = instrumented.spans()
    assert {span.status.description for span in spans} == {TRAPS["unreachable"]}
    traces = [str((span.events[0].attributes or {})["exception.stacktrace"]) for span in spans]
    assert ["inner!" in traces[0], "outer!" in traces[0]] == [True, False]
    assert ["inner!" in traces[1], "outer!" in traces[1]] == [False, True]


def test_what_a_host_function_raises_is_not_the_engines_reason(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(
        '(module (import "h" "f" (func $f)) (func (export "run") (call $f)))', lambda: 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        exports["run"](store)
    (span,) = instrumented.spans()
    assert (span.status.description, span.events) == ("ie_host_error", ())
    assert record(instrumented)["exception.message"] == "division by zero"


def test_a_call_with_wrong_arguments_did_not_reach_the_guest(instrumented: Telemetry, load: Any) -> None:
    store, exports = load('(module (func (export "f") (param i32)))')
    other = wasmtime.Store()
    built = component.Component(other.engine, COMPONENT)
    function: Any = component.Linker(other.engine).instantiate(other, built).get_func(other, "f")
    closed, of_closed = load('(module (func (export "f")))')
    call_closed = of_closed["f"]
    closed.close()
    wrong: list[Any] = [
        lambda: exports["f"](store),
        lambda: exports["f"](store, 1, 2),
        lambda: exports["f"](store, "one"),
        lambda: exports["f"](store, 1, keyword=2),
        lambda: exports["f"]("no store", 1),
        lambda: call_closed(closed),
        lambda: function(other),
        lambda: function(other, "one"),
    ]
    for call in wrong:
        with pytest.raises((TypeError, ValueError, AttributeError, wasmtime.WasmtimeError)):
            call()
    ((attributes, value),) = instrumented.points("sandbox.executions")
    found = [attributes[f"sandbox.verdict.{name}"] for name in ("status", "actor", "cause")]
    assert (found, value) == (["IE", "host", "ie_invalid_call"], len(wrong))


def test_what_an_unwrapped_host_function_raises_did_reach_the_guest(
    telemetry: Telemetry, instrument: Any, load: Any
) -> None:
    store, exports = load(
        '(module (import "h" "f" (func $f (result i32))) (func (export "run") (drop (call $f))))',
        lambda: "no number",
    )
    instrument()
    with pytest.raises((TypeError, AttributeError, wasmtime.WasmtimeError)):
        exports["run"](store)
    ((attributes, _),) = telemetry.points("sandbox.executions")
    assert attributes["sandbox.verdict.cause"] != "ie_invalid_call"


@pytest.mark.parametrize("settings", [{"host_spans": True}])
def test_values_that_wasmtime_refuses_are_in_no_message(
    instrumented: Telemetry, load: Any, settings: dict[str, Any]
) -> None:
    store, exports = load(
        """(module (import "h" "f" (func $f)) (import "h" "g" (func $g (result i32)))
          (func (export "add") (param i32)) (func (export "f") (call $f)) (func (export "g") (drop (call $g))))""",
        lambda: exports["add"](store, "canary"),
        lambda: "canary",
    )
    wrong: list[Any] = [
        lambda: exports["add"](store, {"key": "canary"}),
        lambda: exports["f"](store),
        lambda: exports["g"](store),
    ]
    for call in wrong:
        with pytest.raises(TypeError, match="canary"):
            call()
    failed = [span for span in instrumented.spans() if not span.status.is_ok]
    assert {span.status.description for span in failed} == {"TypeError raised by wasmtime"}
    records = [log.log_record for log in instrumented.logs("sandbox.execution")]
    recorded = [*(span.to_json() for span in failed), *((log.body, log.attributes) for log in records)]
    assert "canary" not in str(recorded)
    assert "TypeError raised by wasmtime" in str(records[0].attributes)
