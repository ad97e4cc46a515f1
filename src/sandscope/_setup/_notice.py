"""One line on stderr when telemetry cannot be delivered, in place of the SDK's many."""

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
"""Set whenever a delivery fails; who waits for a delivery clears it before."""


class _SayOnce(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._said = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Let nothing louder than info through; say the first one in our own words."""
        if record.levelno < logging.WARNING:
            return True
        failed.set()
        with self._lock:
            said, self._said = self._said, True
        if not said:
            print(_text(record.getMessage()), file=sys.stderr)  # noqa: T201 -- the notice is for the terminal
        return False


def install() -> None:
    """Filter the exporters' log messages."""
    once = _SayOnce()
    for name in _EXPORTERS:
        logging.getLogger(name).addFilter(once)


def _text(message: str) -> str:
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "the local Collector"
    reason = _REASONS.search(message)
    return (
        f"sandscope: Cannot deliver telemetry to {endpoint}: {reason.group() if reason else message[:200]}. "
        "The program is not affected. Start a Collector with `sandscope collector run`, "
        "or set OTEL_EXPORTER_OTLP_ENDPOINT to yours."
    )
