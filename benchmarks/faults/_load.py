"""The program under load: runs executions of one runtime, and writes down the trace id of each that has ended.

Usage: python -m benchmarks.faults._load RUNTIME RATE FOLDER. SIGTERM ends it normally.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import SystemRandom

from opentelemetry import context, trace


def main(runtime: str, rate: float, folder: Path) -> None:
    """Run until SIGTERM."""
    call = RUNTIMES[runtime]()
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    # One write of a line with O_APPEND is whole or not there, also if the process is killed in the middle.
    acknowledged = os.open(folder / f"{runtime}.ids", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    (folder / f"{runtime}.pid.new").write_text(str(os.getpid()))
    (folder / f"{runtime}.pid.new").replace(folder / f"{runtime}.pid")
    begun, done = time.perf_counter(), 0
    while not stopped:
        trace_id = random.getrandbits(128) or 1
        token = context.attach(trace.set_span_in_context(_caller(trace_id)))
        try:
            call()
        finally:
            context.detach(token)
        os.write(acknowledged, f"{trace_id:032x}\n".encode())
        done += 1
        time.sleep(max(0.0, begun + done / rate - time.perf_counter()))


def _caller(trace_id: int) -> trace.Span:
    """Return a caller on another machine: it gives the execution its trace id, and has no span here."""
    sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    return trace.NonRecordingSpan(trace.SpanContext(trace_id, random.getrandbits(64) or 1, True, sampled))


def _wasmtime() -> Callable[[], object]:
    import wasmtime

    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, '(module (func (export "nop")))')
    store = wasmtime.Store(engine)
    nop = wasmtime.Instance(store, module, []).exports(store)["nop"]
    assert isinstance(nop, wasmtime.Func)
    return lambda: nop(store)


def _subprocess() -> Callable[[], object]:
    return lambda: subprocess.run(["/bin/true"], check=True)


def _torch() -> Callable[[], object]:
    import torch

    model, values = torch.nn.Linear(8, 8).eval(), torch.zeros(1, 8)  # otherwise the call is one of a training
    return lambda: model(values)


RUNTIMES: dict[str, Callable[[], Callable[[], object]]] = {
    "wasmtime": _wasmtime,
    "subprocess": _subprocess,
    "torch": _torch,
}
OPERATIONS = {"wasmtime": "call", "subprocess": "process", "torch": "inference"}
random = SystemRandom()

if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
