"""Stores and instances with a probe live and die as before, on any thread, also after `uninstrument()`."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime._func import FUNCTIONS as HOST_FUNCTIONS

from harness import Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor
from sandscope_instrumentation_wasmtime._probe._store_probe import store_probe
from sandscope_instrumentation_wasmtime._probe._wasi_functions import FUNCTIONS

Start = Callable[..., Any]
Text = Callable[..., str]


def test_an_instance_is_an_instance(instrumented: Telemetry, start: Start, engine: Any) -> None:
    guest = start()
    assert store_probe(guest.store) is not None
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    instance = linker.instantiate(guest.store, wasmtime.Module(engine, '(module (func (export "f")))'))
    assert type(instance) is wasmtime.Instance
    assert set(guest.exports) == {*FUNCTIONS, "memory"}


def test_the_probes_own_modules_are_not_in_the_metrics(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    assert store_probe(guest.store) is not None
    guest("fd_sync", 1)
    assert instrumented.points("wasm.active.instances") == [({}, 1)]
    assert instrumented.points("wasm.memory.usage") == [({}, 2 * 65536)]
    assert len(instrumented.points("wasm.instance.creation.duration")) == 1
    assert [span.name for span in instrumented.spans()] == ["wasm fd_sync"]


def test_stores_are_freed_without_a_collection(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    assert guest.write(1, b"x") == 0
    gc.collect()
    functions = len(getattr(HOST_FUNCTIONS, "handles", ()))
    store = weakref.ref(guest.store)
    gc.disable()
    try:
        del guest
        assert store() is None, "without a collection: nothing refers back to it"
    finally:
        gc.enable()
    assert len(getattr(HOST_FUNCTIONS, "handles", ())) <= functions


def test_a_store_may_be_closed(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    guest.store.close()
    with pytest.raises(ValueError, match="already closed"):
        guest("fd_sync", 1)
    assert store_probe(start().store) is not None


def test_threads_have_their_own_stores(instrumented: Telemetry, start: Start) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            guest = start()
            for _ in range(50):
                assert guest.write(1, str(number).encode()) == 0
                assert guest.open(b"missing") == 44
        except BaseException as error:  # noqa: BLE001 -- all are compared
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert instrumented.points("wasm.file.operations") == [({}, 300)]


def test_exceptions_of_host_functions_cross_unchanged(
    instrumented: Telemetry, start: Start, text: Text
) -> None:
    mine = RuntimeError("mine")

    def prepare(linker: wasmtime.Linker, _store: wasmtime.Store) -> None:
        def raising() -> None:
            raise mine

        linker.define_func("h", "f", wasmtime.FuncType([], []), raising)

    source = text(["fd_sync"], '(func (export "run") (call $f))')
    guest = start(source.replace("(memory", '(import "h" "f" (func $f)) (memory', 1), prepare=prepare)
    with pytest.raises(RuntimeError) as caught:
        guest("run")
    assert caught.value is mine
    assert guest("fd_sync", 99) == 8


@pytest.mark.parametrize("settings", [{"output": True}])
def test_ctrl_c_waits_for_the_guest_and_is_not_lost(
    instrumented: Telemetry, start: Start, text: Text, tmp_path: Path
) -> None:
    more = """(func (export "many") (param $n i32)
      (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 4))
      (loop (drop (call $wasi_fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if 0 (local.get $n))))"""
    out = tmp_path / "out"
    guest = start(text(["fd_write"], more), lambda config: setattr(config, "stdout_file", str(out)))

    def interrupt() -> None:
        while out.stat().st_size == 0:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    def run() -> None:
        guest("many", 20000)
        time.sleep(60)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run()
    thread.join()
    assert out.stat().st_size == 80000
    instrumented.clear()
    assert guest.write(1, b"more") == 0
    assert next(log.log_record.body for log in instrumented.logs()) == "more"


def test_uninstrument_restores_every_attribute(instrument: Any) -> None:
    owners = (wasmtime.Func, wasmtime.Linker, wasmtime.Module, wasmtime.Store)

    def state() -> list[dict[str, Any]]:
        return [dict(vars(owner)) for owner in owners]

    before = state()
    instrument(output=True)
    assert all(now != then for now, then in zip(state(), before, strict=True))
    WasmtimeInstrumentor().uninstrument()
    assert state() == before


def test_guests_go_on_after_uninstrument(telemetry: Telemetry, instrument: Any, start: Start) -> None:
    instrument(output=True)
    guest = start()
    assert guest.open(b"file") == 0
    WasmtimeInstrumentor().uninstrument()
    assert telemetry.points("sandscope.errors") == []
    counted = telemetry.points("wasm.file.operations")
    guest.put(0, 1024, 100)
    assert guest("fd_read", guest.get(8), 0, 1, 12) == 0
    assert guest.memory(1024, 7) == b"content"
    assert telemetry.points("wasm.file.operations") == counted
    assert store_probe(start().store) is None
