"""Claim: a request to a plugin host (a store, an instance and one call) takes at most a quarter longer.

`request`: a guest that only has its function.
`request_plugin`: a guest with a memory, more exports and a host function.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import wasmtime

from benchmarks._fresh import fresh, print_result

TINY = '(module $tiny (func (export "f") (result i32) i32.const 42))'
PLUGIN = """(module $plugin (import "host" "log" (func $log (param i32))) (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) i32.const 0) (func (export "free") (param i32))
  (func (export "f") (result i32) i32.const 42))"""
MODES = ("plain", "off", "all")
"""Not instrumented; instrumented without spans; with spans and log records, which is the default."""
_AT_ONCE = 300


def run(*, short: bool) -> dict[str, float]:
    """Measure each mode in new processes, in turn: instrumenting a running program would invalidate caches."""
    taken: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    for _ in range(3 if short else 8):
        for mode, found in taken.items():
            found.append(fresh("benchmarks.request", mode))
    least = {
        mode: {name: min(each[name] for each in found) for name in _REQUESTS} for mode, found in taken.items()
    }
    return {
        f"{name}_{mode}_over_plain": least[mode][name] / least["plain"][name]
        for name in _REQUESTS
        for mode in MODES[1:]
    }


def main(mode: str) -> None:
    """Print the minimum CPU seconds of the calling thread for one request."""
    clear: Callable[[], Any] = lambda: None  # noqa: E731 -- nothing to clear
    if mode != "plain":
        clear = _instrument(mode)
    result = {}
    for name, build in _REQUESTS.items():
        request, blocks = build(), []
        for _ in range(40):
            start = time.thread_time()
            for _ in range(_AT_ONCE):
                request()
            blocks.append((time.thread_time() - start) / _AT_ONCE)
            clear()
        result[name] = min(blocks)
    print_result(result)


def _instrument(mode: str) -> Callable[[], Any]:
    """Instrument with a mode; return a function that discards what was recorded, outside of the measurement."""
    from benchmarks._subjects import Subject
    from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

    subject = Subject("deferred")
    subject.stand_still()
    WasmtimeInstrumentor().instrument(recorder=subject.recorder, spans=mode)

    def clear() -> None:
        subject.clear()
        subject.reader.get_metrics_data()

    return clear


def tiny() -> Callable[[], Any]:
    """Return a request to a guest that only has its function."""
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, TINY)

    def serve() -> Any:
        store = wasmtime.Store(engine)
        return wasmtime.Instance(store, module, []).exports(store)["f"](store)  # type: ignore[operator]

    return serve


def _plugin() -> Callable[[], Any]:
    """Return a request to a guest with a memory, more exports and a host function, through a linker."""
    engine = wasmtime.Engine()
    module, linker = wasmtime.Module(engine, PLUGIN), wasmtime.Linker(engine)
    linker.define_func("host", "log", wasmtime.FuncType([wasmtime.ValType.i32()], []), lambda _code: None)

    def serve() -> Any:
        store = wasmtime.Store(engine)
        return linker.instantiate(store, module).exports(store)["f"](store)  # type: ignore[operator]

    return serve


_REQUESTS: dict[str, Callable[[], Callable[[], Any]]] = {"request": tiny, "request_plugin": _plugin}


if __name__ == "__main__":
    main(sys.argv[1])
