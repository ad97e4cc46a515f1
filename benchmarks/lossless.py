"""Claim: no telemetry is dropped on the way to the Collector, at any rate that a program reaches on this machine.

`lossless_*_per_second` is the highest rate of executions without loss, over OTLP to the Collector of the wheel. Each
execution has a span, a log record and metrics. `wasm_nop`: empty calls in wasmtime. `python`: empty calls in Python.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._fresh import fresh, print_result

RATES = (2_500, 5_000, 10_000, 20_000, 40_000, 70_000, 100_000)
"""Executions per second."""
_MADE = 0.95
"""Fraction of a rate that the program has to reach; otherwise the program is the limit."""
_BURST = 64
"""Executions that a late program starts before it reads the clock again."""

_COUNTS = """service:
  telemetry:
    metrics:
      level: normal
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %d}}}}]
"""


def run(*, short: bool) -> dict[str, float]:
    """Raise the rate until telemetry is dropped or the program cannot keep up; each rate in a new process."""
    from sandscope._collector import CollectorProcess, Composition, Ports

    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        counts = Path(folder) / "counts.yaml"
        counts.write_text(_COUNTS % port, encoding="utf-8")
        composition = Composition.of("local", counts)
        with CollectorProcess(composition, data=Path(folder) / "data", ports=Ports.free()) as collector:
            os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.endpoint
            try:
                for guest in ("wasm_nop", "python"):
                    rate, limit = _highest(guest, RATES[2::2] if short else RATES, 2 if short else 5, port)
                    print(f"     {guest}: limited by {limit}")
                    result[f"lossless_{guest}_per_second"] = rate
            finally:
                del os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    return result


def _highest(guest: str, rates: tuple[int, ...], seconds: int, port: int) -> tuple[float, str]:
    """Return the highest rate without loss, and what limits it."""
    highest = 0.0
    for rate in rates:
        before = _accepted(port)
        made = fresh("benchmarks.lossless", guest, str(rate), str(seconds))
        accepted = [now - then for now, then in zip(_accepted(port), before, strict=True)]
        lost = {name: count for name, count in made["lost"].items() if count}
        if not lost and accepted != [made["executions"]] * 2:
            lost = {"not in the Collector": made["executions"] - min(accepted)}
        if lost:
            return highest, f"{_culprit(made)} at {rate}/s: {lost}"
        highest = max(highest, made["rate"])
        if made["rate"] < _MADE * rate:
            return highest, f"the program, which cannot start executions faster ({_shares(made)})"
    return highest, f"nothing up to {rates[-1]}/s ({_shares(made)})"


def _culprit(made: dict[str, Any]) -> str:
    if made["lost"]["not_delivered"]:
        return "the Collector, which rejects requests,"
    waits = made["exporting"] > 0.5 * made["seconds"]
    return f"the {'Collector, which responds slowly' if waits else 'drain thread and its encoder'} ({_shares(made)})"


def _shares(made: dict[str, Any]) -> str:
    """Return how the program used its time."""
    seconds = made["seconds"]
    return (
        f"program {made['program'] / seconds:.0%} of a core, drain and encoder {made['drain'] / seconds:.0%}, "
        f"{made['exporting'] / seconds:.0%} of the time waiting for the Collector"
    )


def _accepted(port: int) -> list[int]:
    """Return how many spans and log records the Collector has accepted."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return [
        int(
            sum(
                float(line.split()[-1])
                for line in lines
                if line.startswith(f"otelcol_receiver_accepted_{name}")
            )
        )
        for name in ("spans", "log_records")
    ]


def main(guest: str, rate: int, seconds: float) -> None:
    """Run executions at a rate, and print how many there were and how many were lost."""
    import sandscope.auto  # noqa: F401 -- instruments this program
    from sandscope._setup import _recorder_setup

    call = _guest(guest)
    pipeline = _recorder_setup._active
    assert pipeline is not None, _recorder_setup.direct_reason()
    exporting = _time_requests(pipeline)
    call()
    executions, busy = 1, (time.thread_time(), time.process_time())
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        due = int(elapsed * rate) - executions
        for _ in range(min(due, _BURST)):
            call()
        executions += max(0, min(due, _BURST))
        if due <= 0:
            time.sleep(0.0005)
    elapsed = time.perf_counter() - start
    program, process = time.thread_time() - busy[0], time.process_time() - busy[1]
    pipeline.flush()
    outcomes = pipeline.outcomes
    lost = {
        outcome: sum(outcomes.count(signal, outcome) for signal in ("span", "log"))  # type: ignore[arg-type]
        for outcome in ("queue_full", "not_encoded", "not_delivered")
    }
    print_result(
        {
            "executions": executions,
            "rate": executions / elapsed,
            "lost": lost,
            "seconds": elapsed,
            "program": program,
            "drain": process - program,
            "exporting": exporting[0],
        }
    )


def _time_requests(pipeline: Any) -> list[float]:
    """Return a list with one number: the seconds that exporters have waited for the Collector."""
    total = [0.0]
    for outlet in pipeline._outlets:
        exporter = outlet._exporter

        def export(batch: Any, export: Callable[[Any], Any] = exporter.export) -> Any:
            start = time.perf_counter()
            try:
                return export(batch)
            finally:
                total[0] += time.perf_counter() - start

        exporter.export = export
    return total


def _guest(name: str) -> Callable[[], Any]:
    from benchmarks._subjects import LEAF, SCOPE, patched, wasm_functions
    from sandscope.instrumentation import get_recorder

    if name == "python":
        return patched(get_recorder(SCOPE), LEAF)
    store, nop, _ = wasm_functions()
    return partial(nop, store)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
