"""Claim: recording takes a twentieth of the SDK's total CPU time; with the compiled hot path, an eightieth.

Total means all threads, with aggregation and encoding, and without losses.
`cpu_us_*` are microseconds for one execution, less those of the guest alone.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks._fresh import fresh, print_result
from benchmarks._subjects import LEAF, Guest, Subject, patched
from sandscope._deferred import _compiled

EXECUTIONS = 30_000
_WARM_UP = 500


def run(*, short: bool) -> dict[str, float]:
    """Measure each design in new processes, in turn."""
    designs = ["none", "sdk", "python"] + ([] if _compiled.python_reason else ["compiled"])
    times: dict[str, list[float]] = {design: [] for design in designs}
    for _ in range(1 if short else 3):
        for design, taken in times.items():
            kind = design if design in {"none", "sdk"} else "deferred"
            executions = str(EXECUTIONS // (3 if short else 1))
            taken.append(fresh("benchmarks.cpu", kind, executions, python=design == "python"))
    none = min(times["none"])
    over = {design: min(taken) - none for design, taken in times.items() if design != "none"}
    return {
        **{f"cpu_us_{design}": nanoseconds / 1e3 for design, nanoseconds in over.items()},
        **{f"cpu_sdk_over_{design}": over["sdk"] / over[design] for design in designs[2:]},
    }


def main(design: str, executions: int) -> None:
    """Print the CPU nanoseconds of one execution of a guest that does nothing."""
    guest: Callable[[], Any] = Guest(LEAF)
    flush = lambda: None  # noqa: E731 -- nothing to flush
    if design != "none":
        subject = Subject(design, encode=True)
        guest, flush = patched(subject.recorder, LEAF), subject.flush
    for _ in range(_WARM_UP):
        guest()
    flush()
    gc.collect()
    gc.freeze()
    start = time.process_time_ns()
    for number in range(executions):
        guest()
        if number % 4000 == 0:
            flush()  # dropped records would not be encoded, and would make the result too good
    flush()
    taken = time.process_time_ns() - start
    if design != "none":
        assert subject.spans.count == subject.logs.count == executions + _WARM_UP
    print_result(taken / executions)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
