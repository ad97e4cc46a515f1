"""A small OTLP/HTTP receiver, for telemetry that a separate process sends."""

from __future__ import annotations

import gzip
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_DELTA = 1
PATIENCE = 60.0
"""Seconds after which a test assumes that a program hangs; long enough for a busy machine."""


Answer = int | Literal["hang", "close"]
"""What a request gets: a status, no answer while the ``with`` block lasts, or a connection that closes."""


class OtlpSink:
    """Receives on a free loopback port while a ``with`` block lasts.

    Attributes:
        answers: the answer to a path, such as ``/v1/traces``, if it differs from the others. May be changed.
        spans: the spans that arrived.
        metrics: the metrics that arrived.
        metrics_of: the same metrics by the ``service.instance.id`` of the process that sent them.
        logs: the log records that arrived.
        resources: the attributes of each resource that arrived.
        peers: the client's port for each of these.
        requests: the number of requests, including rejected ones.
    """

    def __init__(
        self,
        *,
        status: int = 200,
        delay: float = 0.0,
        keep_alive: bool = False,
        answers: dict[str, Answer] | None = None,
        port: int = 0,
    ) -> None:
        """Prepare a receiver.

        Args:
            status: the HTTP status of all responses.
            answers: see the attribute.
            delay: seconds before each response.
            keep_alive: accept more than one request on a connection, as a Collector does.
            port: by default, a free one.
        """
        self.spans: list[Any] = []
        self.metrics: list[Any] = []
        self.metrics_of: dict[str, list[Any]] = defaultdict(list)
        self.logs: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.peers: list[int] = []
        self.requests = 0
        self.answers: dict[str, Answer] = answers or {}
        self._status, self._delay, self._keep_alive = status, delay, keep_alive
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def endpoint(self) -> str:
        """The value for ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def names(self) -> list[str]:
        """Return the names of the spans, sorted."""
        return sorted(span.name for span in self.spans)

    def span(self, name: str) -> Any:
        """Return the only span of that name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def count_of(self, name: str) -> dict[str, float]:
        """Return what each process has counted with a counter or histogram, by ``service.instance.id``."""
        return {
            instance: sum(_last_values(metric for metric in metrics if metric.name == name))
            for instance, metrics in self.metrics_of.items()
        }

    def total(self, name: str) -> float:
        """Return what all processes together have counted with a counter or histogram."""
        return sum(self.count_of(name).values())

    def __enter__(self) -> OtlpSink:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1" if sink._keep_alive else "HTTP/1.0"

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    data = gzip.decompress(data)
                answer = sink.answers.get(self.path, sink._status)
                sink._receive(self.path, data, self.client_address[1], taken=answer == 200)
                sink._closing.wait(sink._delay)
                if answer == "hang":
                    sink._closing.wait()
                if not isinstance(answer, int):
                    self.close_connection = True
                    return
                try:
                    self.send_response(answer)
                    self.send_header("Content-Type", "application/x-protobuf")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass  # the program may have ended

            def log_message(self, *_args: Any) -> None:
                pass

        return Handler

    def points(self, name: str) -> list[Any]:
        """Return the last data points of a metric with that name that arrived; an empty list if none did."""
        found = [metric for metric in self.metrics if metric.name == name]
        return list(getattr(found[-1], found[-1].WhichOneof("data")).data_points) if found else []

    def _receive(self, path: str, data: bytes, peer: int, *, taken: bool) -> None:
        with self._lock:
            self.requests += 1
            if not taken:
                return
            if path == "/v1/traces":
                for group in ExportTraceServiceRequest.FromString(data).resource_spans:
                    self._resource(group.resource, peer)
                    self.spans += [span for scope in group.scope_spans for span in scope.spans]
            elif path == "/v1/metrics":
                for group in ExportMetricsServiceRequest.FromString(data).resource_metrics:
                    resource = self._resource(group.resource, peer)
                    metrics = [metric for scope in group.scope_metrics for metric in scope.metrics]
                    self.metrics += metrics
                    self.metrics_of[resource.get("service.instance.id", "")] += metrics
            elif path == "/v1/logs":
                for group in ExportLogsServiceRequest.FromString(data).resource_logs:
                    self._resource(group.resource, peer)
                    self.logs += [record for scope in group.scope_logs for record in scope.log_records]

    def _resource(self, resource: Any, peer: int) -> dict[str, str]:
        self.peers.append(peer)
        self.resources.append({a.key: a.value.string_value for a in resource.attributes})
        return self.resources[-1]


def _last_values(metrics: Iterable[Any]) -> Iterable[float]:
    """Return the last value of each cumulative time series, and all values of delta series."""
    last: dict[object, float] = {}
    for metric in metrics:
        data = getattr(metric, metric.WhichOneof("data"))
        for point in data.data_points:
            attributes = tuple(attribute.SerializeToString() for attribute in point.attributes)
            end = point.time_unix_nano if data.aggregation_temporality == _DELTA else 0
            is_histogram = metric.WhichOneof("data") == "histogram"
            value = point.count if is_histogram else point.as_int or point.as_double
            last[attributes, point.start_time_unix_nano, end] = value
    return last.values()


def wait_until(condition: Any, timeout: float = PATIENCE) -> bool:
    """Return whether a condition came true within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
