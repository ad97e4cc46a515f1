"""Claim: a program that uses nothing starts as without Sandscope; otherwise, only what it uses is loaded.

`start_a_over_b`: the time of whole programs. `path`: Sandscope's folder in PYTHONPATH, as `sandscope run` sets it and
Python children get it. `auto`: `import sandscope.auto`. `stock` and `upstream`: `opentelemetry-instrument` with
Sandscope's distro and with OpenTelemetry's, with exporters off and with OTLP over HTTP.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread

from opentelemetry.instrumentation import auto_instrumentation

from sandscope._child import _children

ONE_CALL = """import wasmtime
store = wasmtime.Store()
module = wasmtime.Module(store.engine, '(module (func (export "run")))')
wasmtime.Instance(store, module, []).exports(store)["run"](store)
"""
ONE_CHILD = "import subprocess; subprocess.run(['/bin/true'], check=True)"
PYTHON_CHILD = (
    "import subprocess, sys, time; subprocess.run(['/bin/true'], check=True); start = time.perf_counter(); \
subprocess.run([sys.executable, '-c', 'pass'], check=True); print(time.perf_counter() - start)"
)

_STOCK = str(Path(auto_instrumentation.__file__).parent)
_OFF = dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none")


class _Accepts(BaseHTTPRequestHandler):
    """A Collector that accepts and ignores everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def run(*, short: bool) -> dict[str, float]:
    """Run each program in each way in turn, and compare the fastest runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Accepts)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _figures(_Runs(_ways(folder, server.server_port), 3 if short else 10))
    finally:
        server.shutdown()


def _ways(folder: str, port: int) -> dict[str, dict[str, str]]:
    _install_upstream_distro(folder)
    otlp = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    light, stock = {"PYTHONPATH": _children.FOLDER}, {"PYTHONPATH": _STOCK}
    upstream = {
        "PYTHONPATH": os.pathsep.join([_STOCK, folder]),
        "OTEL_PYTHON_DISTRO": "distro",
        "OTEL_PYTHON_CONFIGURATOR": "configurator",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",
    }
    return {
        "plain": {},
        "path": light | otlp,
        "path_off": light | _OFF,
        "stock_off": stock | _OFF,
        "stock_otlp": stock | otlp,
        "upstream_off": upstream | _OFF,
        "upstream_otlp": upstream | otlp,
    }


def _install_upstream_distro(folder: str) -> None:
    distro = f"opentelemetry-distro=={version('opentelemetry-instrumentation')}"
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--target", folder, distro], check=True)


class _Runs:
    """Runs programs, and keeps the fastest run of each."""

    def __init__(self, ways: Mapping[str, Mapping[str, str]], rounds: int) -> None:
        # Bytecode is cached, as it is after the first run of an installation.
        unset = ("OTEL_", "SANDSCOPE_", "PYTHONDONTWRITEBYTECODE")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
        self._ways = {way: {**clean, **variables} for way, variables in ways.items()}
        self._rounds = rounds

    def seconds(self, *programs: tuple[str, str]) -> list[float]:
        """Return the least seconds of each program, given as way and source."""
        best = [float("inf")] * len(programs)
        for _ in range(self._rounds):
            for position, (way, source) in enumerate(programs):
                start = time.perf_counter()
                self.output(way, source)
                best[position] = min(best[position], time.perf_counter() - start)
        return best

    def output(self, way: str, source: str) -> str:
        """Run a program, and return what it prints."""
        command = [sys.executable, "-c", source]
        run = subprocess.run(command, env=self._ways[way], stdout=subprocess.PIPE, text=True, check=True)
        return run.stdout

    def megabytes(self, way: str, source: str) -> float:
        """Return the peak memory of a program. Not `ru_maxrss`, which includes that of the parent process."""
        source += (
            "\nprint([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
        )
        return min(float(self.output(way, source).split()[-1]) for _ in range(3)) / 1024


def _figures(runs: _Runs) -> dict[str, float]:
    plain, path, auto = runs.seconds(("plain", "pass"), ("path", "pass"), ("plain", "import sandscope.auto"))
    stock_off, upstream_off = runs.seconds(("stock_off", "pass"), ("upstream_off", "pass"))
    stock_otlp, upstream_otlp = runs.seconds(("stock_otlp", "pass"), ("upstream_otlp", "pass"))
    child_plain, child = runs.seconds(("plain", ONE_CHILD), ("path", ONE_CHILD))
    call_plain, call = runs.seconds(("plain", ONE_CALL), ("path", ONE_CALL))
    python_plain, python_child = (
        min(float(runs.output(way, PYTHON_CHILD)) for _ in range(5)) for way in ("plain", "path")
    )
    return {
        "start_plain_ms": plain * 1e3,
        "start_path_over_plain": path / plain,
        "start_auto_over_plain": auto / plain,
        "start_python_child_over_plain": python_child / python_plain,
        "start_stock_off_over_upstream": stock_off / upstream_off,
        "start_stock_otlp_over_upstream": stock_otlp / upstream_otlp,
        "start_one_child_more_ms": (child - child_plain) * 1e3,
        "start_one_call_more_ms": (call - call_plain) * 1e3,
        "start_path_more_mb": runs.megabytes("path", "pass") - runs.megabytes("plain", "pass"),
        "start_one_child_more_mb": runs.megabytes("path", ONE_CHILD) - runs.megabytes("plain", ONE_CHILD),
    }
