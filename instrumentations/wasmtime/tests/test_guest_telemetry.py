"""Guests emit telemetry through host functions; a hostile guest can do no harm with them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime

from harness import Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

OTEL = """
  (import "otel" "span_start" (func $start (param i32 i32) (result i32)))
  (import "otel" "span_end" (func $end (param i32) (result i32)))
  (import "otel" "span_set_attribute" (func $attribute (param i32 i32 i32 i32 i32) (result i32)))
  (import "otel" "log" (func $log (param i32 i32 i32) (result i32)))
  (import "otel" "counter_add" (func $count (param i32 i32 f64) (result i32)))
"""
GUEST = f"""(module $guest {OTEL}
  (memory (export "memory") 1)
  (data (i32.const 0) "name") (data (i32.const 65532) "edge")
  (export "start" (func $start)) (export "end" (func $end)) (export "log" (func $log))
  (func (export "span") (param i32 i32) (result i32) (call $start (local.get 0) (local.get 1)))
  (func (export "end_span") (param i32) (result i32) (call $end (local.get 0)))
  (func (export "count") (param i32 i32 f64) (result i32)
    (call $count (local.get 0) (local.get 1) (local.get 2)))
  (func (export "record") (param i32 i32 i32) (result i32)
    (call $log (local.get 0) (local.get 1) (local.get 2)))
  (func (export "tag") (param i32 i32 i32 i32) (result i32)
    (drop (call $start (i32.const 0) (i32.const 4)))
    (call $attribute (i32.const 1) (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "many") (param $times i32) (result i32) (local $refused i32)
    (loop $again
      (if (i32.lt_s (call $start (i32.const 0) (i32.const 4)) (i32.const 0))
        (then (local.set $refused (i32.add (local.get $refused) (i32.const 1)))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $refused))
  (func (export "flood") (param $times i32) (result i32) (local $refused i32)
    (loop $again
      (if (i32.lt_s (call $log (i32.const 9) (i32.const 0) (i32.const 4)) (i32.const 0))
        (then (local.set $refused (i32.add (local.get $refused) (i32.const 1)))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $refused))
  (func (export "exit") (drop (call $start (i32.const 0) (i32.const 4))) unreachable)
)"""
ADDRESS, INVALID, LIMIT, OFF = -1, -2, -3, -4

Call = Callable[..., Any]


def link(wat: str, linker: wasmtime.Linker | None = None) -> Call:
    """Instantiate a guest by a linker, and return a function that calls its exports by name."""
    linker = linker or wasmtime.Linker(wasmtime.Engine())
    store = wasmtime.Store(linker.engine)
    exports: Any = linker.instantiate(store, wasmtime.Module(linker.engine, wat)).exports(store)
    return lambda name, *arguments: exports[name](store, *arguments)


@pytest.fixture
def guest(instrumented: Telemetry) -> Call:
    """Return a function that calls the guest's exports."""
    return link(GUEST)


def refused(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """Return how many calls were refused, by signal and reason."""
    points = telemetry.points("sandbox.guest.refused")
    return {(a["sandbox.guest.signal"], a["sandbox.guest.reason"]): value for a, value in points}


@pytest.mark.parametrize(
    ("address", "size"), [(65533, 4), (65536, 1), (-1, 1), (0, -1), (-(2**31), 4), (2**31 - 1, 2**31 - 1)]
)
def test_an_address_outside_of_memory_is_an_error_to_the_guest(
    instrumented: Telemetry, guest: Call, address: int, size: int
) -> None:
    """It does not trap, and nothing is emitted."""
    assert guest("span", address, size) == guest("count", address, size, 1.0) == ADDRESS
    assert guest("record", 9, address, size) == ADDRESS
    assert guest("tag", address, size, 0, 4) == guest("tag", 0, 4, address, size) == ADDRESS
    assert refused(instrumented) == {
        ("span", "address"): 1,
        ("count", "address"): 1,
        ("log", "address"): 1,
        ("attribute", "address"): 2,
    }
    assert {span.attributes["sandbox.verdict.status"] for span in instrumented.spans("wasm span")} == {"OK"}  # type: ignore[index]


def test_the_last_bytes_of_memory_are_inside(instrumented: Telemetry, guest: Call) -> None:
    assert guest("span", 65532, 4) == 1
    assert [span.name for span in instrumented.spans()] == ["guest edge", "wasm span"]


@pytest.mark.parametrize("memory", ["", '(memory (export "other") 1)', '(func (export "memory"))'])
def test_a_guest_without_memory_to_read_gets_an_error(instrumented: Telemetry, memory: str) -> None:
    guest = link(f"""(module {OTEL} {memory}
      (func (export "run") (result i32) (call $start (i32.const 0) (i32.const 1))))""")
    assert guest("run") == ADDRESS


def test_open_spans_are_bounded(instrumented: Telemetry, guest: Call) -> None:
    assert guest("many", 5000) == 5000 - 64
    assert len(instrumented.spans()) == 65
    assert refused(instrumented) == {("span", "limit"): 5000 - 64}
    assert guest("many", 1) == 0, "the next call starts anew"


def test_log_records_are_bounded(instrumented: Telemetry, guest: Call) -> None:
    assert guest("flood", 1500) == 500
    assert len(instrumented.logs()) == 1001


def test_long_names_and_values_are_truncated(instrumented: Telemetry) -> None:
    guest = link(f"""(module {OTEL} (memory (export "memory") 200) (data (i32.const 0) "key")
      (func (export "run")
        (memory.fill (i32.const 100) (i32.const 97) (i32.const 10000000))
        (drop (call $start (i32.const 100) (i32.const 10000000)))
        (drop (call $attribute (i32.const 1) (i32.const 0) (i32.const 3) (i32.const 100) (i32.const 10000000)))
        (drop (call $log (i32.const 9) (i32.const 100) (i32.const 10000000)))))""")
    guest("run")
    (span,) = [span for span in instrumented.spans() if span.name.startswith("guest ")]
    assert (len(span.name), len(str((span.attributes or {})["guest.key"]))) == (6 + 128, 1024)
    assert len(str(instrumented.logs()[0].log_record.body)) == 4096


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), float("-inf"), 1e300])
def test_an_invalid_count_is_an_error_to_the_guest(
    instrumented: Telemetry, guest: Call, value: float
) -> None:
    assert guest("count", 0, 4, value) == INVALID
    assert instrumented.points("sandbox.guest.count") == []


def test_an_invalid_argument_is_an_error_to_the_guest(guest: Call) -> None:
    assert [guest("end_span", handle) for handle in (0, 1, -1, 2**31 - 1)] == [INVALID] * 4
    assert [guest("record", severity, 0, 4) for severity in (0, 25, -1)] == [INVALID] * 3
    assert guest("span", 0, 0) == guest("count", 0, 0, 1.0) == guest("count", 8, 4, 1.0) == INVALID


def test_a_guest_cannot_end_the_spans_of_another(instrumented: Telemetry) -> None:
    """Not even those of the guest that called it: the number is not valid in its own call."""
    answers: list[int] = []
    linker = wasmtime.Linker(wasmtime.Engine())
    other = link(GUEST, linker)
    linker.define_func("h", "f", wasmtime.FuncType([], []), lambda: answers.append(other("end_span", 1)))
    victim = link(
        f"""(module {OTEL} (import "h" "f" (func $host)) (memory (export "memory") 1)
          (data (i32.const 0) "mine")
          (func (export "run") (result i32)
            (drop (call $start (i32.const 0) (i32.const 4))) (call $host) (call $end (i32.const 1))))""",
        linker,
    )
    assert victim("run") == 0
    assert answers == [INVALID]


def test_a_trap_ends_what_is_open(instrumented: Telemetry, guest: Call) -> None:
    with pytest.raises(wasmtime.Trap):
        guest("exit")
    (span,) = instrumented.spans("guest name")
    assert span.status.description == "re_unreachable"


def test_a_host_function_for_telemetry_that_the_program_calls_has_no_caller(guest: Call) -> None:
    """The guest exports it like any other function; there is no memory to read from."""
    assert guest("start", 0, 4) == ADDRESS
    assert guest("end", 1) == INVALID


# -- Dylibso's Observe API


@pytest.mark.parametrize(
    ("module", "pointer", "separator"), [("dylibso:observe/api", "i32", "-"), ("dylibso_observe", "i64", "_")]
)
def test_the_observe_api_by_both_of_its_names(
    instrumented: Telemetry, module: str, pointer: str, separator: str
) -> None:
    guest = link(f"""(module
      (import "{module}" "span{separator}enter" (func $enter (param {pointer} i32)))
      (import "{module}" "span{separator}exit" (func $exit))
      (import "{module}" "span{separator}tags" (func $tags (param {pointer} i32)))
      (import "{module}" "log" (func $log (param i32 {pointer} i32)))
      (import "{module}" "metric" (func $metric (param i32 {pointer} i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "outer") (data (i32.const 16) "inner") (data (i32.const 32) "a:b,c:d:e")
      (data (i32.const 64) "text") (data (i32.const 80) "hits:3|c") (data (i32.const 96) "size:1|g")
      (func (export "run")
        (call $enter ({pointer}.const 0) (i32.const 5))
        (call $enter ({pointer}.const 16) (i32.const 5))
        (call $tags ({pointer}.const 32) (i32.const 9))
        (call $log (i32.const 2) ({pointer}.const 64) (i32.const 4))
        (call $log (i32.const 9) ({pointer}.const 64) (i32.const 4))
        (call $metric (i32.const 1) ({pointer}.const 80) (i32.const 8))
        (call $metric (i32.const 1) ({pointer}.const 96) (i32.const 8))
        (call $metric (i32.const 2) ({pointer}.const 80) (i32.const 8))
        (call $enter ({pointer}.const -1) (i32.const 5)) (call $tags ({pointer}.const -1) (i32.const 5))
        (call $log (i32.const 1) ({pointer}.const -1) (i32.const 5))
        (call $metric (i32.const 1) ({pointer}.const -1) (i32.const 5))
        (call $exit) (call $exit) (call $exit)))""")
    guest("run")
    outer, inner = instrumented.spans("guest outer")[0], instrumented.spans("guest inner")[0]
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    assert dict(inner.attributes or {}) == {"sandbox.runtime": "wasmtime", "guest.a": "b", "guest.c": "d:e"}
    log = instrumented.logs()[0].log_record
    assert (log.body, log.severity_text, log.span_id) == ("text", "WARN", inner.context.span_id)
    assert [value for _, value in instrumented.points("sandbox.guest.count")] == [3]
    assert refused(instrumented) == {
        ("span", "address"): 1,
        ("span", "invalid"): 1,
        ("attribute", "address"): 1,
        ("log", "address"): 1,
        ("log", "invalid"): 1,
        ("count", "address"): 1,
        ("count", "invalid"): 2,
    }


# -- linking


def test_the_programs_linker_is_not_changed(instrumented: Telemetry) -> None:
    linker = wasmtime.Linker(wasmtime.Engine())
    link(GUEST, linker)
    with pytest.raises(wasmtime.WasmtimeError, match="item not defined"):
        linker.get(wasmtime.Store(linker.engine), "otel", "log")
    linker.define_func("otel", "log", function_type(3), lambda *_: 7)
    assert link(GUEST, linker)("record", 9, 0, 4) == 7


def function_type(parameters: int) -> wasmtime.FuncType:
    """Return the type of a function from some numbers to one."""
    return wasmtime.FuncType([wasmtime.ValType.i32()] * parameters, [wasmtime.ValType.i32()])


def test_what_the_program_defines_itself_is_not_replaced(instrumented: Telemetry) -> None:
    linker = wasmtime.Linker(wasmtime.Engine())
    linker.allow_shadowing = True
    linker.define_func("otel", "span_start", function_type(2), lambda *_: 7)
    guest = link(GUEST, linker)
    assert guest("span", 0, 4) == 7
    assert guest("count", 0, 4, 1.0) == 0
    assert [span.name for span in instrumented.spans()] == ["wasm span", "wasm count"]


def unlinked(wat: str, method: str = "instantiate") -> str:
    """Return wasmtime's message for a guest that cannot be linked."""
    linker = wasmtime.Linker(wasmtime.Engine())
    linker.define_func("h", "known", wasmtime.FuncType([], []), lambda: None)
    module = wasmtime.Module(linker.engine, wat)
    arguments = (wasmtime.Store(linker.engine), module) if method == "instantiate" else (module,)
    with pytest.raises(wasmtime.WasmtimeError) as caught:
        getattr(linker, method)(*arguments)
    return str(caught.value).splitlines()[0]  # older versions add the stack of this process


WRONG = [
    f'(module {OTEL} (import "h" "unknown" (func)) (import "h" "known" (func)))',
    f'(module {OTEL} (import "h" "known" (func (param i32))))',
    '(module (import "otel" "span_start" (func (param i64 i32) (result i32))))',
    '(module (import "otel" "span_end" (func (param i32))))',
    '(module (import "otel" "log" (memory 1)))',
    '(module (import "otel" "span_stop" (func)))',
    '(module (import "dylibso:observe/instrument" "enter" (func (param i32))))',
]


@pytest.mark.parametrize("wat", WRONG)
def test_what_cannot_be_linked_fails_as_in_plain_wasmtime(
    telemetry: Telemetry, wat: str, request: pytest.FixtureRequest
) -> None:
    known = wat.replace(OTEL, "")
    plain = unlinked(known)
    request.getfixturevalue("instrumented")
    assert unlinked(wat) == unlinked(known) == plain


@pytest.mark.skipif(not hasattr(wasmtime, "InstancePre"), reason="this version has no InstancePre")
def test_a_prepared_instance_gets_no_host_functions(instrumented: Telemetry) -> None:
    """It would have to be defined in the program's linker."""
    assert "unknown import: `otel::span_start`" in unlinked(GUEST, "instantiate_pre")


@pytest.mark.parametrize("settings", [{"guest_telemetry": False}])
def test_it_can_be_turned_off(instrumented: Telemetry, settings: dict[str, Any]) -> None:
    assert "unknown import: `otel::span_start`" in unlinked(GUEST)


@pytest.mark.parametrize("settings", [{"spans": "off"}])
def test_without_spans_only_counts_are_accepted(
    instrumented: Telemetry, settings: dict[str, Any], guest: Call
) -> None:
    assert [guest("span", 0, 4), guest("record", 9, 0, 4), guest("end_span", 1)] == [OFF] * 3
    assert guest("count", 0, 4, 1.0) == 0
    assert instrumented.spans() == []
    assert [value for _, value in instrumented.points("sandbox.guest.count")] == [1]


def test_a_guest_that_outlives_the_instrumentation_emits_nothing(
    telemetry: Telemetry, instrument: Any
) -> None:
    instrument()
    guest = link(GUEST)
    WasmtimeInstrumentor().uninstrument()
    assert guest("span", 0, 4) == guest("count", 0, 4, 1.0) == OFF
    assert telemetry.spans() == []
    assert telemetry.points("sandbox.guest.count") == []


def test_items_of_another_store_or_engine_fail_as_in_plain_wasmtime(instrumented: Telemetry) -> None:
    """The engine would abort the process if they were put into one linker."""
    linker, other = wasmtime.Linker(wasmtime.Engine()), wasmtime.Store()
    module = wasmtime.Module(linker.engine, GUEST)
    with pytest.raises(wasmtime.WasmtimeError):
        linker.instantiate(other, module)
    foreign = wasmtime.Store(linker.engine)
    linker.define(foreign, "otel", "log", wasmtime.Func(foreign, function_type(3), lambda *_: 0))
    with pytest.raises(wasmtime.WasmtimeError):
        linker.instantiate(wasmtime.Store(linker.engine), module)


def test_what_is_closed_fails_as_in_plain_wasmtime(instrumented: Telemetry) -> None:
    linker = wasmtime.Linker(wasmtime.Engine())
    module, store = wasmtime.Module(linker.engine, GUEST), wasmtime.Store(linker.engine)
    store.close()
    with pytest.raises(ValueError, match="already closed"):
        linker.instantiate(store, module)
    linker.close()
    with pytest.raises(ValueError, match="already closed"):
        linker.instantiate(wasmtime.Store(linker.engine), module)


@pytest.mark.parametrize("arguments", [(), (1,), (1, 2), (1, 2, 3)])
def test_wrong_arguments_fail_as_in_plain_wasmtime(
    instrumented: Telemetry, arguments: tuple[Any, ...]
) -> None:
    linker: Any = wasmtime.Linker(wasmtime.Engine())
    with pytest.raises((TypeError, AttributeError)):
        linker.instantiate(*arguments)


def host_functions() -> int:
    """Return how many host functions wasmtime keeps; for an older version, how many slots."""
    slab = wasmtime._func.FUNCTIONS
    return len(slab.handles if hasattr(slab, "handles") else slab.list)


def test_stores_are_freed_with_their_functions(instrumented: Telemetry) -> None:
    linker = wasmtime.Linker(wasmtime.Engine())
    module = wasmtime.Module(linker.engine, GUEST)

    def instantiate() -> weakref.ref[wasmtime.Store]:
        store = wasmtime.Store(linker.engine)
        exports: Any = linker.instantiate(store, module).exports(store)
        exports["span"](store, 0, 4)
        return weakref.ref(store)

    gc.disable()
    try:
        assert instantiate()() is None, "no cycle, and no host function, holds the store"
        kept = host_functions()
        for _ in range(20):
            instantiate()
        assert host_functions() == kept
    finally:
        gc.enable()


def test_threads_may_share_a_linker(instrumented: Telemetry) -> None:
    """A span belongs to the call on the thread that started the span."""
    linker = wasmtime.Linker(wasmtime.Engine())
    module = wasmtime.Module(linker.engine, GUEST)
    answers: list[int] = []

    def work() -> None:
        for _ in range(25):
            store = wasmtime.Store(linker.engine)
            exports: Any = linker.instantiate(store, module).exports(store)
            answers.append(exports["span"](store, 0, 4))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [1] * 100
    calls = {span.context.span_id for span in instrumented.spans("wasm span")}
    assert {span.parent and span.parent.span_id for span in instrumented.spans("guest name")} == calls


FORKS = """
import os, threading, time, wasmtime
from opentelemetry.sdk.trace import TracerProvider
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor
from sandscope_instrumentation_wasmtime._guest_telemetry import _host_function

WasmtimeInstrumentor().instrument(tracer_provider=TracerProvider(shutdown_on_exit=False))
linker = wasmtime.Linker(wasmtime.Engine())
module = wasmtime.Module(linker.engine, '(module (import "otel" "span_end" (func (param i32) (result i32))))')
held = threading.Event()

def hold():
    with _host_function._lock:
        held.set()
        time.sleep(300)

threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    linker.instantiate(wasmtime.Store(linker.engine), module)
    os._exit(0)
deadline = time.monotonic() + 60
status = None
while status is None and time.monotonic() < deadline:
    ended, code = os.waitpid(child, os.WNOHANG)
    status = code if ended else None
    time.sleep(0.01)
if status is None:
    os.kill(child, 9)
    os.waitpid(child, 0)
print("ended", status, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_can_link_while_a_thread_of_its_parent_does() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=False)
    assert done.stdout == "ended 0\n", done.stderr
