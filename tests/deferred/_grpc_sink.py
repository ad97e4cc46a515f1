"""A small OTLP/gRPC receiver."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class GrpcSink:
    """Receives on a free loopback port while a ``with`` block lasts.

    Attributes:
        spans: the spans that arrived.
        logs: the log records that arrived.
        metrics: the metrics that arrived.
        refuses: the status of all answers; None if requests are taken.
        retry_after: the seconds after which a refusal asks for the next try; None if it does not.
        requests: the number of requests that were refused.
    """

    def __init__(self) -> None:
        self.refuses: grpc.StatusCode | None = None
        self.retry_after: int | None = None
        self.requests = 0
        self.spans: list[Any] = []
        self.logs: list[Any] = []
        self.metrics: list[Any] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self._servicer("spans"), self._server)
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server(self._servicer("logs"), self._server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(self._servicer("metrics"), self._server)
        self._port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def endpoint(self) -> str:
        """What ``OTEL_EXPORTER_OTLP_ENDPOINT`` is to be."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> GrpcSink:
        self._server.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.stop(None).wait()

    def _servicer(self, signal: str) -> Any:
        sink = self

        class Servicer:
            def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 -- the protocol's name
                if sink.refuses is not None:
                    sink.requests += 1
                    if sink.retry_after is not None:
                        hint = RetryInfo(retry_delay=Duration(seconds=sink.retry_after))
                        context.set_trailing_metadata(
                            [("google.rpc.retryinfo-bin", hint.SerializeToString())]
                        )
                    context.abort(sink.refuses, "not now")
                if signal == "spans":
                    sink.spans += [s for r in request.resource_spans for g in r.scope_spans for s in g.spans]
                    return trace_service_pb2.ExportTraceServiceResponse()
                if signal == "logs":
                    scopes = [scope for r in request.resource_logs for scope in r.scope_logs]
                    sink.logs += [record for scope in scopes for record in scope.log_records]
                    return logs_service_pb2.ExportLogsServiceResponse()
                scopes = [scope for r in request.resource_metrics for scope in r.scope_metrics]
                sink.metrics += [metric for scope in scopes for metric in scope.metrics]
                return metrics_service_pb2.ExportMetricsServiceResponse()

        return Servicer()
