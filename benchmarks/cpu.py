"""Claim: CPU in all, with aggregation and encoding, is a twentieth of the SDK's."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks._subjects import LEAF, Guest, Subject, patched

EXECUTIONS = 30_000
_WARM_UP = 500


def run(*, short: bool) -> dict[str, float]:
    """Run the designs in fresh processes, in turn."""
    times: dict[str, list[float]] = {"none": [], "sdk": [], "deferred": []}
    for _ in range(1 if short else 3):
        for design, taken in times.items():
            taken.append(_fresh(design, EXECUTIONS // (3 if short else 1)))
    least = {design: min(taken) for design, taken in times.items()}
    return {
        "cpu_sdk_us": (least["sdk"] - least["none"]) / 1e3,
        "cpu_ours_us": (least["deferred"] - least["none"]) / 1e3,
        "cpu_sdk_over_ours": (least["sdk"] - least["none"]) / (least["deferred"] - least["none"]),
    }


def _fresh(design: str, executions: int) -> float:
    command = [sys.executable, "-m", "benchmarks.cpu", design, str(executions)]
    return float(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


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
            flush()  # nothing may be dropped: what is not encoded costs nothing
    flush()
    taken = time.process_time_ns() - start
    if design != "none":
        assert subject.spans.count == subject.logs.count == executions + _WARM_UP
    print(json.dumps(taken / executions), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
