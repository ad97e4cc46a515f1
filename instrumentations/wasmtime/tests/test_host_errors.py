"""The verdict is based on what a host function raised, whichever exception wasmtime raises then."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from opentelemetry.instrumentation.utils import suppress_instrumentation
from wasmtime import _func, component

from harness import Telemetry
from sandscope_instrumentation_wasmtime._evidence import _host_errors

CALLS_HOST = '(module $outer (import "h" "f" (func $f)) (func (export "run") (call $f)))'
UNREACHABLE = '(module $inner (func (export "f") unreachable))'
HOST_COMPONENT = """(component (import "h" (func $h)) (core func $lower (canon lower (func $h)))
  (core module $m (import "" "h" (func $h)) (func (export "f") (call $h)))
  (core instance $i (instantiate $m (with "" (instance (export "h" (func $lower))))))
  (func (export "f") (canon lift (core func $i "f"))))"""
PLAIN_COMPONENT = """(component (core module $m (func (export "f") unreachable))
  (core instance $i (instantiate $m)) (func (export "f") (canon lift (core func $i "f"))))"""


def causes(telemetry: Telemetry) -> list[tuple[str, object]]:
    """Return name and cause of each execution, the first ended first."""
    return [(span.name, (span.attributes or {})["sandbox.verdict.cause"]) for span in telemetry.spans()]


def component_calling(host: Callable[..., None]) -> tuple[wasmtime.Store, Any]:
    """Return a store and the function of a component that calls a host function."""
    store = wasmtime.Store()
    linker = component.Linker(store.engine)
    with linker.root() as root:
        root.add_func("h", host)
    built = component.Component(store.engine, HOST_COMPONENT)
    return store, linker.instantiate(store, built).get_func(store, "f")


@pytest.mark.parametrize("exit_code", [None, 0, 3])
def test_an_end_that_propagates_through_other_guests_has_one_cause(
    exit_code: int | None, instrumented: Telemetry, load: Any
) -> None:
    if exit_code is None:
        inner_store, inner = load(UNREACHABLE)
    else:
        inner_store = wasmtime.Store()
        inner_store.set_wasi(wasmtime.WasiConfig())
        linker = wasmtime.Linker(inner_store.engine)
        linker.define_wasi()
        text = f"""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1) (func (export "f") (call $exit (i32.const {exit_code}))))"""
        inner = linker.instantiate(inner_store, wasmtime.Module(inner_store.engine, text)).exports(
            inner_store
        )
    middle_store, middle = load(CALLS_HOST, lambda: inner["f"](inner_store))
    store, exports = load(CALLS_HOST, lambda: middle["run"](middle_store))
    with pytest.raises((wasmtime.Trap, wasmtime.ExitTrap)):
        exports["run"](store)
    cause = {None: "re_unreachable", 0: "normal_exit", 3: "re_exit_code"}[exit_code]
    assert causes(instrumented) == [("wasm f", cause), ("wasm run", cause), ("wasm run", cause)]


def test_a_components_trap_that_propagates_through_a_module_keeps_its_cause(
    instrumented: Telemetry, load: Any
) -> None:
    inner = wasmtime.Store()
    built = component.Component(inner.engine, PLAIN_COMPONENT)
    function = component.Linker(inner.engine).instantiate(inner, built).get_func(inner, "f")
    assert function is not None
    store, exports = load(CALLS_HOST, lambda: function(inner))
    with pytest.raises(wasmtime.WasmtimeError):
        exports["run"](store)
    assert causes(instrumented) == [("wasm f", "re_unreachable"), ("wasm run", "re_unreachable")]


def test_a_modules_trap_that_propagates_through_a_component_keeps_its_cause(
    instrumented: Telemetry, load: Any
) -> None:
    inner_store, inner = load(UNREACHABLE)
    store, function = component_calling(lambda _store: inner["f"](inner_store))
    with pytest.raises(wasmtime.Trap):
        function(store)
    assert causes(instrumented) == [("wasm f", "re_unreachable"), ("wasm f", "re_unreachable")]


def test_a_trap_that_the_host_catches_does_not_decide_on_what_it_raises_then(
    instrumented: Telemetry, load: Any
) -> None:
    inner_store, inner = load(UNREACHABLE)

    def host() -> None:
        try:
            inner["f"](inner_store)
        except wasmtime.Trap:
            raise wasmtime.WasmtimeError("wasm trap: interrupt") from None

    store, exports = load(CALLS_HOST, host)
    with pytest.raises(wasmtime.WasmtimeError):
        exports["run"](store)
    assert causes(instrumented) == [("wasm f", "re_unreachable"), ("wasm run", "ie_host_error")]


def test_what_a_host_function_catches_is_no_failure(instrumented: Telemetry, load: Any) -> None:
    inner_store, inner = load(UNREACHABLE)

    def host() -> None:
        with pytest.raises(wasmtime.Trap):
            inner["f"](inner_store)

    store, exports = load(CALLS_HOST, host)
    exports["run"](store)
    assert causes(instrumented) == [("wasm f", "re_unreachable"), ("wasm run", "normal_exit")]


def test_another_threads_exception_does_not_decide_on_a_trap(
    instrumented: Telemetry, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, exports = load(UNREACHABLE)
    theirs = KeyError("of another thread")
    monkeypatch.setattr(_func, "LAST_EXCEPTION", theirs)  # as it is when that thread's host has just raised
    with pytest.raises(KeyError) as caught:
        exports["f"](store)
    assert caught.value is theirs
    assert causes(instrumented) == [("wasm f", "re_unreachable")]


def test_another_threads_exception_does_not_decide_on_a_components_trap(
    instrumented: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wasmtime.component import _enter

    store = wasmtime.Store()
    built = component.Component(store.engine, PLAIN_COMPONENT)
    function = component.Linker(store.engine).instantiate(store, built).get_func(store, "f")
    assert function is not None
    monkeypatch.setattr(_enter, "LAST_EXCEPTION", KeyError("of another thread"))
    with pytest.raises(KeyError):
        function(store)
    assert causes(instrumented) == [("wasm f", "re_unreachable")]


def test_a_host_error_is_known_where_another_thread_took_the_exception(
    instrumented: Telemetry, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner_store, inner = load(UNREACHABLE)
    store, exports = load(CALLS_HOST, lambda: inner["f"](inner_store))
    wrong_store, wrong = load(CALLS_HOST, lambda: 5)

    def taken() -> None:
        _func.LAST_EXCEPTION = None

    monkeypatch.setattr(_func, "maybe_raise_last_exn", taken)
    for function, its in ((exports["run"], store), (wrong["run"], wrong_store)):
        with pytest.raises(wasmtime.WasmtimeError, match="python exception"):
            function(its)
    assert causes(instrumented)[1:] == [("wasm run", "re_unreachable"), ("wasm run", "ie_host_error")]


def test_threads_that_raise_at_the_same_time_have_their_own_verdicts(instrumented: Telemetry) -> None:
    engine = wasmtime.Engine()
    raises = wasmtime.Module(engine, CALLS_HOST)
    traps = wasmtime.Module(engine, UNREACHABLE)
    seen: Counter[str] = Counter()

    def host() -> None:
        raise KeyError("host")

    # Made and released on this thread: older versions of wasmtime register host functions without a lock.
    stores = [wasmtime.Store(engine) for _ in range(2)]
    host_functions = [wasmtime.Func(store, wasmtime.FuncType([], []), host) for store in stores]

    def raise_in_host(store: wasmtime.Store, func: wasmtime.Func) -> None:
        for _ in range(200):
            with pytest.raises((KeyError, wasmtime.WasmtimeError)):
                wasmtime.Instance(store, raises, [func]).exports(store)["run"](store)  # type: ignore[operator]

    def trap() -> None:
        for _ in range(200):
            store = wasmtime.Store(engine)
            try:
                wasmtime.Instance(store, traps, []).exports(store)["f"](store)  # type: ignore[operator]
            except (KeyError, wasmtime.Trap) as error:
                seen[type(error).__name__] += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            *(
                threading.Thread(target=raise_in_host, args=pair)
                for pair in zip(stores, host_functions, strict=True)
            ),
            *(threading.Thread(target=trap) for _ in range(2)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert seen.total() == 400
    assert Counter(causes(instrumented)) == {
        ("wasm run", "ie_host_error"): 400,
        ("wasm f", "re_unreachable"): 400,
    }


@pytest.mark.parametrize("how", ["instance", "linker"])
def test_an_exception_in_a_start_function_does_not_decide_on_the_next_call(
    how: str, instrumented: Telemetry, load: Any
) -> None:
    def host() -> None:
        raise KeyError("start")

    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, '(module (import "h" "f" (func $f)) (start $f))')
    linker = wasmtime.Linker(store.engine)
    linker.define_func("h", "f", wasmtime.FuncType([], []), host)
    func = wasmtime.Func(store, wasmtime.FuncType([], []), host)
    with pytest.raises(KeyError):
        _ = linker.instantiate(store, module) if how == "linker" else wasmtime.Instance(store, module, [func])
    inner_store, inner = load(UNREACHABLE)
    with pytest.raises(wasmtime.Trap):
        inner["f"](inner_store)
    assert causes(instrumented)[-1] == ("wasm f", "re_unreachable")


def test_an_exception_under_suppression_does_not_decide_on_the_next_call(
    instrumented: Telemetry, load: Any
) -> None:
    def host() -> None:
        raise KeyError("suppressed")

    store, exports = load(CALLS_HOST, host)
    inner_store, inner = load(UNREACHABLE)
    with suppress_instrumentation(), pytest.raises(KeyError):
        exports["run"](store)
    with pytest.raises(wasmtime.Trap):
        inner["f"](inner_store)
    assert causes(instrumented) == [("wasm f", "re_unreachable")]


class DeniedError(Exception):
    """An exception that supports weak references."""


@pytest.mark.usefixtures("instrumented")
def test_nothing_keeps_an_exception_or_its_frames_after_the_call(load: Any) -> None:
    kept: list[weakref.ref[Any]] = []

    def call() -> None:
        def host() -> None:
            error = DeniedError()
            kept.append(weakref.ref(error))
            raise error

        store, exports = load(CALLS_HOST, host)
        kept.extend([weakref.ref(store), weakref.ref(host)])
        with contextlib.suppress(DeniedError):
            exports["run"](store)

    call()
    gc.collect()
    assert _host_errors._thread.host_error is None
    assert [reference() for reference in kept] == [None, None, None]


def test_a_trap_keeps_its_cause_also_in_a_host_function_that_is_older_than_the_instrumentation(
    telemetry: Telemetry, instrument: Callable[..., None], load: Any
) -> None:
    inner_store, inner = load(UNREACHABLE)
    store, exports = load(CALLS_HOST, lambda: inner["f"](inner_store))
    functions = inner["f"], exports["run"]
    of_component = component_calling(lambda _store: inner["f"](inner_store))
    instrument()
    with pytest.raises(wasmtime.Trap):
        functions[1](store)
    with pytest.raises(wasmtime.Trap):
        of_component[1](of_component[0])
    assert [cause for _, cause in causes(telemetry)] == ["re_unreachable"] * 4


def test_an_error_that_a_components_host_function_makes_and_handles_decides_nothing(
    instrumented: Telemetry, load: Any
) -> None:
    inner_store, inner = load(UNREACHABLE)

    def host(_store: Any) -> None:
        with contextlib.suppress(wasmtime.WasmtimeError):
            raise wasmtime.WasmtimeError("python exception")
        inner["f"](inner_store)

    store, function = component_calling(host)
    with pytest.raises(wasmtime.Trap):
        function(store)
    assert [cause for _, cause in causes(instrumented)] == ["re_unreachable", "re_unreachable"]


def test_a_trap_that_a_host_function_makes_while_it_handles_an_exception_decides_nothing(
    instrumented: Telemetry, load: Any
) -> None:
    inner_store, inner = load(UNREACHABLE)

    def host() -> None:
        try:
            raise KeyError("handled")
        except KeyError:
            wasmtime.Trap("python exception")
        inner["f"](inner_store)

    store, exports = load(CALLS_HOST, host)
    with pytest.raises(wasmtime.Trap):
        exports["run"](store)
    assert causes(instrumented) == [("wasm f", "re_unreachable"), ("wasm run", "re_unreachable")]
