"""Guests with fuel, a deadline or limits have the probe, and all of their fuel, time and room."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime

from harness import Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor
from sandscope_instrumentation_wasmtime._evidence._engine_messages import engine_message
from sandscope_instrumentation_wasmtime._probe import _unmetered
from sandscope_instrumentation_wasmtime._probe._store_probe import store_probe

Start = Callable[..., Any]
Text = Callable[..., str]

LOOP = """(func (export "busy") (local $i i32) (loop $next
  (drop (call $wasi_fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
  (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $next (i32.lt_u (local.get $i) (i32.const 100)))))"""


def with_wasi(engine: wasmtime.Engine | None = None, **limits: int) -> wasmtime.Store:
    """Return a store with a WASI configuration, and limits."""
    store = wasmtime.Store(engine)
    store.set_wasi(wasmtime.WasiConfig())
    if limits:
        store.set_limits(**limits)
    return store


def engine_with(**settings: Any) -> wasmtime.Engine:
    """Return an engine with these settings."""
    config = wasmtime.Config()
    for name, value in settings.items():
        setattr(config, name, value)
    return wasmtime.Engine(config)


def consumed(start: Start, text: Text, given: int, settings: dict[str, Any]) -> tuple[Any, int, bool]:
    """Return how a busy guest ended, the fuel that is left, and whether it has the probe."""
    store = with_wasi(engine_with(consume_fuel=True, **settings))
    store.set_fuel(given)
    guest = start(text(["fd_write"], LOOP), store=store, engine=store.engine)
    guest.put(0, 1024, 3)
    try:
        ended = guest("busy")
    except wasmtime.Trap as trap:
        ended = engine_message(trap)
    return ended, store.get_fuel(), store_probe(store) is not None


@pytest.mark.parametrize("given", [10_000, 1406, 1405, 200, 1])
@pytest.mark.parametrize(
    "settings", [{}, {"wasm_threads": True, "max_wasm_stack": 300_000, "debug_info": True}], ids=str
)
def test_fuel_is_the_guests(
    telemetry: Telemetry, start: Start, text: Text, given: int, settings: dict[str, Any]
) -> None:
    plain = consumed(start, text, given, settings)
    WasmtimeInstrumentor().instrument(**telemetry.providers, probe=True)
    try:
        assert consumed(start, text, given, settings) == (*plain[:2], True)
    finally:
        WasmtimeInstrumentor().uninstrument()


def test_fuel_with_files_and_output(telemetry: Telemetry, start: Start, text: Text) -> None:
    WasmtimeInstrumentor().instrument(**telemetry.providers, probe=True, output=True, fuel=True)
    try:
        store = with_wasi(engine_with(consume_fuel=True))
        store.set_fuel(10_000)
        guest = start(text(["fd_write", "fd_sync"]), store=store, engine=store.engine)
        guest.write(1, b"hello\n")
        guest("fd_sync", 99)
    finally:
        WasmtimeInstrumentor().uninstrument()
    assert [log.log_record.body for log in telemetry.logs("wasm.output")] == ["hello"]
    assert telemetry.points("wasm.file.operations") == [({}, 1)]
    used = sum(value for _, value in telemetry.points("wasm.fuel.consumed"))
    assert used == 10_000 - store.get_fuel()


def test_a_deadline_that_passes_before_a_call_of_wasi_does_not_stop_the_call(
    instrumented: Telemetry, start: Start, text: Text
) -> None:
    engine = engine_with(epoch_interruption=True)
    store = with_wasi(engine)
    store.set_epoch_deadline(1)

    def prepare(linker: wasmtime.Linker, _store: wasmtime.Store) -> None:
        linker.define_func("h", "late", wasmtime.FuncType([], []), engine.increment_epoch)

    straight = """(func (export "run") (result i32) (call $late)
      (call $wasi_fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"""
    source = text(["fd_write"], straight).replace("(memory", '(import "h" "late" (func $late)) (memory', 1)
    guest = start(source, store=store, engine=engine, prepare=prepare)
    assert store_probe(store) is not None
    assert guest("run") == 0
    with pytest.raises(wasmtime.Trap) as caught:
        guest("run")
    assert caught.value.trap_code is wasmtime.TrapCode.INTERRUPT


def test_both_with_a_cache(instrumented: Telemetry, start: Start, text: Text, tmp_path: Any) -> None:
    file = tmp_path / "cache.toml"
    file.write_text(f"[cache]\ndirectory = '{tmp_path / 'cache'}'\n")
    engine = engine_with(consume_fuel=True, epoch_interruption=True, cache=str(file))
    store = with_wasi(engine)
    store.set_fuel(10_000)
    store.set_epoch_deadline(1)
    guest = start(text(["fd_sync"]), store=store, engine=engine)
    assert guest("fd_sync", 99) == 8
    assert instrumented.points("wasm.file.operations") == [({}, 1)]
    modules = [each for each in (tmp_path / "cache" / "modules").rglob("*") if each.is_file()]
    assert len([each for each in modules if "." not in each.name]) == 1


def test_other_settings_are_never_passed_over() -> None:
    same, other = bytearray(b"ab\0\0"), bytearray(b"ab\1\1")
    assert _unmetered._differ_in_switches(same, other)
    for wrong in (
        same,
        bytearray(b"ac\1\1"),
        bytearray(b"ab\2\0"),
        bytearray(b"ab\1\1\0"),
        bytearray(b"\1\1\1\1"),
    ):
        assert not _unmetered._differ_in_switches(same, wrong)
    assert _unmetered._settings_section(bytearray(b"\x7fELF\x02\x02")) is None


LIMITS = [
    {"instances": 2},
    {"tables": 1},
    {"memories": 2},
    {"memory_size": 2 * 65536},
    {"table_elements": 3},
    {"instances": 3, "tables": 2, "memories": 3, "memory_size": 131072, "table_elements": 3},
]
MODULES = (
    "(module)",
    "(module (memory 1) (table 3 funcref))",
    "(module (memory 3))",
    "(module (table 4 funcref))",
    '(module (memory 1) (data (i32.const 65536) "x"))',
    "(module (memory 1))",
    "(module (table 1 funcref))",
    "(module)",
)


def made(start: Start, text: Text, limits: dict[str, int], *, first: bool) -> list[str]:
    """Return how each instantiation in a store with limits ended."""
    store = with_wasi(**limits)

    def attempt(make: Callable[[], Any]) -> str:
        try:
            make()
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            return engine_message(error).splitlines()[-1].rstrip("0123456789")
        return "made"

    def guest(memory: str) -> str:
        source = text(["fd_sync"], memory=f'(memory (export "memory") {memory})')
        return attempt(lambda: start(source, store=store, engine=store.engine))

    others = [wasmtime.Module(store.engine, source) for source in MODULES]
    found = [guest("2")] if first else []
    found += [attempt(lambda module=module: wasmtime.Instance(store, module, [])) for module in others]  # type: ignore[misc]
    return [*found, guest("3"), guest("1")]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_limits_leave_the_guests_as_much(
    telemetry: Telemetry, start: Start, text: Text, limits: dict[str, int], *, first: bool
) -> None:
    plain = made(start, text, limits, first=first)
    assert "made" in plain
    assert set(plain) != {"made"}
    WasmtimeInstrumentor().instrument(**telemetry.providers, probe=True)
    try:
        assert made(start, text, limits, first=first) == plain
    finally:
        WasmtimeInstrumentor().uninstrument()
    assert telemetry.points("sandscope.errors") == []


def test_a_limited_guest_has_the_probe(instrumented: Telemetry, start: Start) -> None:
    store = with_wasi(memory_size=131072, instances=1, tables=0, memories=1, table_elements=0)
    guest = start(store=store, engine=store.engine)
    assert guest.write(99, b"x") == 8
    assert instrumented.points("wasm.file.operations") == [({}, 1)]
    with pytest.raises(wasmtime.WasmtimeError, match="instance count too high"):
        wasmtime.Instance(store, wasmtime.Module(store.engine, "(module)"), [])
    (log,) = instrumented.logs("sandbox.resource")
    attributes = log.log_record.attributes or {}
    assert (attributes["sandbox.resource.limit"], attributes["sandbox.resource.usage"]) == (1, 2)


def test_a_limit_that_is_set_later_counts_only_the_guests(instrumented: Telemetry, start: Start) -> None:
    store = with_wasi()
    start(store=store, engine=store.engine)
    store.set_limits(-1, -1, instances=2, tables=0, memories=2)
    module = wasmtime.Module(store.engine, "(module (memory 1))")
    wasmtime.Instance(store, module, [])
    with pytest.raises(wasmtime.WasmtimeError, match="count too high"):
        wasmtime.Instance(store, module, [])
    for wrong in ({"instances": "x"}, {"unknown": 1}):
        with pytest.raises((TypeError, ctypes.ArgumentError)):
            store.set_limits(**wrong)  # type: ignore[arg-type]
    store.set_limits(instances=(1 << 63) - 1)
