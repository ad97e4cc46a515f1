"""Replaces the exporters' repeated log messages about failed exports with one line on stderr."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading

_EXPORTERS = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)
_REASONS = re.compile(r"Connection refused|[Tt]imed? ?out|Name or service not known|code: \d+, reason: [^,]+")

failed = threading.Event()
"""Set whenever an export fails. Code that waits for an export clears it first."""


class _NotifyOnce(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._notified = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop warnings and errors. Print a notice for the first one."""
        if record.levelno < logging.WARNING:
            return True
        failed.set()
        with self._lock:
            notified, self._notified = self._notified, True
        if not notified:
            print(_notice(record.getMessage()), file=sys.stderr)  # noqa: T201 -- the notice is for the terminal
        return False


def install() -> None:
    """Filter the exporters' log messages."""
    notify_once = _NotifyOnce()
    for name in _EXPORTERS:
        logging.getLogger(name).addFilter(notify_once)


def _notice(message: str) -> str:
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "the local Collector"
    reason = _REASONS.search(message)
    return (
        f"sandscope: Cannot deliver telemetry to {endpoint}: {reason.group() if reason else message[:200]}. "
        "The program is not affected. Start a Collector with `sandscope collector run`, "
        "or set OTEL_EXPORTER_OTLP_ENDPOINT to yours."
    )
