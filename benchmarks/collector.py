"""Claim: our overlays cost the Collector little beside a plain pipeline to the same destination.

The requests of a real program are sent again and again. `collector_X_per_core_second`: executions (a span, a log
record and their part of the metrics) a second of the Collector's CPU time, with overlay X. `collector_X_over_plain`:
beside the same binary with a plain pipeline, which acknowledges before it has written. `collector_X_over_durable`:
beside a plain pipeline with the overlay's queue on disk. `collector_X_over_jaeger`: the overlays X and `jaeger` beside
`jaeger` alone. `collector_bytes_*`: bytes an execution. The stores are a Collector that discards; with
SANDSCOPE_KAFKA_BROKERS, also the overlays `kafka` and `gateway`. Overlays that take only metrics are left out: the
number of points does not grow with the executions.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks._fresh import fresh, print_result

_EXECUTIONS = 5_000
_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE = 0.7
"""Seconds without CPU time after which a Collector has nothing left to do; its exporters wait for up to 0.2 s."""

_PLAIN = """\
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:${env:SANDSCOPE_OTLP_HTTP_PORT}"}}}}
processors: {batch: {}}
exporters:
  file/traces: {path: "${env:SANDSCOPE_DATA}/traces.jsonl"}
  file/metrics: {path: "${env:SANDSCOPE_DATA}/metrics.jsonl"}
  file/logs: {path: "${env:SANDSCOPE_DATA}/logs.jsonl"}
  otlp_grpc: {endpoint: "${env:SANDSCOPE_JAEGER_ENDPOINT}", tls: {insecure: true}}
  otlp_http: {endpoint: "${env:SANDSCOPE_LOKI_ENDPOINT}"}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
"""
_DURABLE = """\
extensions:
  file_storage: {directory: "${env:SANDSCOPE_DATA}/queues", create_directory: true}
exporters:
  otlp_grpc: {sending_queue: {storage: file_storage, sizer: bytes, queue_size: 1073741824}}
  otlp_http: {sending_queue: {storage: file_storage, sizer: bytes, queue_size: 1073741824}}
