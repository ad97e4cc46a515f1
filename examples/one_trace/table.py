"""The telemetry that is expected, and a table that shows whether it arrived."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

from examples.one_trace.arrived import Arrived

TORCH = all(importlib.util.find_spec(name) for name in ("torch", "sklearn"))
STATUSES = ("OK", "RE", "TLE", "MLE", "FSE")


def rows(arrived: Arrived) -> list[tuple[str, str, str, int]]:
    """Return rows (signal, what, where, count) for the expected telemetry."""
    traces, metrics, logs = arrived.places

    def spans(what: str, **wanted: str) -> tuple[str, str, str, int]:
        attributes = {f"sandbox.{name.replace('_', '.')}": value for name, value in wanted.items()}
        return ("span", what, traces, sum(attributes.items() <= span.items() for span in arrived.spans))

    result = [spans("the WebAssembly guest", runtime="wasmtime")]
    for status in STATUSES:
        result.append(spans(f"child processes judged {status}", runtime="subprocess", verdict_status=status))
    if TORCH:
        result.append(spans("the model, training", operation="training"))
        result.append(spans("the model, inference", operation="inference"))
    executions = sum("sandbox.runtime" in span for span in arrived.spans)
    return [
        *result,
        ("metric", f"executions, {executions} expected", metrics, _same(arrived.executions, executions)),
        ("metric", "exemplars that link to the trace", metrics, arrived.exemplars),
        ("log", f"executions, {executions} expected", logs, _same(arrived.logs, executions)),
    ]


def _same(count: int, wanted: int) -> int:
    return count if count == wanted else 0


def complete(arrived: Arrived) -> bool:
    """Return whether everything arrived."""
    return all(count for *_, count in rows(arrived))


def wait_for(read, timeout: float = 30.0) -> Arrived:
    """Read until everything has arrived, or until ``timeout`` seconds have passed."""
    deadline = time.monotonic() + timeout
    waiting, done = ("\rwaiting for telemetry ...", "\r\033[K") if sys.stderr.isatty() else ("", "")
    while not complete(arrived := read()) and time.monotonic() < deadline:
        print(waiting, end="", file=sys.stderr, flush=True)
        time.sleep(0.5)
    print(done, end="", file=sys.stderr, flush=True)
    return arrived


def show(arrived: Arrived) -> None:
    """Print the table."""
    print(f"{'':3}{'signal':8}{'what arrived':40}{'where':15}{'count':>5}   trace {arrived.trace_id}")
    for signal, what, where, count in rows(arrived):
        print(f"{'ok' if count else '--':3}{signal:8}{what:40}{where:15}{count:5}")
    if not TORCH:
        print("   the model: skipped, torch is not installed (`make demo TORCH=1` installs it; it is large)")


def show_trace(data: Path, trace_id: str) -> None:
    """Print the trace as a tree, and where to look."""
    print("\nthe trace, as `sandscope report --trace` shows it:\n", flush=True)
    sandscope, folder = os.path.relpath(Path(sys.executable).parent / "sandscope"), os.path.relpath(data)
    subprocess.run([sandscope, "report", "--trace", trace_id, "--data", folder], check=True)
    print(f"\nin the browser:         {sandscope} view --data {folder}")
    print(f"with your own program:  {sandscope} run -- python app.py")
