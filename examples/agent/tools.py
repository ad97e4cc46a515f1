"""The agent's tools: each runs code that a language model wrote, with limits."""

import resource
import subprocess
import sys

import wasmtime

CONFIG = wasmtime.Config()
CONFIG.consume_fuel = True
ENGINE = wasmtime.Engine(CONFIG)
FUEL = 1_000_000
MEMORY, CPU_TIME, WALL_TIME = 256 << 20, 1, 10  # bytes, seconds, seconds


def limit() -> None:
    """Set the limits of the child; called in the child."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_TIME, CPU_TIME + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def run_python(code: str) -> str:
    """Run Python in a child process, and return what it prints."""
    # -I: the code does not use this program's environment variables and packages.
    command = [sys.executable, "-I", "-c", code]
    try:
        child = subprocess.run(
            command, preexec_fn=limit, timeout=WALL_TIME, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        return "error: time limit exceeded"
    return child.stdout if child.returncode == 0 else f"error: exit code {child.returncode}"


def run_wasm(module: str) -> str:
    """Call the function `run` of a WebAssembly module, and return its result."""
    store = wasmtime.Store(ENGINE)
    store.set_fuel(FUEL)
    try:
        instance = wasmtime.Instance(store, wasmtime.Module(ENGINE, module), [])
        return str(instance.exports(store)["run"](store))
    except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
        return f"error: {str(error).splitlines()[-1].strip()}"


TOOLS = {"run_python": run_python, "run_wasm": run_wasm}
