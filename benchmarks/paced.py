"""Claim: encoding telemetry on another thread does not slow down the slowest calls of the program.

The 99.9th percentile of 2000 calls a second of a wasm function: `none` without recording, `ours` with it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks._fresh import fresh, print_result
from benchmarks._subjects import LEAF, Subject, recorded, wasm_functions

RATE = 2000
"""Executions a second."""


def run(*, short: bool) -> dict[str, float]:
    """Call a wasm function at a fixed rate, without and with recording, in new processes, in turn."""
    slowest: dict[str, list[float]] = {"none": [], "deferred": []}
    for _ in range(2 if short else 5):
        for design, found in slowest.items():
            found.append(fresh("benchmarks.paced", design, "4000" if short else "12000"))
    none, deferred = (min(found) for found in slowest.values())
    return {
        "p999_paced_none_us": none / 1e3,
        "p999_paced_ours_us": deferred / 1e3,
        "p999_paced_ours_over_none": deferred / none,
    }


def main(design: str, executions: int) -> None:
    """Print the 99.9th percentile of the duration of a call, in nanoseconds."""
    store, nop, _ = wasm_functions()
    call: Callable[[], Any] = lambda: nop(store)  # noqa: E731 -- the plain call
    if design != "none":
        call = recorded(Subject(design, encode=True).recorder, LEAF, call)
    clock, period = time.perf_counter_ns, int(1e9 / RATE)
    taken, due = [0] * executions, clock()
    for number in range(executions):
        while (now := clock()) < due:
            time.sleep((due - now) / 1e9 if due - now > 200_000 else 0)
        due += period
        start = clock()
        call()
        taken[number] = clock() - start
    taken.sort()
    print_result(taken[executions * 999 // 1000])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
