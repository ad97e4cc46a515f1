"""Claim: a program on a single core is slowed down little, although the drain thread uses the same core.

CPU time of the whole process. `nop`: an empty call. `request`: a store, an instance and a call. `spin_100us`: a call of
0.1 ms.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks._fresh import fresh, print_result

SPINS = """(module (func (export "spin") (param i32)
  (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))"""
_TURNS = 200_000
"""Iterations of a loop in the guest: about 0.1 ms."""
_AT_ONCE = 1000
"""Executions between two flushes. Dropped records would not be encoded, and would make the result too good."""


def run(*, short: bool) -> dict[str, float]:
    """Run the programs plain and instrumented, in new processes, in turn."""
    times: dict[str, list[dict[str, float]]] = {"plain": [], "instrumented": []}
    for _ in range(4 if short else 8):
        for mode, taken in times.items():
            taken.append(fresh("benchmarks.one_core", mode, "6" if short else "10"))
    least = {
        mode: {name: min(each[name] for each in taken) for name in taken[0]} for mode, taken in times.items()
    }
    plain, instrumented = least["plain"], least["instrumented"]
    return {f"one_core_{name}_over_plain": instrumented[name] / plain[name] for name in plain}


def main(mode: str, rounds: int) -> None:
    """Print the CPU seconds of one execution of each program, including drain, encoder and metrics."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    flush: Callable[[], Any] = lambda: None  # noqa: E731 -- nothing to flush
    if mode != "plain":
        flush = _instrument()
    result = {}
    for name, call in _programs().items():
        for _ in range(_AT_ONCE):
            call()
        flush()
        gc.collect()
        taken = []
        for _ in range(rounds):
            start = time.process_time()
            for _ in range(_AT_ONCE):
                call()
            flush()
            taken.append((time.process_time() - start) / _AT_ONCE)
        result[name] = min(taken)
    print_result(result)


def _instrument() -> Callable[[], Any]:
    from benchmarks._subjects import Subject
    from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

    subject = Subject("deferred", encode=True)
    WasmtimeInstrumentor().instrument(recorder=subject.recorder)

    def flush() -> None:
        subject.flush()
        subject.reader.get_metrics_data()
        assert subject.pipeline is not None
        assert not subject.pipeline.outcomes.count("span", "queue_full")

    return flush


def _programs() -> dict[str, Callable[[], Any]]:
    """Return an empty call, a request to a plugin host, and a call of 0.1 ms."""
    import wasmtime

    from benchmarks._subjects import wasm_functions
    from benchmarks.request import tiny

    store, nop, _ = wasm_functions()
    module = wasmtime.Module(store.engine, SPINS)
    spin: Any = wasmtime.Instance(store, module, []).exports(store)["spin"]
    return {
        "nop": lambda: nop(store),
        "request": tiny(),
        "spin_100us": lambda: spin(store, _TURNS),
    }


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