service: {extensions: [file_storage]}
"""
"""Merged into the plain pipeline."""
_PIPELINES = {
    "local": {"traces": "file/traces", "metrics": "file/metrics", "logs": "file/logs"},
    "jaeger": {"traces": "otlp_grpc"},
    "loki": {"logs": "otlp_http"},
}
"""The plain pipelines beside each overlay."""
_BETWEEN = ("sampling", "span-metrics", "quiet")
"""Overlays that take something out, or compute something, before the stores."""
_SINK = "receivers: {otlp: {protocols: {http: {logs_url_path: /otlp/v1/logs}}}}\n"

Requests = list[tuple[str, bytes]]


def run(*, short: bool) -> dict[str, float]:
    """Measure each overlay and its plain pipeline, in turns."""
    rounds, repeats = (3, 4) if short else (7, 20)
    requests = _recorded()
    result = {"collector_bytes_sent": sum(len(body) for _, body in requests) / _EXECUTIONS}
    with _running("sink", _SINK) as sink:
        stores = {
            "SANDSCOPE_JAEGER_ENDPOINT": f"127.0.0.1:{sink.environment['SANDSCOPE_OTLP_GRPC_PORT']}",
            "SANDSCOPE_LOKI_ENDPOINT": f"{sink.endpoint}/otlp",
        }
        for name, pipelines in _PIPELINES.items():
            wanted = [request for request in requests if request[0] in pipelines]
            ours, plain, durable = [], [], []
            for _ in range(rounds):
                with _running(name, **stores) as collector:
                    ours.append(_seconds(collector, wanted, repeats))
                    if name == "local":
                        result["collector_bytes_in_files"] = collector.bytes / (_EXECUTIONS * (repeats + 1))
                with _running(None, _plain(pipelines), **stores) as collector:
                    plain.append(_seconds(collector, wanted, repeats))
                if name != "local":
                    with _running(None, _plain(pipelines, processors=""), _DURABLE, **stores) as collector:
                        durable.append(_seconds(collector, wanted, repeats))
            executions = _EXECUTIONS * repeats
            result[f"collector_{name}_per_core_second"] = executions / statistics.median(ours)
            result[f"collector_{name}_over_plain"] = statistics.median(ours) / statistics.median(plain)
            if durable:
                result[f"collector_{name}_over_durable"] = statistics.median(ours) / statistics.median(
                    durable
                )
        spans = [request for request in requests if request[0] == "traces"]
        result |= _between(spans, stores, rounds, repeats)
    if "SANDSCOPE_KAFKA_BROKERS" in os.environ:
        result |= _kafka(requests, repeats)
    return result


def _between(spans: Requests, stores: dict[str, str], rounds: int, repeats: int) -> dict[str, float]:
    result = {}
    for name in _BETWEEN:
        taken: dict[str, list[float]] = {"jaeger": [], f"jaeger {name}": []}
        for _ in range(rounds):
            for overlays, seconds in taken.items():
                with _running(overlays, SANDSCOPE_SAMPLING_WAIT="500ms", **stores) as collector:
                    seconds.append(_seconds(collector, spans, repeats))
        alone, both = map(statistics.median, taken.values())
        result[f"collector_{name.replace('-', '_')}_over_jaeger"] = both / alone
    return result


def _kafka(requests: Requests, repeats: int) -> dict[str, float]:
    topics = {"SANDSCOPE_KAFKA_TOPICS": f"bench-{uuid.uuid4().hex[:8]}"}
    executions = _EXECUTIONS * repeats
    with _running("kafka", **topics) as agent, _running("gateway", **topics) as gateway:
        _send(agent, requests)
        gateway.wait_idle()
        before = gateway.cpu()
        seconds = _seconds(agent, requests, repeats)
        gateway.wait_idle()
        return {
            "collector_kafka_per_core_second": executions / seconds,
            "collector_gateway_per_core_second": executions / (gateway.cpu() - before),
        }


class _Collector:
    """A Collector that runs; the figures are those of its process."""

    def __init__(self, pid: int, environment: dict[str, str]) -> None:
        self._pid = pid
        self.environment = environment
        self.endpoint = f"http://127.0.0.1:{environment['SANDSCOPE_OTLP_HTTP_PORT']}"

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in Path(self.environment["SANDSCOPE_DATA"]).glob("*.jsonl"))

    def cpu(self) -> float:
        """Return its CPU time in seconds."""
        fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def wait_idle(self) -> None:
        """Wait until it uses less than a fiftieth of a core."""
        last, now = -1.0, self.cpu()
        while now - last > _IDLE / 50:
            time.sleep(_IDLE)
            last, now = now, self.cpu()


def _seconds(collector: _Collector, requests: Requests, repeats: int) -> float:
    """Return the CPU time in seconds that the Collector needs for these requests."""
    _send(collector, requests)  # its first requests cost more
    collector.wait_idle()
    before = collector.cpu()
    for _ in range(repeats):
        _send(collector, requests)
    collector.wait_idle()
    return collector.cpu() - before


def _send(collector: _Collector, requests: Requests) -> None:
    address = urlsplit(collector.endpoint)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=60)
    for signal, body in requests:
        connection.request("POST", f"/v1/{signal}", body, {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
    connection.close()


@contextmanager
def _running(overlays: str | None, *configurations: str, **environment: str) -> Iterator[_Collector]:
    """Run a Collector with overlays, or with configurations of its own beside `base.yaml` ("sink") or alone."""
    from sandscope._collector import Composition, Ports, find_otelcol

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        files = []
        for number, configuration in enumerate(configurations):
            files.append(Path(folder) / f"own-{number}.yaml")
            files[-1].write_text(configuration, encoding="utf-8")
        arguments = [f"--config=file:{file}" for file in files]
        if overlays is not None:
            arguments = Composition.of(*(files if overlays == "sink" else overlays.split())).arguments
        ports = Ports.free()
        variables = {**ports.environment, "SANDSCOPE_DATA": folder, **environment}
        process = subprocess.Popen(
            [find_otelcol(), *arguments], env={**os.environ, **variables}, stderr=subprocess.DEVNULL
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        collector = _Collector(process.pid, variables)
        _wait_ready(collector, process)
        yield collector


def _wait_ready(collector: _Collector, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with ExitStack() as stack:
                address = urlsplit(collector.endpoint)
                connection = HTTPConnection(address.hostname or "", address.port, timeout=5)
                stack.callback(connection.close)
                connection.request("GET", "/")
                connection.getresponse().read()
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the Collector does not start") from None
            time.sleep(0.1)


def _plain(pipelines: dict[str, str], processors: str = "batch") -> str:
    lines = [
        f"    {signal}: {{receivers: [otlp], processors: [{processors}], exporters: [{exporter}]}}\n"
        for signal, exporter in pipelines.items()
    ]
    return _PLAIN + "".join(lines)


def _recorded() -> Requests:
    """Return the signal and the body of each request that a program sends for its executions."""
    requests: Requests = []

    class Recording(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.path.rpartition("/")[2], body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Recording) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
        try:
            fresh("benchmarks.collector")
        finally:
            del os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
            server.shutdown()
    return requests


def main() -> None:
    """Run executions in wasmtime, instrumented."""
    import sandscope.auto  # noqa: F401 -- instruments this program
    from benchmarks._subjects import wasm_functions

    store, nop, _ = wasm_functions()
    for number in range(_EXECUTIONS):
        nop(store)
        if number % 500 == 0:
            time.sleep(0.05)  # so that nothing is dropped
    print_result(None)


if __name__ == "__main__":
    sys.exit(main())
