"""Run the host program with a real Collector, and show the telemetry that arrived: ``make demo``."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from examples.one_trace.arrived import from_files, from_stores
from examples.one_trace.table import complete, show, show_trace, wait_for
from sandscope import SandscopeError
from sandscope._collector import CollectorProcess, Composition, Ports
from sandscope_collector import configuration
from sandscope_collector.stores import Progress, StoresError, collector_environment, down, find_go, select, up

HERE = Path(__file__).parent
HOST = [str(Path(sys.executable).parent / "opentelemetry-instrument"), sys.executable, str(HERE / "host.py")]


def run_host(guest: Path, endpoint: str) -> str:
    """Compile the guest, run the host, and return the id of its trace."""
    target = {**os.environ, "GOOS": "wasip1", "GOARCH": "wasm", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    build = [find_go(HERE / "guest"), "build", "-trimpath", "-o", guest, "."]
    subprocess.run(build, cwd=HERE / "guest", env=target, check=True)
    command = [*HOST, str(guest), str(HERE.parents[1] / "LICENSE")]
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    print(output)
    return output.rpartition("trace: ")[2].strip()


def demo(data: Path, *, native: bool) -> bool:
    """Run the host program with a Collector and return whether all telemetry arrived."""
    data.mkdir(parents=True, exist_ok=True)
    ports, urls = Ports.free(), {}
    try:
        if native:
            stores, scrape = select(["prometheus", "jaeger", "loki"]), f"127.0.0.1:{ports.prometheus}"
            free = {port.name: Ports.free().health for store in stores for port in store.ports}
            running = up(
                stores, configuration(), data / "stores", Progress(sys.stderr), ports=free, scrape=scrape
            )
            urls = {name: store.url for name, store in running.items()}
            os.environ.update(collector_environment(running.values()))
        overlays = ["local", *(["prometheus", "jaeger", "loki"] if native else [])]
        with CollectorProcess(Composition.of(*overlays), data=data, ports=ports) as collector:
            trace_id = run_host(data / "guest.wasm", collector.endpoint)
            arrived = wait_for(lambda: from_stores(urls, trace_id) if native else from_files(data, trace_id))
        show(arrived)
        show_trace(data, trace_id)
        return complete(arrived)
    finally:
        down(data / "stores")


parser = argparse.ArgumentParser(prog="make demo")
parser.add_argument("--stores", choices=["native"], help="send telemetry to Prometheus, Jaeger and Loki")
parser.add_argument(
    "--data", type=Path, help="an empty folder for what is recorded (default: sandscope-data/demo)"
)
arguments = parser.parse_args()
data = arguments.data or Path("sandscope-data/demo")
if arguments.data is None:
    shutil.rmtree(data, ignore_errors=True)  # of the demo before this one
try:
    sys.exit(not demo(data.absolute(), native=arguments.stores == "native"))
except (SandscopeError, StoresError) as error:
    sys.exit(f"sandscope: {error}")
