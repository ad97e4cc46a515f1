"""A host program: a guest counts words, a child judges submissions, and a model classifies digits.

python host.py GUEST.wasm TEXT
"""

import subprocess
import sys
from pathlib import Path

import wasmtime
from opentelemetry import trace

HERE = Path(__file__).parent


def count_words(guest: str, text: str) -> None:
    """Run a Go program, compiled to WebAssembly, with a text as its input."""
    store = wasmtime.Store()
    linker = wasmtime.Linker(store.engine)
    linker.define_wasi()
    wasi = wasmtime.WasiConfig()
    wasi.argv = ["wordcount"]
    wasi.stdin_file = text
    wasi.inherit_stdout()
    store.set_wasi(wasi)
    instance = linker.instantiate(store, wasmtime.Module.from_file(store.engine, guest))
    try:
        instance.exports(store)["_start"](store)
    except wasmtime.ExitTrap as end:
        print("guest: exit code", end.code, flush=True)


def read_digits() -> None:
    """Train and test a small network, if torch is installed."""
    try:
        import digits
    except ImportError as missing:
        print(f"model: skipped, {missing.name} is not installed", flush=True)
    else:
        print(f"model: accuracy {digits.train_and_test():.0%}", flush=True)


with trace.get_tracer("one_trace").start_as_current_span("host") as span:
    count_words(*sys.argv[1:3])
    subprocess.run([sys.executable, HERE / "judge.py"], check=True)
    read_digits()
print(f"trace: {span.get_span_context().trace_id:032x}", flush=True)
