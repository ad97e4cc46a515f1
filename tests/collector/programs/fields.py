"""Guests whose log records have every field of wasm-sandbox's guide: killed for fuel, memory and a missing import."""

from __future__ import annotations

from typing import Any

import wasmtime
from opentelemetry import trace

GUESTS = {
    "good": '(module $good (import "host" "label" (func $label)) (memory (export "memory") 2)'
    ' (func (export "run") (call $label)))',
    "endless": '(module $endless (func (export "run") (loop $again (br $again))))',
    "greedy": '(module $greedy (memory 100) (func (export "run")))',
    "curious": '(module $curious (import "host" "secrets" (func)) (func (export "run")))',
}

config = wasmtime.Config()
config.consume_fuel = True
engine = wasmtime.Engine(config)
linker = wasmtime.Linker(engine)
linker.define_func(
    "host",
    "label",
    wasmtime.FuncType([], []),
    lambda: trace.get_current_span().set_attribute("tenant", "acme"),
)
with trace.get_tracer("program").start_as_current_span("request", attributes={"session.id": "s1"}):
    for text in GUESTS.values():
        store = wasmtime.Store(engine)
        store.set_fuel(10_000)
        store.set_limits(memory_size=1 << 20)
        try:
            exports: Any = linker.instantiate(store, wasmtime.Module(engine, text)).exports(store)
            exports["run"](store)
        except (wasmtime.Trap, wasmtime.WasmtimeError):
            pass
