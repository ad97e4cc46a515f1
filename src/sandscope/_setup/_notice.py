"""Replaces the exporters' repeated log messages with one line on stderr for each outage, and one for its end."""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
import threading
import time
from typing import Any

from sandscope._locks import new_lock
from sandscope._say import say

_EXPORTERS = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)
_CLASSES = {
    "trace_exporter": "OTLPSpanExporter",
    "metric_exporter": "OTLPMetricExporter",
    "_log_exporter": "OTLPLogExporter",
}
_REASONS = re.compile(r"Connection refused|[Tt]imed? ?out|Name or service not known|code: \d+, reason: [^,]+")
_NOT_FOUND = re.compile(r"Failed to export (\w+) batch code: 404,")
_BETWEEN = 60.0
"""Seconds between two notices: an endpoint that comes and goes must not fill the terminal."""

failed = threading.Event()
"""Set whenever an export fails. Code that waits for an export clears it first."""


class _Outage:
    """Whether the endpoint fails, as the user has been told."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._exporting = threading.local()
        self._failing: set[str] = set()
        self._told = False
        self._last = -_BETWEEN

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the exporters' warnings and errors. Print a notice for the first one of an outage."""
        if record.levelno < logging.WARNING:
            return True
        failed.set()
        now = time.monotonic()
        with self._lock:
            self._failing.add(getattr(self._exporting, "signal", record.name))
            is_new = not self._told and now >= self._last + _BETWEEN
            if is_new:
                self._told, self._last = True, now
        if is_new:
            say(_notice(record.getMessage()))
        return False

    def watch(self, exporter: type[Any]) -> None:
        """Notice what the exporters of a class deliver."""
        export, signal = exporter.export, exporter.__name__
        if hasattr(export, "__wrapped__"):
            return

        @functools.wraps(export)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._exporting.signal = signal
            result = export(*args, **kwargs)
            if self._failing and getattr(result, "name", "") == "SUCCESS":
                self._delivered(signal)
            return result

        exporter.export = watched

    def _delivered(self, signal: str) -> None:
        with self._lock:
            self._failing.discard(signal)
            over = self._told and not self._failing
            if over:
                self._told = False
        if over:
            say(f"sandscope: Telemetry is delivered again to {_endpoint()}.")


_outage = _Outage()


def install() -> None:
    """Filter the exporters' log messages, and notice when they deliver again."""
    for name in _EXPORTERS:
        logging.getLogger(name).addFilter(_outage)
    for transport in ("http", "grpc"):
        for kind, exporter in _CLASSES.items():
            module = sys.modules.get(f"opentelemetry.exporter.otlp.proto.{transport}.{kind}")
            if hasattr(module, exporter):
                _outage.watch(getattr(module, exporter))


def _endpoint() -> str:
    return os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "the local Collector"


def _notice(message: str) -> str:
    not_found = _NOT_FOUND.search(message)
    if not_found:
        return (
            f"sandscope: Cannot deliver {not_found[1]} to {_endpoint()}: what listens there does not take them "
            f"(404 Not Found). The program is not affected. Give the Collector an overlay for {not_found[1]}, "
            "such as `local`, or set OTEL_EXPORTER_OTLP_ENDPOINT to a Collector."
        )
    reason = _REASONS.search(message)
    return (
        f"sandscope: Cannot deliver telemetry to {_endpoint()}: {reason.group() if reason else message[:200]}. "
        "The program is not affected. Start a Collector with `sandscope collector run`, "
        "or set OTEL_EXPORTER_OTLP_ENDPOINT to yours."
    )
