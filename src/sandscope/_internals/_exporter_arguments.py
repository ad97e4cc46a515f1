"""The arguments with which the SDK's configurator creates exporters."""

from __future__ import annotations

import os
from collections.abc import Mapping
from inspect import signature
from typing import Any
from urllib.parse import urlsplit

from sandscope import _relay_pipe
from sandscope._relay_packets import Signal

_EXPORTERS = "opentelemetry.exporter.otlp.proto.http."
_ENDPOINTS = {
    "trace_exporter": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "metric_exporter": "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "_log_exporter": "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
}
_SIGNALS: dict[str, Signal] = {"trace_exporter": "span", "metric_exporter": "metric", "_log_exporter": "log"}
_LOCAL = {"127.0.0.1", "::1", "localhost"}


class ExporterArguments:
    """A mapping from the exporters' classes to their arguments.

    OTLP exporters that send to this machine without TLS get a transport of the standard library. Their own imports
    `requests`, which takes as long as the whole SDK. In a child that has a pipe to its parent, they get a transport
    that writes to it.
    """

    def get(self, exporter: type, default: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the arguments of an exporter; the default if its type, version or endpoint is another."""
        kind = exporter.__module__.removeprefix(_EXPORTERS)
        if kind not in _ENDPOINTS:
            return default
        if "_transport" not in signature(exporter.__init__).parameters:  # type: ignore[misc] # its parameters
            return default
        if _relay_pipe.descriptor() is not None:
            return {**default, **_relay_arguments(_SIGNALS[kind])}
        if not _is_local(_ENDPOINTS[kind]):
            return default
        try:
            from sandscope._internals._local_transport import LocalTransport
        except ImportError:
            return default
        return {**default, "_transport": LocalTransport()}


def _relay_arguments(signal: Signal) -> Mapping[str, Any]:
    from opentelemetry.exporter.otlp.proto.http import Compression

    from sandscope._internals._relay_transport import RelayTransport

    return {"_transport": RelayTransport(signal), "compression": Compression.NoCompression}


def _is_local(variable: str) -> bool:
    variables = {name.upper(): value for name, value in os.environ.items() if value}
    endpoint = variables.get(variable) or variables.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://localhost"
    if {"HTTP_PROXY", "ALL_PROXY"} & variables.keys():
        return False
    if any(name.endswith("_CREDENTIAL_PROVIDER") for name in variables):
        return False
    parts = urlsplit(endpoint)
    return parts.scheme == "http" and parts.hostname in _LOCAL and parts.username is None
