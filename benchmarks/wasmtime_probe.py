"""Claim: the probe does not slow down calls of WASI functions; it takes time for each instance and call of a guest.

All are instrumented; plain is without the probe. `syscalls`: a guest that calls WASI 10,000 times. `call`: a call of a
guest that does nothing. `line`: a call that prints a line. `instantiate`: a new instance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import wasmtime

from benchmarks._rounds import Case, measure
from benchmarks._subjects import Subject, for_instrumentations

CALLS = 10_000
"""Calls of a WASI function in one call of the guest."""
MODES: dict[str, dict[str, Any]] = {"plain": {}, "probe": {"probe": True}, "output": {"output": True}}
WAT = f"""(module $caller
  (import "wasi_snapshot_preview1" "fd_tell" (func $tell (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\40\\00\\00\\00\\10\\00\\00\\00") (data (i32.const 64) "a line of text.\\0a")
  (func (export "nothing"))
  (func (export "syscalls") (local $left i32) (local.set $left (i32.const {CALLS}))
    (loop (drop (call $tell (i32.const 99) (i32.const 32)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br_if 0 (local.get $left))))
  (func (export "line") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))"""


def run(*, short: bool) -> dict[str, float]:
    """Compare guests with and without the probe, both instrumented."""
    subject = for_instrumentations()
    cases = {
        f"{name} {mode}": _case(build, settings, subject)
        for name, build in _BUILDS.items()
        for mode, settings in MODES.items()
    }
    least = measure(cases, 8 if short else 30)
    return {
        f"wasmtime_{mode}_{name}_over_plain": least[f"{name} {mode}"] / least[f"{name} plain"]
        for name in _BUILDS
        for mode in MODES
        if mode != "plain"
    }


def _case(build: Callable[[], Callable[[], Any]], settings: dict[str, Any], subject: Subject) -> Case:
    """Return a case that creates a new guest, with the patches of its settings, before each block."""
    from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

    def before() -> None:
        WasmtimeInstrumentor().instrument(**settings)
        case.function = build()

    def after() -> None:
        case.function = build
        WasmtimeInstrumentor().uninstrument()
        subject.flush()

    case = Case(build, before=before, after=after, most=2000)
    return case


def _instantiate() -> Callable[[], Any]:
    engine = wasmtime.Engine()
    module, linker = wasmtime.Module(engine, WAT), wasmtime.Linker(engine)
    linker.define_wasi()

    def instantiate() -> tuple[wasmtime.Store, wasmtime.Instance]:
        store = wasmtime.Store(engine)
        store.set_wasi(wasmtime.WasiConfig())
        return store, linker.instantiate(store, module)

    instantiate()  # compiles the probe's modules, once for each engine
    return instantiate


def _call(name: str) -> Callable[[], Any]:
    store, instance = _instantiate()()
    return partial(instance.exports(store)[name], store)  # type: ignore[arg-type, operator]


_BUILDS: dict[str, Callable[[], Callable[[], Any]]] = {
    "syscalls": partial(_call, "syscalls"),
    "call": partial(_call, "nothing"),
    "line": partial(_call, "line"),
    "instantiate": _instantiate,
}
