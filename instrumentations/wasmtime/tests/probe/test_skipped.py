"""Where the probe would change the program it skips the guest, and logs each reason once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime

from harness import Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor
from sandscope_instrumentation_wasmtime._probe import _preconditions, _skip_reasons
from sandscope_instrumentation_wasmtime._probe._store_probe import living, store_probe
from sandscope_instrumentation_wasmtime._probe._wasi_functions import WASI

Start = Callable[..., Any]
Text = Callable[..., str]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what returns the warnings so far."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def with_wasi(store: wasmtime.Store) -> wasmtime.Store:
    """Return the store with a WASI configuration."""
    store.set_wasi(wasmtime.WasiConfig())
    return store


@pytest.mark.parametrize("meter", ["consume_fuel", "epoch_interruption"])
def test_an_engine_that_counts_the_guests_steps_and_is_older(
    telemetry: Telemetry, start: Start, said: Callable[[], list[str]], meter: str
) -> None:
    config = wasmtime.Config()
    setattr(config, meter, True)
    WasmtimeInstrumentor().instrument(**telemetry.providers, probe=True)
    try:
        store = with_wasi(wasmtime.Store(wasmtime.Engine(config)))
        store.set_fuel(1000) if meter == "consume_fuel" else store.set_epoch_deadline(1)
        assert start(store=store, engine=store.engine).write(1, b"x") == 0
    finally:
        WasmtimeInstrumentor().uninstrument()
    assert store_probe(store) is None
    assert _skip_reasons.METERED in said()[0]


def test_an_engine_that_refuses_the_probes_modules(
    instrumented: Telemetry, start: Start, said: Callable[[], list[str]]
) -> None:
    config = wasmtime.Config()
    config.wasm_multi_memory = False
    store = with_wasi(wasmtime.Store(wasmtime.Engine(config)))
    assert start(store=store, engine=store.engine).write(1, b"x") == 0
    assert store_probe(store) is None
    assert _skip_reasons.REFUSED in said()[0]


OTHER_MODULES = {
    "no memory": (_skip_reasons.NO_MEMORY, "", "(memory 1)"),
    "another export": (_skip_reasons.NO_MEMORY, '(global (export "memory") i32 (i32.const 0))', "(memory 1)"),
    "64 bits": (_skip_reasons.NO_MEMORY, "", '(memory (export "memory") i64 1)'),
    "start": (_skip_reasons.STARTS, "(func $start) (start $start)", '(memory (export "memory") 1)'),
    "re-export": (
        _skip_reasons.EXPORTS_IMPORT,
        '(export "hand" (func $wasi_fd_sync))',
        '(memory (export "memory") 1)',
    ),
}


@pytest.mark.parametrize("case", OTHER_MODULES)
def test_a_module_that_is_not_as_usual(
    instrumented: Telemetry, start: Start, text: Text, said: Callable[[], list[str]], case: str
) -> None:
    reason, more, memory = OTHER_MODULES[case]
    guest = start(text(["fd_sync"], more, memory))
    if reason != _skip_reasons.NO_MEMORY:
        assert guest("fd_sync", 99) == 8
    assert store_probe(guest.store) is None
    assert [reason in message for message in said()] == [True]


def test_shared_memory(
    instrumented: Telemetry, start: Start, text: Text, said: Callable[[], list[str]]
) -> None:
    config = wasmtime.Config()
    config.wasm_threads = True
    if hasattr(wasmtime.Config, "shared_memory"):
        config.shared_memory = True
    store = with_wasi(wasmtime.Store(wasmtime.Engine(config)))
    source = text(["fd_sync"], memory='(memory (export "memory") 1 1 shared)')
    start(source, store=store, engine=store.engine)
    assert store_probe(store) is None
    assert [_skip_reasons.NO_MEMORY in message for message in said()] == [True]


def test_a_module_that_was_serialized_and_has_other_imports(
    instrumented: Telemetry, start: Start, text: Text, engine: wasmtime.Engine, said: Callable[[], list[str]]
) -> None:
    def prepare(linker: wasmtime.Linker, store: wasmtime.Store) -> None:
        linker.define_func("h", "f", wasmtime.FuncType([], []), lambda: None)

    source = text(["fd_sync"])
    alone = wasmtime.Module.deserialize(engine, wasmtime.Module(engine, source).serialize())
    guest = start(alone)
    assert guest("fd_sync", 99) == 8
    assert store_probe(guest.store) is not None
    source = source.replace("(memory", '(import "h" "f" (func)) (memory', 1)
    module = wasmtime.Module.deserialize(engine, wasmtime.Module(engine, source).serialize())
    guest = start(module, prepare=prepare)
    assert guest("fd_sync", 99) == 8
    assert store_probe(guest.store) is None
    assert [_skip_reasons.UNKNOWN in message for message in said()] == [True]


def test_a_serialized_module_that_starts_is_started_once(
    instrumented: Telemetry, start: Start, text: Text, engine: wasmtime.Engine, tmp_path: Any
) -> None:
    more = """(data (i32.const 1024) "started\\0a") (func $start
      (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 8))
      (drop (call $wasi_fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))) (start $start)"""
    module = wasmtime.Module(engine, text(["fd_write"], more))
    module = wasmtime.Module.deserialize(engine, module.serialize())
    start(module, lambda config: setattr(config, "stdout_file", str(tmp_path / "out")))
    assert (tmp_path / "out").read_text() == "started\n"


def test_functions_of_the_programs_own(
    instrumented: Telemetry, start: Start, text: Text, said: Callable[[], list[str]]
) -> None:
    called: list[int] = []

    def fd_sync(descriptor: int) -> int:
        called.append(descriptor)
        return 7

    def prepare(linker: wasmtime.Linker, _store: wasmtime.Store) -> None:
        linker.allow_shadowing = True
        kind = wasmtime.FuncType([wasmtime.ValType.i32()], [wasmtime.ValType.i32()])
        linker.define_func(WASI, "fd_sync", kind, fd_sync)

    guest = start(text(["fd_sync"]), prepare=prepare)
    assert (guest("fd_sync", 5), called) == (7, [5])
    assert store_probe(guest.store) is None
    assert [_skip_reasons.OTHER_WASI in message for message in said()] == [True]


@pytest.mark.parametrize("how", ["define", "define_instance", "define_module"])
def test_functions_of_another_guest(
    instrumented: Telemetry, start: Start, text: Text, engine: wasmtime.Engine, how: str
) -> None:
    source = '(module (func (export "fd_sync") (param i32) (result i32) i32.const 9))'
    own = wasmtime.Module(engine, source)

    def prepare(linker: wasmtime.Linker, store: wasmtime.Store) -> None:
        linker.allow_shadowing = True
        instance = wasmtime.Instance(store, own, [])
        if how == "define":
            linker.define(store, module=WASI, name="fd_sync", item=instance.exports(store)["fd_sync"])
        elif how == "define_instance":
            linker.define_instance(store, WASI, instance)
        else:
            linker.define_module(store, WASI, own)

    guest = start(text(["fd_sync"]), prepare=prepare)
    assert guest("fd_sync", 5) == 9
    assert store_probe(guest.store) is None


@pytest.mark.skipif(not hasattr(wasmtime, "InstancePre"), reason="this wasmtime has none")
def test_a_prepared_instance(
    instrumented: Telemetry, engine: wasmtime.Engine, text: Text, said: Callable[[], list[str]]
) -> None:
    store, linker = with_wasi(wasmtime.Store(engine)), wasmtime.Linker(engine)
    linker.define_wasi()
    linker.instantiate_pre(wasmtime.Module(engine, '(module (func (export "f")))'))
    assert said() == []
    prepared = linker.instantiate_pre(wasmtime.Module(engine, text(["fd_sync"])))
    assert prepared.instantiate(store).exports(store)["fd_sync"](store, 99) == 8  # type: ignore[operator]
    assert store_probe(store) is None
    assert [_skip_reasons.PREPARED in message for message in said()] == [True]


def test_a_store_and_a_linker_that_are_older(
    telemetry: Telemetry, start: Start, engine: wasmtime.Engine, text: Text, said: Callable[[], list[str]]
) -> None:
    store, linker = with_wasi(wasmtime.Store(engine)), wasmtime.Linker(engine)
    linker.define_wasi()
    WasmtimeInstrumentor().instrument(**telemetry.providers, probe=True)
    try:
        module = wasmtime.Module(engine, text(["fd_sync"]))
        linker.instantiate(with_wasi(wasmtime.Store(engine)), module)
        start(text(["fd_sync"]), store=store)
    finally:
        WasmtimeInstrumentor().uninstrument()
    assert store_probe(store) is None
    first, second = said()
    assert _skip_reasons.OTHER_WASI in first
    assert _skip_reasons.OLDER_STORE in second


def test_guests_that_call_nothing_of_interest_are_not_mentioned(
    instrumented: Telemetry, start: Start, said: Callable[[], list[str]]
) -> None:
    source = f'(module (import "{WASI}" "sched_yield" (func (result i32))) (memory (export "memory") 1))'
    guest = start(source)
    assert store_probe(guest.store) is None
    assert said() == []


def test_a_store_with_very_many_guests(
    instrumented: Telemetry,
    start: Start,
    text: Text,
    engine: wasmtime.Engine,
    said: Callable[[], list[str]],
) -> None:
    module = wasmtime.Module(engine, text(["fd_sync"]))
    first = start(module)
    guests = [first, *(start(module, store=first.store) for _ in range(1000))]
    for guest in guests:
        guest("fd_sync", 99)
    assert instrumented.points("wasm.file.operations") == [({}, 1000)]
    assert [_skip_reasons.FULL in message for message in said()] == [True]


def test_very_many_stores(
    instrumented: Telemetry, start: Start, monkeypatch: pytest.MonkeyPatch, said: Callable[[], list[str]]
) -> None:
    first = start()
    monkeypatch.setattr(_preconditions, "_MOST_STORES", len(living))
    second = start()
    assert store_probe(second.store) is None
    assert [_skip_reasons.ADDRESS_SPACE in message for message in said()] == [True]
    del first
    third = start()
    assert store_probe(third.store) is not None, "the first store is gone"


LIMITED_PROGRAM = """
import logging, resource, wasmtime
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor
resource.setrlimit(resource.RLIMIT_AS, (1 << 35, resource.RLIM_INFINITY))
WasmtimeInstrumentor().instrument(probe=True)
store = wasmtime.Store()
store.set_wasi(wasmtime.WasiConfig())
linker = wasmtime.Linker(store.engine)
linker.define_wasi()
text = '''(module (import "wasi_snapshot_preview1" "fd_sync" (func (param i32) (result i32)))
  (memory (export "memory") 1))'''
linker.instantiate(store, wasmtime.Module(store.engine, text))
"""


def test_limited_address_space() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED_PROGRAM], capture_output=True, text=True, check=True)
    assert _skip_reasons.ADDRESS_SPACE in done.stderr
