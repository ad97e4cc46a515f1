"""What aborts the process in plain wasmtime aborts it with the instrumentation, too."""

from __future__ import annotations

import subprocess
import sys

import pytest

ABORTS = """
import sys, wasmtime
from opentelemetry.sdk.trace import TracerProvider
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor
if sys.argv[1] == "on":
    WasmtimeInstrumentor().instrument(tracer_provider=TracerProvider(shutdown_on_exit=False))
store = wasmtime.Store()
if sys.argv[2] == "wrong store":
    module = wasmtime.Module(store.engine, '(module (func (export "f")))')
    wasmtime.Instance(store, module, []).exports(store)["f"](wasmtime.Store(store.engine))
linker = wasmtime.Linker(store.engine)
linker.define_wasi()
module = wasmtime.Module(store.engine, '''(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1) (func (export "f") (call $exit (i32.const 0))))''')
linker.instantiate(store, module).exports(store)["f"](store)
"""


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("wrong store", "object used with the wrong store"),
        ("no configuration", "wasi context must be populated"),
    ],
)
def test_the_process_ends_with_the_same_message(how: str, message: str) -> None:
    ends = [
        subprocess.run([sys.executable, "-c", ABORTS, mode, how], capture_output=True, text=True, check=False)
        for mode in ("off", "on")
    ]
    assert [message in end.stderr for end in ends] == [True, True]
    assert ends[0].returncode == ends[1].returncode != 0
