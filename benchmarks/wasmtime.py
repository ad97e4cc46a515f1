"""Claim: instrumented wasmtime takes little longer than plain wasmtime, and does not leak memory.

`wasmtime_memory_grown_mb` is the growth of the process over 100,000 instances, each in its own store (20,000 with
`--short`).
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import wasmtime

from benchmarks._rounds import Case, measure
from benchmarks._subjects import Subject, for_instrumentations, wasm_functions
from benchmarks.request import tiny
from sandscope_instrumentation_wasmtime._measures._calls import FIRST

MODES: dict[str, dict[str, Any] | None] = {"plain": None, "off": {"spans": "off"}, "all": {"spans": "all"}}
WAT = '(module $tiny (func (export "f") (result i32) i32.const 42))'
CALLS_HOST = '(module (import "h" "f" (func $f)) (func (export "run") (call $f)))'


def run(*, short: bool) -> dict[str, float]:
    """Compare patched and plain calls, without and with spans and log records; and measure memory."""
    subject = for_instrumentations()
    cases = {
        f"{name} {mode}": _case(build, settings, subject)
        for name, build in _BUILDS.items()
        for mode, settings in MODES.items()
    }
    # Few rounds meet only bad places of a guest in memory, which double the time of an empty call.
    least = measure(cases, 30)
    ratios = {
        f"wasmtime_{name}_{mode}_over_plain": least[f"{name} {mode}"] / least[f"{name} plain"]
        for name in _BUILDS
        for mode in MODES
        if mode != "plain"
    }
    return {**ratios, "wasmtime_memory_grown_mb": _memory_grown(subject, 20_000 if short else 100_000)}


def _case(build: Callable[[], Callable[[], Any]], settings: dict[str, Any] | None, subject: Subject) -> Case:
    """Return a case that creates a new guest, with the patches of its settings, before each block."""
    from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

    def before() -> None:
        if settings is not None:
            WasmtimeInstrumentor().instrument(**settings)
        case.function = build()
        for _ in range(FIRST):  # each of a store's first calls is measured; skip these
            case.function()

    def after() -> None:
        case.function = build
        if settings is not None:
            WasmtimeInstrumentor().uninstrument()
        subject.flush()

    case = Case(build, before=before, after=after, most=2000)
    return case


def _nop() -> Callable[[], Any]:
    store, nop, _ = wasm_functions()
    return partial(nop, store)


def _add() -> Callable[[], Any]:
    store, _, add = wasm_functions()
    return partial(add, store, 1, 2)


def _host_callback() -> Callable[[], Any]:
    store = wasmtime.Store()
    func = wasmtime.Func(store, wasmtime.FuncType([], []), lambda: None)
    module = wasmtime.Module(store.engine, CALLS_HOST)
    return partial(wasmtime.Instance(store, module, [func]).exports(store)["run"], store)  # type: ignore[arg-type]


def _compile() -> Callable[[], Any]:
    return partial(wasmtime.Module, wasmtime.Engine(), bytes(wasmtime.wat2wasm(WAT)))


_BUILDS: dict[str, Callable[[], Callable[[], Any]]] = {
    "nop": _nop,
    "add": _add,
    "host_callback": _host_callback,
    "compile": _compile,
}


def _memory_grown(subject: Subject, times: int) -> float:
    """Return the growth of the process in MB over a number of instances, each in its own store."""
    from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

    def make(number: int) -> int:
        for index in range(number):
            instantiate()
            if not index % 2000:
                subject.reader.get_metrics_data()
        subject.flush()
        gc.collect()
        return _resident()

    WasmtimeInstrumentor().instrument()
    instantiate = tiny()
    before = make(times // 5)
    after = make(times)
    WasmtimeInstrumentor().uninstrument()
    return (after - before) / 1e6


def _resident() -> int:
    """Return the resident memory of the process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
