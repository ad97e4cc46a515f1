"""Claim: starting children costs little more when each is recorded, and recording them takes no memory in the end.

`subprocess_run`: `subprocess.run(["/bin/true"])`. `subprocess_pipes`: `Popen` with three pipes, and `communicate`.
`subprocess_asyncio`: `asyncio.create_subprocess_exec`. `subprocess_concurrent`: many that live at the same time.
`subprocess_memory_grown_mb` and `subprocess_descriptors_grown`: after many children, one after the other.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._fresh import fresh, print_result

TRUE = "/bin/true"
MODES = ("plain", "patched")


def run(*, short: bool) -> dict[str, float]:
    """Measure each mode in new processes, in turn, and compare the fastest blocks."""
    rounds, concurrent, children = (3, 200, 2_000) if short else (8, 1_000, 100_000)
    taken: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    for _ in range(rounds):
        for mode, found in taken.items():
            found.append(fresh("benchmarks.subprocess", mode, str(concurrent)))
    least = {
        mode: {name: min(each[name] for each in found) for name in found[0]} for mode, found in taken.items()
    }
    ratios = {f"{name}_over_plain": least["patched"][name] / plain for name, plain in least["plain"].items()}
    return {**ratios, **fresh("benchmarks.subprocess", "growth", str(children))}


def main(mode: str, count: int) -> None:
    """Print the minimum seconds of each case, or what has grown after ``count`` children."""
    # A program with many children has raised this limit; pidfds must not be what fails.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    flush = (lambda: None) if mode == "plain" else _instrument()
    print_result(_growth(count, flush) if mode == "growth" else _cases(count, flush))


def _instrument() -> Callable[[], Any]:
    """Instrument; return a function that exports what was recorded, outside of the measurement."""
    from benchmarks._subjects import Subject
    from sandscope_instrumentation_subprocess import SubprocessInstrumentor

    subject = Subject("deferred", encode=True)
    SubprocessInstrumentor().instrument(recorder=subject.recorder)

    def flush() -> None:
        subject.flush()
        subject.reader.get_metrics_data()

    return flush


def _cases(concurrent: int, flush: Callable[[], Any]) -> dict[str, float]:
    loop = asyncio.new_event_loop()
    cases: dict[str, tuple[Callable[[], Any], int]] = {
        "subprocess_run": (lambda: subprocess.run([TRUE], check=True), 20),
        "subprocess_pipes": (_with_pipes, 20),
        "subprocess_asyncio": (lambda: loop.run_until_complete(_with_asyncio()), 20),
        "subprocess_concurrent": (lambda: _at_the_same_time(concurrent), 1),
    }
    result = {}
    for name, (function, times) in cases.items():
        function()
        blocks = []
        for _ in range(max(1, 200 // times) if times > 1 else 2):
            start = time.perf_counter()
            for _ in range(times):
                function()
            blocks.append((time.perf_counter() - start) / times)
            flush()
        result[name] = min(blocks)
    loop.close()
    return result


def _with_pipes() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([TRUE], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        process.communicate()


async def _with_asyncio() -> None:
    process = await asyncio.create_subprocess_exec(TRUE)
    await process.wait()


def _at_the_same_time(count: int) -> None:
    """Start children that live until all have been started."""
    reader, writer = os.pipe()
    children = [subprocess.Popen(["/bin/cat"], stdin=reader) for _ in range(count)]
    os.close(writer)
    os.close(reader)
    for child in children:
        child.wait()


def _growth(count: int, flush: Callable[[], Any]) -> dict[str, float]:
    def start(children: int) -> tuple[float, int]:
        for number in range(children):
            subprocess.run([TRUE], check=True)
            if number % 500 == 0:
                flush()
        flush()
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6, len(list(Path("/proc/self/fd").iterdir()))

    (memory, descriptors), (later_memory, later_descriptors) = start(count // 4), start(count)
    return {
        "subprocess_memory_grown_mb": later_memory - memory,
        "subprocess_descriptors_grown": later_descriptors - descriptors,
    }


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
