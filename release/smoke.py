"""Run what is installed: a child and a guest, recorded by the extension, through the Collector, to files.

It needs `sandscope[collector,subprocess,wasmtime]`, and nothing of this repository. With a folder of wheels as its
argument, it installs these first, into the Python that runs it.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
import subprocess, sys, wasmtime
subprocess.run([sys.executable, "-c", "pass"], check=True)
store = wasmtime.Store()
module = wasmtime.Module(store.engine, '(module (func (export "f")))')
wasmtime.Instance(store, module, []).exports(store)["f"](store)
"""
EXTENSION = (
    "from sandscope._deferred import _compiled, _native; print(_compiled.python_reason or _native.__file__)"
)
EXPECTED = {"sandscope_instrumentation_subprocess", "sandscope_instrumentation_wasmtime"}


def main() -> None:
    """Exit with status 1, and what the programs said, if an execution did not arrive."""
    if sys.argv[1:]:
        install(Path(sys.argv[1]))
    print(subprocess.check_output([sys.executable, "-c", EXTENSION], text=True).strip())
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sandscope", "run", "--data", folder, "--"]
        run = subprocess.run(
            [*command, sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
        )
        traces = Path(folder, "traces.jsonl")
        scopes = set(scopes_in(traces.read_text())) if traces.exists() else set()
    print(run.stderr)
    if run.returncode or not scopes >= EXPECTED:
        sys.exit(
            f"status {run.returncode}; executions of {sorted(scopes)} arrived, not of {sorted(EXPECTED)}"
        )


def install(wheels: Path) -> None:
    """Install the version in a folder, whatever else is published."""
    [sdist] = wheels.glob("sandscope-*.tar.gz")
    version = sdist.name.removeprefix("sandscope-").removesuffix(".tar.gz")
    wanted = [f"sandscope[collector,subprocess,wasmtime]=={version}", "wasmtime"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--find-links", str(wheels)]
    subprocess.run([*pip, *wanted], check=True)


def scopes_in(text: str) -> list[str]:
    """Return the names of the instrumentation scopes in a file of the Collector."""
    requests = [json.loads(line) for line in text.splitlines()]
    return [
        scope["scope"]["name"]
        for request in requests
        for resource in request["resourceSpans"]
        for scope in resource["scopeSpans"]
    ]


if __name__ == "__main__":
    main()
