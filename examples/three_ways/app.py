"""A program without any code for telemetry: it calls a WebAssembly guest and starts a child process."""

import subprocess
import sys

import wasmtime

GUEST = """
(module $calculator
  (func (export "divide") (param i32 i32) (result i32)
    (i32.div_s (local.get 0) (local.get 1))))
"""

store = wasmtime.Store()
instance = wasmtime.Instance(store, wasmtime.Module(store.engine, GUEST), [])
divide = instance.exports(store)["divide"]

print("6 / 3 =", divide(store, 6, 3))
try:
    divide(store, 1, 0)
except wasmtime.Trap as trap:
    print("1 / 0:", trap.trap_code)

child = subprocess.run([sys.executable, "-c", "print('hello from a child')"], check=True)
sys.exit(child.returncode)
