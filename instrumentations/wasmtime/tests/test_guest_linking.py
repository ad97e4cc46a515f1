"""A guest gets the host functions for telemetry when it is linked, and whatever else it imports is linked as before."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from harness import Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

GUEST = (Path(__file__).parent / "guests" / "emits.wat").read_text()
ADDRESS, OFF = -1, -4

Call = Callable[..., Any]
Link = Callable[..., Call]


def test_the_programs_linker_is_not_changed(instrumented: Telemetry, link: Link) -> None:
    linker = wasmtime.Linker(wasmtime.Engine())
    link(GUEST, linker)
    with pytest.raises(wasmtime.WasmtimeError, match="item not defined"):
        linker.get(wasmtime.Store(linker.engine), "otel", "log")
    linker.define_func("otel", "log", function_type(3), lambda *_: 7)
    assert link(GUEST, linker)("record", 9, 0, 4) == 7


def function_type(parameters: int) -> wasmtime.FuncType:
    """Return the type of a function from some numbers to one."""
    return wasmtime.FuncType([wasmtime.ValType.i32()] * parameters, [wasmtime.ValType.i32()])


def test_what_the_program_defines_itself_is_not_replaced(instrumented: Telemetry, link: Link) -> None:
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


OTEL = """
  (import "otel" "span_start" (func (param i32 i32) (result i32)))
  (import "otel" "counter_add" (func (param i32 i32 f64) (result i32)))
"""
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
    instrumented: Telemetry, settings: dict[str, Any], link: Link
) -> None:
    guest = link(GUEST)
    assert [guest("span", 0, 4), guest("record", 9, 0, 4), guest("end_span", 1)] == [OFF] * 3
    assert guest("count", 0, 4, 1.0) == 0
    assert instrumented.spans() == []
    assert [value for _, value in instrumented.points("sandbox.guest.count")] == [1]


def test_a_guest_that_outlives_the_instrumentation_emits_nothing(
    telemetry: Telemetry, instrument: Any, link: Link
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
